"""Copies between devices as operations of the graph, each over one call of `comm`: what wrappers that programs write
for themselves are made of.
"""

import warnings
from itertools import chain
from typing import Any

from ..._utils import _get_device_index
from ...autograd.function import Function
from ...cuda.streams import Stream
from ...devices import device
from . import comm


class Broadcast(Function):
    """Broadcast.apply(devices, *tensors): the tensors on the first device, then those on the second, and so on."""

    @staticmethod
    def forward(ctx, target_gpus, *inputs):
        if any(t.device.type == "cpu" for t in inputs):
            raise AssertionError("Broadcast function not implemented for CPU tensors")
        if not inputs:
            return ()
        ctx.num_inputs, ctx.input_device = len(inputs), inputs[0].get_device()
        copies = [[c.clone() for c in row] for row in comm.broadcast_coalesced(inputs, target_gpus)]
        still = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if not needed]
        ctx.mark_non_differentiable(*[row[i] for row in copies for i in still])
        return tuple(chain.from_iterable(copies))

    @staticmethod
    def backward(ctx, *grads):
        return (None, *ReduceAddCoalesced.apply(ctx.input_device, ctx.num_inputs, *grads))


class ReduceAddCoalesced(Function):
    """ReduceAddCoalesced.apply(device, n, *tensors): of every n tensors, which lie on one device, the sums over the
    devices.
    """

    @staticmethod
    def forward(ctx, destination, num_inputs, *grads):
        rows = [grads[i : i + num_inputs] for i in range(0, len(grads), num_inputs)]
        ctx.target_gpus = [row[0].get_device() for row in rows]
        return comm.reduce_add_coalesced(rows, destination)

    @staticmethod
    def backward(ctx, *grads):
        return (None, None, *Broadcast.apply(ctx.target_gpus, *grads))


class Gather(Function):
    """Gather.apply(device, dim, *tensors): the tensors joined along `dim` on a CUDA device, or on "cpu"."""

    @staticmethod
    def forward(ctx, target_device, dim, *inputs):
        if any(t.device.type == "cpu" for t in inputs):
            raise AssertionError("Gather function not implemented for CPU tensors")
        ctx.dim, ctx.input_gpus = dim, [t.get_device() for t in inputs]
        ctx.unsqueezed_scalar = dim == 0 and all(t.ndim == 0 for t in inputs)
        if ctx.unsqueezed_scalar:
            inputs = [t.reshape(1) for t in inputs]
            warnings.warn(
                "Was asked to gather along dimension 0, but all input tensors were scalars; will instead unsqueeze "
                "and return a vector.",
                stacklevel=2,
            )
        ctx.input_sizes = [t.shape[dim] for t in inputs]
        return comm.gather(inputs, dim, target_device)

    @staticmethod
    def backward(ctx, grad):
        parts = Scatter.apply(ctx.input_gpus, ctx.input_sizes, ctx.dim, grad)
        return (None, None, *([p[0] for p in parts] if ctx.unsqueezed_scalar else parts))


class Scatter(Function):
    """Scatter.apply(devices, sizes or None, dim, tensor): its chunks along `dim`, each on its device."""

    @staticmethod
    def forward(ctx, target_gpus, chunk_sizes, dim, input):
        ctx.dim, ctx.source = dim, input.device
        return tuple(chunk.clone() for chunk in comm.scatter(input, target_gpus, chunk_sizes, dim))

    @staticmethod
    def backward(ctx, *grads):
        return None, None, None, Gather.apply(ctx.source, ctx.dim, *grads)


_streams: dict[int, Stream] = {}


def _get_stream(device: device) -> Any:
    """The stream for copies to a CUDA device; None for the CPU."""
    if device.type == "cpu":
        return None
    index = _get_device_index(device, optional=True)
    if index not in _streams:
        _streams[index] = Stream(index)
    return _streams[index]
