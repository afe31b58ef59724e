"""Replicas of a module: copies of its parameters whose gradients are summed into the originals'."""

import warnings
from typing import Any

from ...autograd.function import Function
from ...autograd.variable import Tensor
from ..modules.module import Module
from ..parameter import is_lazy
from .scatter_gather import device_list
from .team import Team


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
