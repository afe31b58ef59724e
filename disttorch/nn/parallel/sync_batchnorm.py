"""SyncBatchNorm: batch normalisation by the statistics of the batches of all ranks together.

Ioffe and Szegedy (2015); with equal shares it equals BatchNorm in one process with the whole batch.
"""

from typing import Any

import numpy as np

from ...autograd.function import Function, once_differentiable
from ...autograd.mode import no_grad
from ...autograd.variable import Tensor, wrap
from ...devices import CPU, namespace, scope, to_device
from ...distributed.process_group import is_initialized, resolve
from ..modules.batchnorm import _BatchNorm
from ..modules.module import Module


def _summed(comm: Any, values: list, like: Tensor) -> list:
    """Arrays (one number per channel each) summed over the ranks in float64, on the device of `like`."""
    flat = np.concatenate(
        [np.asarray(v if like.device.host else to_device(v, like.device, CPU), np.float64) for v in values]
    )
    if comm.size > 1:
        comm.all_reduce(flat)
    parts = np.split(flat, np.cumsum([np.size(v) for v in values])[:-1])
    return [p if like.device.host else to_device(p, CPU, like.device) for p in parts]


def _statistics(comm: Any, data: Any, axes: tuple, like: Tensor) -> tuple[Any, Any, Any]:
    """Mean and variance of each channel over the ranks in float64, and the number of elements, on `like`'s device.

    Each rank sums the squares about its own mean (Chan, Golub and LeVeque, 1979): a large common mean costs no digits.
    """
    xp, shape = namespace(like.device), (1, -1) + (1,) * (data.ndim - 2)
    count = data.size / max(data.shape[1], 1)
    own = data.sum(axes, dtype=np.float64) / max(count, 1)
    squares = xp.square(data - own.reshape(shape)).sum(axes)
    host = [v if like.device.host else to_device(v, like.device, CPU) for v in (own, squares)]
    mine = np.stack([np.full(len(own), count), *host])
    everyone = [np.empty_like(mine) for _ in range(comm.size)]
    comm.all_gather(everyone, mine)
    counts, means, sums = np.stack(everyone, axis=1)  # each (ranks, channels)
    n = counts[:, :1].sum(0)
    mean = (counts * means).sum(0) / n
    variance = (sums + counts * (means - mean) ** 2).sum(0) / n
    found = (mean, variance, n)
    return found if like.device.host else tuple([to_device(v, CPU, like.device) for v in found])


class _Synchronised(Function):
    """Normalisation by the ranks' common mean and variance; forward also gives these and the number of elements."""

    @staticmethod
    @np.errstate(all="ignore")  # infinities, which a scaled loss begins with, are told by the results
    def forward(ctx, x, weight, bias, eps, comm):
        xp, data = namespace(x.device), x._data
        axes = tuple(d for d in range(data.ndim) if d != 1)
        with scope(x.device):
            mean, variance, n = _statistics(comm, data, axes, x)
            shape = (1, -1) + (1,) * (data.ndim - 2)
            scale = 1 / xp.sqrt(variance + eps)
            centred = data - mean.reshape(shape).astype(data.dtype)
            normal = centred * scale.reshape(shape).astype(data.dtype)
            out = normal if weight is None else normal * weight._data.reshape(shape)
            out = out if bias is None else out + bias._data.reshape(shape)
        ctx.normal, ctx.scale, ctx.n, ctx.comm, ctx.axes, ctx.shape = normal, scale, n, comm, axes, shape
        ctx.save_for_backward(weight)
        statistics = [wrap(v, x.device) for v in (mean, variance, n)]
        ctx.mark_non_differentiable(*statistics)
        return (wrap(out, x.device), *statistics)

    @staticmethod
    @once_differentiable
    @np.errstate(all="ignore")
    def backward(ctx, g, *_):
        (weight,) = ctx.saved_tensors
        data, shape = g._data, ctx.shape
        with scope(g.device):
            g_sum, g_normal = data.sum(ctx.axes, dtype=np.float64), (data * ctx.normal).sum(ctx.axes, dtype=np.float64)
            all_sum, all_normal = _summed(ctx.comm, [g_sum, g_normal], g)
            spread = lambda v: v.reshape(shape).astype(data.dtype)  # noqa: E731
            gx = (data - spread(all_sum / ctx.n) - ctx.normal * spread(all_normal / ctx.n)) * spread(ctx.scale)
            if weight is not None:
                gx = gx * weight._data.reshape(shape)
            grads = [gx, g_normal.astype(data.dtype), g_sum.astype(data.dtype)]
        needs = ctx.needs_input_grad
        return (*[wrap(v, g.device) if needs[i] else None for i, v in enumerate(grads)], None, None)


class SyncBatchNorm(_BatchNorm):
    """BatchNorm over all ranks of `process_group` (the default one if None), for inputs of shape (N, C, ...).

    In evaluation, and in one process, it is BatchNorm. Raises ValueError for inputs of fewer than 2 dimensions.
    """

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        process_group=None,
        device=None,
        dtype=None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.process_group = process_group

    def _check_input_dim(self, input):
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def forward(self, input):
        if not self.training or not is_initialized() or resolve(self.process_group).size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        comm = resolve(self.process_group).comm
        out, mean, variance, n = _Synchronised.apply(input, self.weight, self.bias, self.eps, comm)
        if self.track_running_stats:
            self._follow(mean, variance, n)
        return out

    def _follow(self, mean: Tensor, variance: Tensor, n: Tensor) -> None:
        """Move the running statistics towards this batch's; the variance is the unbiased one."""
        with no_grad():
            self.num_batches_tracked.add_(1)
            share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
            unbiased = variance * (n / (n - 1).clamp(min=1))
            for running, now in ((self.running_mean, mean), (self.running_var, unbiased)):
                running.mul_(1 - share).add_(now.to(running.dtype) * share)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group=None) -> Module:
        """`module` with every BatchNorm layer in it made a SyncBatchNorm that has its parameters and buffers."""
        made = module
        if isinstance(module, _BatchNorm) and not isinstance(module, cls):
            made = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            for table in ("_parameters", "_buffers"):
                getattr(made, table).update(getattr(module, table))
            made.training = module.training
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made
