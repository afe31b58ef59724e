"""The states of models and optimizers under the parameters' own names: the same with one process, with
DistributedDataParallel around the model or part of it, and for any grouping of the optimizer's parameters.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...autograd.variable import Tensor
from ...nn.modules.module import Module
from ...nn.parallel import DataParallel, DistributedDataParallel
from ...optim.optimizer import Optimizer
from ..objects import broadcast_object_list
from ..process_group import get_rank, is_initialized


@dataclass
class StateDictOptions:
    """How states are given and taken.

    full_state_dict: tensors are whole; here they always are
    cpu_offload: tensors are copied to the CPU; with full_state_dict, ranks other than 0 get empty states
    ignore_frozen_params: parameters that require no gradient are left out
    keep_submodule_prefixes: False: names of `submodules` begin below them
    strict: all names must fit
    broadcast_from_rank0: what is set is rank 0's on all ranks
    flatten_optimizer_state_dict: not supported
    """

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


def get_model_state_dict(
    model: Module, *, submodules: set[Module] | None = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The model's state, or that of some of its submodules, by names without wrappers."""
    options = _checked(options)
    name = _naming(model)
    found = {name(key): value for key, value in model.state_dict().items()}
    if options.ignore_frozen_params:
        for key, parameter in model.named_parameters(remove_duplicate=False):
            if not parameter.requires_grad:
                found.pop(name(key), None)
    if submodules is not None:
        found = _within(found, model, submodules, options.keep_submodule_prefixes)
    return _handed_out(found, options)


def get_optimizer_state_dict(
    model: Module,
    optimizers: Optimizer | Iterable[Optimizer],
    *,
    submodules: set[Module] | None = None,
    options: StateDictOptions | None = None,
) -> dict[str, Any]:
    """The optimizers' state and param_groups, in which the model's parameters stand by their names."""
    options = _checked(options)
    names, state, groups = _names_of_parameters(model), {}, []
    for optimizer in _listed(optimizers):
        for group in optimizer.param_groups:
            params = [p for p in group["params"] if p.requires_grad or not options.ignore_frozen_params]
            state.update({names[id(p)]: dict(optimizer.state[p]) for p in params if p in optimizer.state})
            groups.append({**group, "params": [names[id(p)] for p in params]})
    if submodules is not None:
        state = _within(state, model, submodules, True)
        kept = _within(dict.fromkeys(names.values()), model, submodules, True)
        groups = [{**group, "params": [name for name in group["params"] if name in kept]} for group in groups]
    return _handed_out({"state": state, "param_groups": groups}, options)


def get_state_dict(
    model: Module,
    optimizers: Optimizer | Iterable[Optimizer],
    *,
    submodules: set[Module] | None = None,
    options: StateDictOptions | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the model's state, the optimizers')."""
    return (
        get_model_state_dict(model, submodules=submodules, options=options),
        get_optimizer_state_dict(model, optimizers, submodules=submodules, options=options),
    )


def set_model_state_dict(
    model: Module, model_state_dict: Mapping[str, Any], *, options: StateDictOptions | None = None
) -> Any:
    """Load what `get_model_state_dict` gave; -> missing_keys and unexpected_keys. RuntimeError unless it fits."""
    options = _checked(options)
    given, name = _taken(model_state_dict, options), _naming(model)
    keys = {name(key): key for key in model.state_dict()}
    return model.load_state_dict({keys.get(n, n): value for n, value in given.items()}, strict=options.strict)


def set_optimizer_state_dict(
    model: Module,
    optimizers: Optimizer | Iterable[Optimizer],
    optim_state_dict: Mapping[str, Any],
    *,
    options: StateDictOptions | None = None,
) -> None:
    """Load what `get_optimizer_state_dict` gave. RuntimeError naming a parameter that it does not have."""
    given, names = _taken(optim_state_dict, _checked(options)), _names_of_parameters(model)
    settings = {name: group for group in given["param_groups"] for name in group["params"]}
    for optimizer in _listed(optimizers):
        loaded = optimizer.state_dict()
        loaded["state"] = {}
        for group, numbered in zip(optimizer.param_groups, loaded["param_groups"], strict=True):
            for parameter, number in zip(group["params"], numbered["params"], strict=True):
                name = names[id(parameter)]
                if name not in settings:
                    raise RuntimeError(f"set_optimizer_state_dict: the state has no group with the parameter {name}")
                numbered.update({k: v for k, v in settings[name].items() if k != "params"})
                if name in given["state"]:
                    loaded["state"][number] = dict(given["state"][name])
        optimizer.load_state_dict(loaded)


def set_state_dict(
    model: Module,
    optimizers: Optimizer | Iterable[Optimizer],
    *,
    model_state_dict: Mapping[str, Any],
    optim_state_dict: Mapping[str, Any],
    options: StateDictOptions | None = None,
) -> Any:
    """Load what `get_state_dict` gave; -> the model's missing_keys and unexpected_keys."""
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)


def _checked(options: StateDictOptions | None) -> StateDictOptions:
    options = options or StateDictOptions()
    if options.flatten_optimizer_state_dict:
        raise NotImplementedError("StateDictOptions: flatten_optimizer_state_dict is not supported")
    if options.broadcast_from_rank0 and not options.full_state_dict:
        raise ValueError("full_state_dict must be True when broadcast_from_rank0 is True.")
    return options


def _listed(optimizers: Optimizer | Iterable[Optimizer]) -> tuple[Optimizer, ...]:
    return (optimizers,) if isinstance(optimizers, Optimizer) else tuple(optimizers)


def _naming(model: Module) -> Callable[[str], str]:
    """From a key of the model's state to its name without wrappers."""
    wrappers = [p for p, m in model.named_modules() if isinstance(m, DataParallel | DistributedDataParallel)]
    prefixes = [f"{path}." if path else "" for path in sorted(wrappers, key=len, reverse=True)]  # the inner ones first

    def name(key: str) -> str:
        for prefix in prefixes:
            if key.startswith(prefix + "module."):
                key = prefix + key.removeprefix(prefix + "module.")
        return key

    return name


def _names_of_parameters(model: Module) -> dict[int, str]:
    name = _naming(model)
    return {id(parameter): name(key) for key, parameter in model.named_parameters()}


def _within(found: dict[str, Any], model: Module, submodules: set[Module], keep_prefixes: bool) -> dict[str, Any]:
    """What belongs to the submodules."""
    name = _naming(model)
    prefixes = [name(f"{path}.") for path, module in model.named_modules() if module in submodules]
    kept = {}
    for key, value in found.items():
        prefix = next((p for p in prefixes if key.startswith(p)), None)
        if prefix is not None:
            kept[key if keep_prefixes else key.removeprefix(prefix)] = value
    return kept


def _handed_out(found: dict[str, Any], options: StateDictOptions) -> dict[str, Any]:
    if not options.cpu_offload:
        return found
    if options.full_state_dict and is_initialized() and get_rank() != 0:
        return {}
    return _on_cpu(found)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(inner) for key, inner in value.items()}
    return [_on_cpu(inner) for inner in value] if isinstance(value, list) else value


def _taken(given: Mapping[str, Any], options: StateDictOptions) -> Mapping[str, Any]:
    """What is to be loaded: this rank's, or rank 0's on all."""
    if not (options.broadcast_from_rank0 and is_initialized()):
        return given
    box = [_on_cpu(dict(given)) if get_rank() == 0 else None]
    broadcast_object_list(box, src=0)
    return box[0]
