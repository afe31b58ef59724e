"""Buckets: gradients that travel together, in memory that the ranks share."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.variable import Tensor, counter, wrap
from ...devices import CPU, namespace, scope, to_device
from .buckets import offsets

ALIGN = 64  # bytes: a cache line, so that neighbouring parameters never share one


def _layout(parameters: Sequence[Tensor], packed: bool = False) -> tuple[list[int], int]:
    """Where each parameter's gradient begins in a buffer of their dtype, and the buffer's length, in elements.

    packed: one right behind the other, without regard to ALIGN.
    """
    step = 1 if packed else max(ALIGN // parameters[0]._data.dtype.itemsize, 1)
    return offsets([p._data.size for p in parameters], step)


class Arena:
    """Memory for the gradients of all `parameters`, a block for each dtype, that is dealt out to buckets.

    It is allocated once: when buckets are laid out anew they lie in the same memory in another order.
    """

    def __init__(self, comm: Any, parameters: Sequence[Tensor]):
        kinds: dict[np.dtype, list[Tensor]] = {}
        for p in parameters:
            kinds.setdefault(p._data.dtype, []).append(p)
        self._blocks = {dtype: comm.allocate(_layout(alike)[1], dtype) for dtype, alike in kinds.items()}
        self.deal()

    def deal(self) -> None:
        """Begin to deal out anew, all zeros."""
        for block in self._blocks.values():
            block[...] = 0
        self._dealt = dict.fromkeys(self._blocks, 0)

    def longest(self) -> np.ndarray:
        """The largest of the blocks."""
        return max(self._blocks.values(), key=lambda block: block.nbytes)

    def take(self, length: int, dtype: np.dtype) -> np.ndarray:
        """The next `length` elements."""
        start = self._dealt[dtype]
        self._dealt[dtype] = start + length
        return self._blocks[dtype][start : start + length]


class Bucket:
    """Parameters whose gradients travel together: one buffer, and a view of it for each; packed: without gaps."""

    def __init__(
        self, comm: Any, arena: Arena, parameters: Sequence[Tensor], indices: Sequence[int], packed: bool = False
    ):
        first = parameters[0]
        dtype, self.device = first._data.dtype, first.device
        starts, length = _layout(parameters, packed)
        self.parameters, self.indices, self.comm = list(parameters), list(indices), comm
        self.memory = arena.take(length, dtype)  # what travels; the gradients too, where they live on the host
        if self.device.host:
            buffer = self.memory
        else:
            with scope(self.device):
                buffer = namespace(self.device).zeros(length, dtype)
        self.buffer = wrap(buffer, self.device)
        self.views = [
            wrap(buffer[s : s + p._data.size].reshape(p._data.shape), self.device)
            for s, p in zip(starts, parameters, strict=True)
        ]
        self.missing: set[int] = set()
        self.work: Any = None

    def start(self, aside: bool) -> None:
        """Begin averaging the buffer over the ranks; `aside`: in the group's thread, else it is done on return."""
        if not self.device.host:
            self.memory[...] = to_device(self.buffer._data, self.device, CPU)
        self.work = self.comm.all_reduce(self.memory, "avg", async_op=aside)

    def finish(self, scale: float = 1.0) -> None:
        """Wait for the average, and multiply it by `scale`."""
        if self.work is not None:
            self.work.wait()
            self.work = None
        if not self.device.host:
            with scope(self.device):
                self.buffer._data[...] = to_device(self.memory, CPU, self.device)
        self.changed(scale)

    def changed(self, scale: float = 1.0) -> None:
        """The buffer has new elements, to be multiplied by `scale`: let autograd know."""
        if scale != 1.0:
            self.buffer._data[...] *= scale
        for view in self.views:
            counter(view)[0] += 1


class GradBucket:
    """What a communication hook sees of a bucket."""

    def __init__(self, bucket: Bucket, index: int, last: bool):
        self._bucket, self._index, self._last, self._buffer = bucket, index, last, bucket.buffer

    def index(self) -> int:
        """The bucket's place in the order in which buckets are started."""
        return self._index

    def buffer(self) -> Tensor:
        """All gradients of the bucket, one after another, in one dimension."""
        return self._buffer

    def set_buffer(self, buffer: Tensor) -> None:
        """Show another tensor as the buffer; for hooks that wrap hooks."""
        self._buffer = buffer

    def gradients(self) -> list[Tensor]:
        """Views of the buffer that is shown, one for each parameter."""
        if self._buffer is self._bucket.buffer:
            return list(self._bucket.views)
        parameters = self._bucket.parameters
        starts = offsets([p._data.size for p in parameters], 1)[0]
        return [self._buffer[s : s + p._data.size].view(p.shape) for s, p in zip(starts, parameters, strict=True)]

    def parameters(self) -> list[Tensor]:
        return list(self._bucket.parameters)

    def is_last(self) -> bool:
        """Whether no further bucket is started in this backward."""
        return self._last
