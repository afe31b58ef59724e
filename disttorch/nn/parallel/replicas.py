"""DataParallel: one process, a replica and a thread for each device; batches are cut along a dimension and joined
again.

Scatter, replicate and gather are operations of the graph; their gradients gather, reduce and scatter, all through one
inproc group of the devices' threads.
"""

import traceback
import warnings
from typing import Any

from ... import devices
from ...autograd.function import Function
from ...autograd.mode import is_grad_enabled
from ...autograd.variable import Tensor
from ...ops import cat, chunk, stack
from ..modules.module import Module
from ..parameter import is_lazy
from .team import Team


class _Scatter(Function):
    @staticmethod
    def forward(ctx, team, *parts):
        ctx.team = team
        return tuple(team.scatter(parts))

    @staticmethod
    def backward(ctx, *grads):
        return (None, *_Gather.apply(ctx.team, *grads))


class _Broadcast(Function):
    @staticmethod
    def forward(ctx, team, *tensors):
        ctx.team = team
        copies = team.broadcast(tensors)
        ctx.mark_non_differentiable(
            *[c for row in copies for c, t in zip(row, tensors, strict=True) if not t.requires_grad]
        )
        return tuple([c for row in copies for c in row])

    @staticmethod
    def backward(ctx, *grads):
        return (None, *_Reduce.apply(ctx.team, *grads))


class _Reduce(Function):
    @staticmethod
    def forward(ctx, team, *grads):
        ctx.team = team
        count = len(grads) // len(team.devices)
        return tuple(team.reduce([grads[i : i + count] for i in range(0, len(grads), count)]))

    @staticmethod
    def backward(ctx, *grads):
        return (None, *_Broadcast.apply(ctx.team, *grads))


class _Gather(Function):
    @staticmethod
    def forward(ctx, team, *parts):
        ctx.team = team
        return tuple(team.gather(parts))

    @staticmethod
    def backward(ctx, *grads):
        return (None, *_Scatter.apply(ctx.team, *grads))


def device_list(device_ids) -> list[devices.device]:
    """Devices from indices, names, devices or None (the current one); RuntimeError for one that is not there."""
    return [devices.resolve("cuda" if d is None else d) for d in device_ids]


def scatter(inputs: Any, target_gpus: Any, dim: int = 0, team: Team | None = None) -> list:
    """`inputs` (tensors nested in tuples, lists and dicts) cut along `dim`, one share for each device; the rest is
    repeated.
    """
    team = team or Team(device_list(target_gpus))
    count = len(team.devices)
    if isinstance(inputs, Tensor):
        parts = chunk(inputs, count, dim)
        idle = [parts[-1].narrow(dim, 0, 0)] * (count - len(parts))  # devices for which nothing is left
        return list(_Scatter.apply(team, *parts, *idle))[: len(parts)]
    if isinstance(inputs, tuple) and hasattr(inputs, "_fields"):
        return [type(inputs)(*share) for share in zip(*[scatter(x, None, dim, team) for x in inputs], strict=False)]
    if isinstance(inputs, (tuple, list)) and inputs:
        return [type(inputs)(share) for share in zip(*[scatter(x, None, dim, team) for x in inputs], strict=False)]
    if isinstance(inputs, dict) and inputs:
        shares = zip(*[scatter(v, None, dim, team) for v in inputs.values()], strict=False)
        return [type(inputs)(zip(inputs, share, strict=True)) for share in shares]
    return [inputs] * count


def scatter_kwargs(
    inputs: tuple, kwargs: dict | None, target_gpus: Any, dim: int = 0, team: Team | None = None
) -> tuple:
    """(shares of the positional arguments, shares of the keyword arguments), as many of each."""
    team = team or Team(device_list(target_gpus))
    rows = scatter(inputs, None, dim, team) if inputs else []
    columns = scatter(kwargs, None, dim, team) if kwargs else []
    shares = max(len(rows), len(columns))
    return tuple(rows) + ((),) * (shares - len(rows)), tuple(columns) + ({},) * (shares - len(columns))


