"""Batches cut for several devices, and outputs joined again: operations of the graph, through a team of threads."""

import warnings
from typing import Any

from ... import devices
from ...autograd.function import Function
from ...autograd.variable import Tensor
from ...ops import cat, chunk, stack
from .team import Team


class _Scatter(Function):
    @staticmethod
    def forward(ctx, team, *parts):
        ctx.team = team
        return tuple(team.scatter(parts))

    @staticmethod
    def backward(ctx, *grads):
        return (None, *_Gather.apply(ctx.team, *grads))


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
        parts = _Gather.apply(team, *outputs)
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


def moved_to(value: Any, where: devices.device) -> Any:
    """`value`, its tensors (nested in tuples, lists and dicts) on that device."""
    if isinstance(value, Tensor):
        return value.to(where)
    if isinstance(value, dict):
        return type(value)((k, moved_to(v, where)) for k, v in value.items())
    if isinstance(value, (tuple, list)):
        moved = [moved_to(v, where) for v in value]
        return type(value)(*moved) if hasattr(value, "_fields") else type(value)(moved)
    return value
