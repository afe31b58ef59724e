"""Optimizer: parameter groups, state, hooks, and the state_dict that PyTorch's optimizers take and give."""

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from copy import deepcopy
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from .. import dtypes
from ..autograd.mode import enable_grad, no_grad
from ..autograd.node import register
from ..autograd.variable import Tensor

StateDict = dict[str, Any]
ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]  # what optimizers are made of

_global_pre_hooks: OrderedDict = OrderedDict()
_global_post_hooks: OrderedDict = OrderedDict()
_HOOKS = (
    "_step_pre",
    "_step_post",
    "_state_dict_pre",
    "_state_dict_post",
    "_load_state_dict_pre",
    "_load_state_dict_post",
)


NUMBERS = ("step", "mu_product", "eta", "mu")  # what a state holds besides arrays of the parameter's shape


class _Required:
    def __repr__(self):
        return "<required parameter>"


required = _Required()  # a default that every group must give itself


def register_optimizer_step_pre_hook(hook):
    """Call `hook(optimizer, args, kwargs)` before every optimizer's step."""
    return register(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook):
    """Call `hook(optimizer, args, kwargs)` after every optimizer's step."""
    return register(_global_post_hooks, hook)


def number(x):
    """A hyper-parameter as a Python number; it may have been given as a tensor of one element, or as a NumPy scalar."""
    if isinstance(x, Tensor):
        return x._data.item()
    return x.item() if isinstance(x, np.generic) else x


def check(name: str, value, valid: bool, text: str | None = None) -> None:
    """ValueError unless `valid`, in PyTorch's words: "Invalid <name>: <value>"."""
    if not valid:
        raise ValueError(text or f"Invalid {name}: {value}")


def check_lr(lr) -> None:
    if isinstance(lr, Tensor) and lr._data.size != 1:
        raise ValueError("Tensor lr must be 1-element")
    check("learning rate", lr, number(lr) >= 0.0)


def check_ways(foreach, fused, differentiable) -> None:
    """RuntimeError (PyTorch's texts) for ways of computing a step that exclude each other."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def _numbered(group: dict, numbers: dict) -> dict:
    """The group's settings, and last the numbers of its parameters."""
    return {k: v for k, v in group.items() if k != "params"} | {"params": [numbers[id(p)] for p in group["params"]]}