def gather(outputs: list, target_device: Any, dim: int = 0, team: Team | None = None) -> Any:
    """The replicas' outputs (tensors nested alike) joined along `dim` on one device (-1, as of old: the CPU)."""
    first = outputs[0]
    target_device = devices.CPU if target_device == -1 else target_device
    if isinstance(first, Tensor):
        team = team or Team([o.device for o in outputs])
        count = len(team.devices)
        idle = count - len(outputs)
        parts = _Gather.apply(team, *outputs, *[first.narrow(dim, 0, 0) if first._data.ndim else first] * idle)[
            : len(outputs)
        ]
        if all(p._data.ndim == 0 for p in parts):
            warnings.warn(
                "Was asked to gather along dimension 0, but all input tensors were scalars; will instead unsqueeze "
                "and return a vector.",
                stacklevel=2,
            )
            joined = stack(parts)
        else:
            joined = cat(parts, dim)
        return joined.to(target_device) if target_device is not None else joined
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(o) != len(first) for o in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((k, gather([o[k] for o in outputs], target_device, dim, team)) for k in first)
    if hasattr(first, "_fields"):
        return type(first)(*[gather(list(x), target_device, dim, team) for x in zip(*outputs, strict=True)])
    return type(first)(gather(list(x), target_device, dim, team) for x in zip(*outputs, strict=True))


def replicate(network: Module, devices: Any, detach: bool = False, team: Team | None = None) -> list[Module]:
    """A replica of `network` (which lives on the first device) for each device.

    Parameters of replicas, and buffers that require a gradient, are copies whose gradients are summed into the
    originals'. Of other buffers the first replica keeps the original's, so that what it writes to them lasts, and the
    others get copies. ValueError for a lazy module that has not seen an input.
    """
    team = team or Team(device_list(devices))
    buffers = list(network.buffers())
    followed = [*network.parameters(), *[b for b in buffers if b.requires_grad and not detach]]
    kept = [b for b in buffers if detach or not b.requires_grad]
    for t in (*followed, *kept):
        _check_shaped(t)
    sources = [p.detach() for p in followed] if detach else followed
    flat = _Broadcast.apply(team, *sources) if sources else ()
    n = len(followed)
    kept_rows = team.broadcast(kept) if kept else [[] for _ in team.devices]
    kept_rows[0] = kept
    replicas = []
    for rank in range(len(team.devices)):
        tensors = dict(zip(map(id, followed), flat[rank * n : (rank + 1) * n], strict=True))
        tensors.update(zip(map(id, kept), kept_rows[rank], strict=True))
        replicas.append(_replica(network, tensors, {}))
    return replicas


def _check_shaped(t: Tensor) -> None:
    if is_lazy(t):
        raise ValueError(
            "Attempted to use an uninitialized parameter in replicate. This error happens when you are using a "
            f"`LazyModule` or explicitly manipulating `torch.nn.parameter.{type(t).__name__}` objects. When using "
            "LazyModules Call `forward` with a dummy batch to initialize the parameters before calling torch functions"
        )


def _replica(module: Module, tensors: dict[int, Tensor], made: dict[int, Module]) -> Module:
    """`module` with its parameters and buffers exchanged; a module that occurs twice is one object in the replica
    too.
    """
    if id(module) in made:
        return made[id(module)]
    copy = module.__new__(type(module))
    made[id(module)] = copy
    copy.__dict__ = {
        **module.__dict__,
        "_parameters": {k: None if p is None else tensors[id(p)] for k, p in module._parameters.items()},
        "_buffers": {k: None if b is None else tensors[id(b)] for k, b in module._buffers.items()},
        "_modules": {k: None if m is None else _replica(m, tensors, made) for k, m in module._modules.items()},
        "_is_replica": True,
        "zero_grad": _zero_grad,
    }
    return copy


def _zero_grad(set_to_none: bool = True) -> None:
    """A replica's `zero_grad`."""
    warnings.warn(
        "Calling .zero_grad() from a module created with nn.DataParallel() has no effect. The parameters are copied "
        "(in a differentiable manner) from the original module. This means they are not leaf nodes in autograd and "
        "so don't accumulate gradients. If you need gradients in your forward method, consider using autograd.grad "
        "instead.",
        stacklevel=2,
    )


def parallel_apply(
    modules: list, inputs: list, kwargs_tup: Any = None, devices: Any = None, team: Team | None = None
) -> list:
    """modules[r](*inputs[r], **kwargs_tup[r]) in the thread of device r (None: the current one), all at once.

    An error is raised again here as one of its kind that says in which replica it arose, with its traceback.
    """
    count = len(modules)
    if count != len(inputs):
        raise AssertionError(f"The number of modules {count} is not equal to the number of inputs {len(inputs)}")
    team = team or Team(device_list(devices or [None] * count))
    keywords = kwargs_tup or ({},) * count

    def task(rank: int, _group: Any) -> Any:
        if rank >= count:
            return None
        given = inputs[rank]
        given = given if isinstance(given, (list, tuple)) else (given,)
        try:
            return modules[rank](*given, **keywords[rank])
        except Exception as error:
            raise _in_replica(error, rank, team.devices[rank]) from error

    return team.run(task)[:count]


