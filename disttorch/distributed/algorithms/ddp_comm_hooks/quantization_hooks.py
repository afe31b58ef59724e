"""Averaging buckets in 8 bits, with what rounding lost carried into the next step.

Seide et al., "1-Bit Stochastic Gradient Descent" (2014) for the error feedback; uniform symmetric quantisation.
"""

from typing import Any

from .... import dtypes
from ....autograd.variable import Tensor
from ....futures import Future
from ....ops import cat, empty_like, stack, tensor
from ...collectives import all_gather
from ...process_group import get_world_size

LEVELS = 127  # of int8 on either side of 0


class QuantizationState:
    """The process group, and the rounding error that each bucket still owes (`errors`, by bucket index)."""

    def __init__(self, process_group: Any = None):
        self.process_group = process_group
        self.errors: dict[int, Tensor] = {}


def quantization_pertensor_hook(state: Any, bucket: Any) -> Future:
    """The average of the ranks' buckets, each sent as int8 with one scale: a quarter of float32's bytes.

    state: a QuantizationState, which feeds errors back, or a process group (None: the default one), which does not.
    """
    return _average(state, bucket, bucket.buffer().numel())


def quantization_perchannel_hook(state: Any, bucket: Any, bucket_size: int = 512) -> Future:
    """As `quantization_pertensor_hook`, with a scale for each `bucket_size` neighbouring elements, which is finer."""
    return _average(state, bucket, bucket_size)


def _average(state: Any, bucket: Any, length: int) -> Future:
    """The buckets' average, quantised in rows of `length` elements."""
    feedback = isinstance(state, QuantizationState)
    group = state.process_group if feedback else state
    buffer, index = bucket.buffer(), bucket.index()
    size = buffer.numel()
    wanted = buffer + state.errors[index] if feedback and index in state.errors else buffer.clone()
    rows = cat([wanted, wanted.new_zeros(-size % length)]).view(-1, length)
    scale = rows.abs().amax(1, keepdim=True) / LEVELS
    scale = scale.masked_fill(scale == 0, 1)
    small = (rows / scale).round().to(dtypes.int8)
    if feedback:
        state.errors[index] = wanted - (small.to(wanted.dtype) * scale).flatten()[:size]
    count = get_world_size(group)
    parts, scales = [empty_like(small) for _ in range(count)], [empty_like(scale) for _ in range(count)]
    first = all_gather(parts, small, group, async_op=True)
    second = all_gather(scales, scale, group, async_op=True)

    def averaged(_: Any) -> Tensor:
        second.wait()
        restored = stack([p.to(buffer.dtype) * s for p, s in zip(parts, scales, strict=True)])
        return buffer.copy_(restored.sum(0).flatten()[:size] / tensor(float(count), dtype=buffer.dtype))

    return first.get_future().then(averaged)