class Optimizer:
    """Base of all optimizers. A subclass gives `step`, and in `defaults` the settings that a group may override.

    params    tensors, or dicts {"params": tensors, setting: value}, or (name, tensor) pairs
    defaults  the settings of groups that do not say otherwise
    Raises TypeError or ValueError (PyTorch's texts) for what cannot be optimised: nothing, other objects, tensors that
    are results of operations, one tensor in two groups.
    """

    later: ClassVar[dict] = {}  # settings that checkpoints from before they existed lack, and their values then

    def __init__(self, params: ParamsT, defaults: dict):
        self._init_hooks()
        self.defaults = defaults
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"torch.{dtypes.FROM_NUMPY[params._data.dtype].type_name}"
            )
        self.state: defaultdict = defaultdict(dict)
        self.param_groups: list[dict] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __init_subclass__(cls):
        if "step" in vars(cls):
            cls.step = _with_hooks(cls.step)

    def _init_hooks(self):
        for name in _HOOKS:
            setattr(self, name + "_hooks", OrderedDict())
        self._steps_taken = 0  # since the optimizer was made or loaded; schedulers look at it

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        if not hasattr(self, "_step_pre_hooks"):
            self._init_hooks()
        self.__dict__.update(state)
        for group in self.param_groups:
            for name, value in self.later.items():
                group.setdefault(name, value)

    def __repr__(self):
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] * (i > 0) + [f"Parameter Group {i}"]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    def step(self, closure=None):
        """Change the parameters once. `closure` computes the loss anew, gradients included; its value is returned."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; with set_to_none=False set them to zero in place."""
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is None:
                    continue
                if set_to_none:
                    p._grad = None
                else:
                    if p._grad.grad_fn is not None:
                        p._grad.detach_()
                    else:
                        p._grad.requires_grad = False
                    p._grad.zero_()

    # -- groups -------------------------------------------------------------------------------------------------------
    def add_param_group(self, param_group: dict) -> None:
        """Optimise further parameters, with settings of their own where `param_group` has them."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (self.defaults.get("differentiable") or p.is_leaf or p._retains):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len(set(params)) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in group) != bool(names):
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param group "
                    f"{'with' if names else 'without'} names to the optimizer"
                )
            if not set(group["params"]).isdisjoint(params):
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    # -- state --------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict:
        """{"state": per parameter, by its number; "param_groups": settings, and parameters' numbers}."""
        for hook in self._state_dict_pre_hooks.values():
            hook(self)
        numbers: dict = {}
        for p in chain.from_iterable(g["params"] for g in self.param_groups):
            numbers.setdefault(id(p), len(numbers))
        result = {
            "state": {numbers[id(k)] if isinstance(k, Tensor) else k: v for k, v in self.state.items() if v},
            "param_groups": [_numbered(g, numbers) for g in self.param_groups],
        }
        for hook in self._state_dict_post_hooks.values():
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    @no_grad()
    def load_state_dict(self, state_dict: dict) -> None:
        """Take up settings and state from `state_dict()` of an optimizer with groups of the same sizes, else
        ValueError.
        """
        state_dict = dict(state_dict)
        for hook in self._load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = deepcopy(state_dict["param_groups"])
        if len(self.param_groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(self.param_groups, saved, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        params = dict(
            zip(
                chain.from_iterable(g["params"] for g in saved),
                chain.from_iterable(g["params"] for g in self.param_groups),
                strict=True,
            )
        )
        state: defaultdict = defaultdict(dict)
        for key, value in state_dict["state"].items():
            state[params.get(key, key)] = _suited(params[key], value) if key in params else value
        for group, new in zip(self.param_groups, saved, strict=True):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._load_state_dict_post_hooks.values():
            hook(self)

    # -- hooks --------------------------------------------------------------------------------------------------------
    def register_step_pre_hook(self, hook):
        """`hook(optimizer, args, kwargs)` before each step, args[0] being the optimizer too; it may return new (args,
        kwargs).
        """
        return register(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """`hook(optimizer, args, kwargs)` after each step."""
        return register(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend=False):
        """`hook(optimizer)` before state_dict is made."""
        return _register(self._state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        """`hook(optimizer, state_dict)` after state_dict is made; it may return another."""
        return _register(self._state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        """`hook(optimizer, state_dict)` before a state_dict is loaded; it may return another."""
        return _register(self._load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        """`hook(optimizer)` after a state_dict has been loaded."""
        return _register(self._load_state_dict_post_hooks, hook, prepend)


def _register(hooks: OrderedDict, hook, prepend: bool):
    handle = register(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _with_hooks(step):
    """`step` with the hooks around it, and without recording; a closure is called with recording."""
    if hasattr(step, "hooked"):
        return step

    @functools.wraps(step)
    def hooked(*args, **kwargs):  # the hooks see the optimizer in `args`, too
        self = args[0]
        if "_step_pre_hooks" not in vars(self):  # a wrapper of an optimizer that is none itself
            return step(*args, **kwargs)
        for hook in chain(_global_pre_hooks.values(), self._step_pre_hooks.values()):
            result = hook(self, args, kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}."
                    )
                args, kwargs = result
        out = step(*args, **kwargs)
        self._steps_taken += 1
        for hook in chain(self._step_post_hooks.values(), _global_post_hooks.values()):
            hook(self, args, kwargs)
        return out

    hooked.hooked = step
    return hooked


def evaluate(closure):
    """The loss that a closure given to `step` computes (None without one)."""
    if closure is None:
        return None
    with enable_grad():
        return closure()


def _suited(param: Tensor, value, key=None):
    """A loaded value, on the parameter's device and in its dtype (counts and other single numbers stay as they are)."""
    if isinstance(value, Tensor):
        if key in NUMBERS:
            return value.clone()
        dtype = param.dtype if param.dtype.is_floating_point else None
        return value.detach().to(dtype=dtype, device=param.device, copy=True)
    if isinstance(value, dict):
        return {k: _suited(param, v, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return type(value)(_suited(param, v) for v in value)
    return value
