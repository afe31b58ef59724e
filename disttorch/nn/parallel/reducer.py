"""Reducer: gradients travel in buckets while backward goes on.

A parameter's gradient is written straight into its bucket's memory; the last one of a bucket starts that bucket's
all-reduce; the end of backward waits for all of them. Buckets start in the order of the plan on every rank, whatever
the order in which their gradients arrive.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...autograd.sweep import queue_callback
from ...autograd.variable import Tensor, alias, counter, wrap
from ...devices import CPU, namespace, scope, to_device
from .buckets import Item, offsets, plan_buckets

ALIGN = 64  # bytes: a cache line, so that neighbouring parameters never share one


class Bucket:
    """Parameters whose gradients travel together: one buffer, and a view of it for each."""

    def __init__(self, comm: Any, parameters: Sequence[Tensor], indices: Sequence[int]):
        first = parameters[0]
        dtype, self.device = first._data.dtype, first.device
        starts, length = offsets([p._data.size for p in parameters], max(ALIGN // dtype.itemsize, 1))
        self.parameters, self.indices, self.comm = list(parameters), list(indices), comm
        self.memory = comm.allocate(
            length, dtype
        )  # what travels; the gradients themselves, where they live on the host
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

    def start(self) -> None:
        """Begin averaging the buffer over the ranks."""
        if not self.device.host:
            self.memory[...] = to_device(self.buffer._data, self.device, CPU)
        self.work = self.comm.all_reduce(self.memory, "avg", async_op=True)

    def finish(self, scale: float = 1.0) -> None:
        """Wait for the average, and multiply it by `scale`."""
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
        """All gradients of the bucket, in one dimension (with gaps of zeros between them)."""
        return self._buffer

    def set_buffer(self, buffer: Tensor) -> None:
        """Show another tensor as the buffer; for hooks that wrap hooks."""
        self._buffer = buffer

    def gradients(self) -> list[Tensor]:
        """Views of the buffer, one for each parameter."""
        return list(self._bucket.views)

    def parameters(self) -> list[Tensor]:
        return list(self._bucket.parameters)

    def is_last(self) -> bool:
        """Whether no further bucket is started in this backward."""
        return self._last


class Reducer:
    """Averages the gradients of `parameters` over the ranks of a `comm.Group`, during each backward while `enabled`.

    names: the parameters' names, for errors; find_unused: parameters may get no gradient in a backward (they must then
    be announced by `expect`); without it, one that gets none is an error.
    """

    def __init__(
        self, comm: Any, parameters: Sequence[Tensor], names: Sequence[str], cap_bytes: int, find_unused: bool
    ):
        self.comm, self.parameters, self.names, self.find_unused = comm, list(parameters), list(names), find_unused
        self.enabled = True
        self.hook: Callable | None = None  # hook(GradBucket) -> Future of the reduced buffer, instead of averaging
        self.scale = 1.0  # of averages: more than 1 while some ranks have no more batches
        self._futures: list = []
        plan = plan_buckets(
            [Item(p._data.nbytes, (p._data.dtype.str, p._data.dtype.name, str(p.device))) for p in parameters],
            cap_bytes,
        )
        self.buckets = [Bucket(comm, [parameters[i] for i in indices], indices) for indices in plan]
        self._place = {i: (b, k) for b, bucket in enumerate(self.buckets) for k, i in enumerate(bucket.indices)}
        self._running = False
        self._next = 0  # the bucket whose all-reduce starts next
        self._unused: set[int] = set()
        self._handles = []
        for i, p in enumerate(self.parameters):
            b, k = self._place[i]
            p._grad_home = self.buckets[b].views[k]
            self._handles.append(p.register_post_accumulate_grad_hook(lambda t, i=i: self._arrived(i, t)))

    def expect(self, unused: set[int]) -> None:
        """A new backward is coming in which the parameters `unused` (indices) get no gradient."""
        self._running = False
        self._unused = unused

    def _begin(self) -> None:
        self._running, self._next = True, 0
        for bucket in self.buckets:
            bucket.missing = set(range(len(bucket.parameters)))
        queue_callback(self._end)
        for i in sorted(self._unused):
            b, k = self._place[i]
            self.buckets[b].views[k]._data[...] = 0
            self.buckets[b].missing.discard(k)

    def _arrived(self, i: int, parameter: Tensor) -> None:
        """A parameter's gradient is complete."""
        if not self.enabled:
            return
        if not self._running:
            self._begin()
        b, k = self._place[i]
        bucket = self.buckets[b]
        self._take_in(parameter, bucket.views[k])
        if k not in bucket.missing:
            self._running = False
            raise RuntimeError(
                f"Expected to mark a variable ready only once. Parameter {self.names[i]} got a gradient twice in one "
                "backward: its module "
                "is used in several reentrant backward passes, or it was announced as unused."
            )
        bucket.missing.discard(k)
        self._start_ready()

    @staticmethod
    def _take_in(parameter: Tensor, view: Tensor) -> None:
        """Make sure that the gradient lies in the bucket: it does unless the user replaced it."""
        held = parameter._grad
        if held._data is view._data or (parameter.device.host and np.shares_memory(held._data, view._data)):
            return
        with scope(parameter.device):
            view._data[...] = held._data
        parameter._grad = alias(view)

    def _start_ready(self) -> None:
        while self._next < len(self.buckets) and not self.buckets[self._next].missing:
            bucket, last = self.buckets[self._next], self._next == len(self.buckets) - 1
            if self.hook is None:
                bucket.start()
            else:
                self._futures.append(self.hook(GradBucket(bucket, self._next, last)))
            self._next += 1

    def _end(self) -> None:
        """Backward is over: every bucket must be on its way; wait for them."""
        self._start_ready()
        self._running = False
        if self._next < len(self.buckets):
            late = sorted(i for i, (b, k) in self._place.items() if b >= self._next and k in self.buckets[b].missing)
            self._raise_unused(late)
        globally_unused = self._agree_on_unused()
        self._finish()
        for i in self._unused:
            b, k = self._place[i]
            if i not in globally_unused:
                self.parameters[i]._grad = alias(self.buckets[b].views[k])
        self._unused = set()

    def _finish(self) -> None:
        if self.hook is None:
            for bucket in self.buckets:
                bucket.finish(self.scale)
            return
        futures, self._futures = self._futures, []
        for bucket, future in zip(self.buckets, futures, strict=True):
            value = future.wait()
            if value._data is not bucket.buffer._data:
                with scope(bucket.device):
                    bucket.buffer._data[...] = value._data
            bucket.changed()

    def shadow(self) -> None:
        """Take part in the other ranks' reductions of one backward with zeros, leaving this rank's gradients alone."""
        if self.hook is not None:
            raise RuntimeError("join() does not work together with register_comm_hook()")
        if self.find_unused:
            self.comm.all_reduce(np.zeros(len(self.parameters), np.uint8), "max")
        for bucket in self.buckets:
            self.comm.all_reduce(np.zeros_like(bucket.memory), "avg")

    def _agree_on_unused(self) -> set[int]:
        """The parameters that no rank used: their gradients stay as they were."""
        if not self.find_unused:
            return set()
        used = np.ones(len(self.parameters), np.uint8)
        used[sorted(self._unused)] = 0
        self.comm.all_reduce(used, "max")
        return set(np.flatnonzero(used == 0).tolist())

    def _raise_unused(self, late: list[int]) -> None:
        names = ", ".join(self.names[i] for i in late)
        raise RuntimeError(
            "Expected to have finished reduction of all gradients by the end of backward. This error indicates that "
            "your module has "
            "parameters that were not used in producing loss. You can enable unused parameter detection by passing "
            "the keyword argument "
            "`find_unused_parameters=True` to `torch.nn.parallel.DistributedDataParallel`, and by making sure all "
            "`forward` function "
            "outputs participate in calculating loss.\nParameters which did not receive grad for rank "
            f"{self.comm.rank}: {names}\n"
            f"Parameter indices which did not receive grad for rank {self.comm.rank}: {' '.join(map(str, late))}"
        )

    def close(self) -> None:
        """Leave the parameters as they were without a reducer."""
        for handle in self._handles:
            handle.remove()
        for p in self.parameters:
            p._grad_home = None
