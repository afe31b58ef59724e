"""Reducer: gradients travel in buckets while backward goes on.

A parameter's gradient is written straight into its bucket's memory; the last one of a bucket starts that bucket's all-reduce;
the end of backward waits for all of them. Buckets start in the order of the plan on every rank, whatever the order in which
their gradients arrive.
"""

from collections.abc import Sequence
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
        self.memory = comm.allocate(length, dtype)  # what travels; the gradients themselves, where they live on the host
        if self.device.host:
            buffer = self.memory
        else:
            with scope(self.device):
                buffer = namespace(self.device).zeros(length, dtype)
        self.buffer = wrap(buffer, self.device)
        self.views = [
            wrap(buffer[s : s + p._data.size].reshape(p._data.shape), self.device) for s, p in zip(starts, parameters, strict=True)
        ]
        self.missing: set[int] = set()
        self.work: Any = None

    def start(self, op: str = "avg") -> None:
        """Begin the all-reduce of the buffer."""
        if not self.device.host:
            self.memory[...] = to_device(self.buffer._data, self.device, CPU)
        self.work = self.comm.all_reduce(self.memory, op, async_op=True)

    def finish(self) -> None:
        """Wait for the all-reduce."""
        self.work.wait()
        self.work = None
        if not self.device.host:
            with scope(self.device):
                self.buffer._data[...] = to_device(self.memory, CPU, self.device)
        for view in self.views:
            counter(view)[0] += 1


class Reducer:
    """Averages the gradients of `parameters` over the ranks of a `comm.Group`, during each backward while `enabled`.

    names: the parameters' names, for errors; find_unused: parameters may get no gradient in a backward (they must then be
    announced by `expect`); without it, one that gets none is an error.
    """

    def __init__(self, comm: Any, parameters: Sequence[Tensor], names: Sequence[str], cap_bytes: int, find_unused: bool):
        self.comm, self.parameters, self.names, self.find_unused = comm, list(parameters), list(names), find_unused
        self.enabled = True
        plan = plan_buckets([Item(p._data.nbytes, (p._data.dtype.str, p._data.dtype.name, str(p.device))) for p in parameters], cap_bytes)
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
                f"Expected to mark a variable ready only once. Parameter {self.names[i]} got a gradient twice in one backward: its module "
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
            self.buckets[self._next].start()
            self._next += 1

    def _end(self) -> None:
        """Backward is over: every bucket must be on its way; wait for them."""
        self._start_ready()
        self._running = False
        if self._next < len(self.buckets):
            late = sorted(i for i, (b, k) in self._place.items() if b >= self._next and k in self.buckets[b].missing)
            self._raise_unused(late)
        globally_unused = self._agree_on_unused()
        for bucket in self.buckets:
            bucket.finish()
        for i in self._unused:
            b, k = self._place[i]
            if i not in globally_unused:
                self.parameters[i]._grad = alias(self.buckets[b].views[k])
        self._unused = set()

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
            "Expected to have finished reduction of all gradients by the end of backward. This error indicates that your module has "
            "parameters that were not used in producing loss. You can enable unused parameter detection by passing the keyword argument "
            "`find_unused_parameters=True` to `torch.nn.parallel.DistributedDataParallel`, and by making sure all `forward` function "
            f"outputs participate in calculating loss.\nParameters which did not receive grad for rank {self.comm.rank}: {names}\n"
            f"Parameter indices which did not receive grad for rank {self.comm.rank}: {' '.join(map(str, late))}"
        )

    def close(self) -> None:
        """Leave the parameters as they were without a reducer."""
        for handle in self._handles:
            handle.remove()
        for p in self.parameters:
            p._grad_home = None