class _Message(str):
    """A text that KeyError, which prints what it is given as code, prints as it is."""

    __repr__ = str.__str__


def _in_replica(error: Exception, rank: int, where: Any) -> Exception:
    text = (
        f"Caught {type(error).__name__} in replica {rank} on device {where.index}.\nOriginal {traceback.format_exc()}"
    )
    if type(error) is KeyError:
        return KeyError(_Message(text))
    try:
        return type(error)(text)
    except TypeError:  # its constructor wants more than a message
        return RuntimeError(text)


class DataParallel(Module):
    """Computes `module` on several devices at once, each with a share of the batch.

    module: lives on device_ids[0]; device_ids: indices or devices (all visible ones); output_device: where outputs go
    (device_ids[0]); dim: along which inputs are cut and outputs joined. Without devices it is `module` alone. Raises
    RuntimeError if a parameter is not on device_ids[0]; an error in a replica is raised again with its traceback.
    """

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0):
        super().__init__()
        if device_ids is None or not devices.device_count():
            device_ids = list(range(devices.device_count()))
        self.device_ids = [d.index for d in device_list(device_ids)]
        self.module, self.dim = module, dim
        self._team: Team | None = None
        if self.device_ids:
            self.output_device = devices.resolve(self.device_ids[0] if output_device is None else output_device).index
            self.src_device_obj = devices.device("cuda", self.device_ids[0])
        if len(self.device_ids) == 1:
            self.module.to(self.src_device_obj)

    def forward(self, *inputs, **kwargs):
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        for name, t in [*self.module.named_parameters(), *self.module.named_buffers()]:
            if t.device is not self.src_device_obj:
                raise RuntimeError(
                    f"module must have its parameters and buffers on device {self.src_device_obj} (device_ids[0]) but "
                    f"found one of them on device: {t.device} ({name})"
                )
        if len(self.device_ids) == 1:
            where = self.src_device_obj
            return self.module(*_moved(inputs, where), **_moved(kwargs, where))
        team = self.team()
        rows, columns = scatter_kwargs(inputs, kwargs, None, self.dim, team)
        if not rows:
            rows, columns = ((),), ({},)
        replicas = (
            replicate(self.module, None, not is_grad_enabled(), team)[: len(rows)] if len(rows) > 1 else [self.module]
        )
        outputs = parallel_apply(replicas, rows, columns, None, team)
        return gather(outputs, devices.device("cuda", self.output_device), self.dim, team)

    def team(self) -> Team:
        """The devices' threads, started when first needed."""
        if self._team is None:
            self._team = Team([devices.device("cuda", i) for i in self.device_ids])
        return self._team

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """As a module's; keys may have the prefix "module." or not."""
        return super().load_state_dict(prefixed(state_dict), strict, assign)

    def __getstate__(self):
        return {**self.__dict__, "_team": None}


def prefixed(state_dict: Any) -> Any:
    """A state_dict of a wrapped module, from one of the module alone."""
    if not state_dict or any(key.startswith("module.") for key in state_dict):
        return state_dict
    made = type(state_dict)((f"module.{key}", value) for key, value in state_dict.items())
    if hasattr(state_dict, "_metadata"):
        made._metadata = {f"module.{k}" if k else "module": v for k, v in state_dict._metadata.items()}
    return made


def _moved(value: Any, where: devices.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(where)
    if isinstance(value, dict):
        return type(value)((k, _moved(v, where)) for k, v in value.items())
    if isinstance(value, (tuple, list)):
        moved = [_moved(v, where) for v in value]
        return type(value)(*moved) if hasattr(value, "_fields") else type(value)(moved)
    return value


def data_parallel(
    module: Module, inputs: Any, device_ids=None, output_device=None, dim: int = 0, module_kwargs=None
) -> Any:
    """`DataParallel(module, device_ids, output_device, dim)` applied to `inputs` (a tensor or a tuple) once."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,) if inputs is not None else ()
    wrapped = DataParallel(module, device_ids, output_device, dim)
    return wrapped(*inputs, **(module_kwargs or {}))
