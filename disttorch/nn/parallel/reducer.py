"""Reducer: gradients travel in buckets while backward goes on.

A parameter's gradient is written straight into its bucket's memory; the last one of a bucket starts that bucket's
all-reduce; the end of backward waits for all of them. Where ranks of one host compute on all its cores they reduce
what all have started whenever a gradient arrives; elsewhere a thread does it beside them. Buckets start in the order
of the plan on every rank, whatever the order in which their gradients arrive. After the first backward the plan is
made anew, from the order in which gradients really arrived.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...autograd.sweep import queue_callback
from ...autograd.variable import Tensor, alias, housed, wrap
from ...comm import GroupClosed
from ...devices import scope
from ...futures import Future
from .bucket import Arena, Bucket, GradBucket
from .bucket_size import is_crowded, measured_cap, on_one_host
from .buckets import FIRST_BUCKET_BYTES, Item, plan_buckets, plan_in_order


class Reducer:
    """Averages the gradients of `parameters` over the ranks of a `comm.Group`, in the backward after each `expect`.

    names: the parameters' names, for errors; cap_bytes: size of a bucket (None: as `measured_cap` finds best), or sizes
    of one after another; find_unused: parameters may get no gradient in a backward (they must then be announced by
    `expect`); without it, one that gets none is an error. static: which parameters get one, and how often in one
    backward, is learnt in the first, whose buckets travel at its end, and holds for all.
    """

    def __init__(
        self,
        comm: Any,
        parameters: Sequence[Tensor],
        names: Sequence[str],
        cap_bytes: int | Sequence[int] | None,
        find_unused: bool,
    ):
        self.comm, self.parameters, self.names, self.find_unused = comm, list(parameters), list(names), find_unused
        self.expecting = False  # whether a synchronised forward has not had its backward yet
        self.hook: Callable | None = None  # hook(GradBucket) -> Future of the reduced buffer, instead of averaging
        self.scale = 1.0  # of averages: more than 1 while some ranks have no more batches
        self._futures: list = []
        kinds = [(p._data.dtype.str, p._data.dtype.name, str(p.device)) for p in parameters]
        self._items = [Item(p._data.nbytes, kind) for p, kind in zip(parameters, kinds, strict=True)]
        self._arena = Arena(comm, self.parameters)
        crowded, total = is_crowded(comm), sum(item.nbytes for item in self._items)
        # Whether who computes reduces between whiles: small buckets, while they lie in the caches.
        self._by_turns = crowded and on_one_host(comm) and all(p.device.host for p in parameters)
        if cap_bytes is None and self._by_turns and total > FIRST_BUCKET_BYTES:
            cap_bytes = FIRST_BUCKET_BYTES
        if cap_bytes is None:
            cap_bytes = measured_cap(comm, self._arena.longest(), total, crowded)
        self.cap_bytes = cap_bytes
        self.static = False
        self.counts: list[int] | None = None  # how often each parameter gets a gradient, once that is learnt
        self.iterations = 0  # synchronised forwards so far
        self.arrived: list[int] = []  # the parameters in the order in which the first backward's gradients arrived here
        self.error = ""  # the text of the last error raised here
        self._awaited = False  # whether the sweep that contains all others will call `_end`
        self._order: list[int] | None = []  # in which gradients arrive in the first backward; None: the plan is settled
        self._lay_out(plan_buckets(self._items, cap_bytes))
        self.first_sizes = self.sizes()
        self._running = False
        self._next = 0  # the bucket whose all-reduce starts next; 0 between two backwards
        self._unused: set[int] = set()
        self._alone: set[int] = set()  # parameters whose gradients this rank has accumulated alone (no_sync)
        self._handles = []
        for i, p in enumerate(self.parameters):
            self._handles.append(p.register_post_accumulate_grad_hook(lambda t, i=i: self._arrived(i, t)))

    def _lay_out(self, plan: list[list[int]]) -> None:
        """Make the plan's buckets; gradients will be written into them."""
        self._arena.deal()
        packed = self.hook is not None
        self.buckets = [Bucket(self.comm, self._arena, [self.parameters[i] for i in ids], ids, packed) for ids in plan]
        self.persistent = self._make_persistent()
        self._place = {i: (b, k) for b, bucket in enumerate(self.buckets) for k, i in enumerate(bucket.indices)}
        housed.add(self)
        for i, p in enumerate(self.parameters):
            p._grad_home = self._view(i)

    def _make_persistent(self) -> Any:
        """The buckets' all-reduces by those who compute; None: a thread carries them out."""
        if self.hook is not None or not self._by_turns:
            return None
        return self.comm.all_reduce_init([bucket.memory for bucket in self.buckets], "avg")

    def _view(self, i: int) -> Tensor:
        """Where parameter `i`'s gradient lies."""
        b, k = self._place[i]
        return self.buckets[b].views[k]

    def sizes(self) -> list[int]:
        """Bytes of the parameters in each bucket."""
        return [sum(self._items[i].nbytes for i in bucket.indices) for bucket in self.buckets]

    def expect(self, unused: set[int]) -> None:
        """A new backward is coming in which the parameters `unused` (indices) get no gradient."""
        if self._next:
            self._give_up_round()
        self._running = self._awaited = False
        self.expecting = True
        self._unused = unused
        self.iterations += 1

    def _give_up_round(self) -> None:
        """The last backward began and did not end: nobody may still reduce what it left when the next writes there."""
        for bucket in self.buckets[: self._next]:
            bucket.finish()
        futures, self._futures = self._futures, []
        for future in futures:
            future.wait()
        if self.persistent is not None:
            self.persistent.give_up()

    def prepare_for_backward(self, outputs: list) -> None:
        """Average in the coming backward, though its forward ran under `no_sync`; all parameters must be used."""
        self.expect(set())

    def await_end(self) -> None:
        """Backward has reached the module's output: what is above it, not a sweep inside it, ends the reduction."""
        if self.expecting and not self._awaited:
            self._awaited = True
            queue_callback(self._awaited_end)

    def _awaited_end(self) -> None:
        self._awaited = False
        if self._running:
            self._end()

    @property
    def settled(self) -> bool:
        """Whether the plan of buckets is final."""
        return self._order is None

    def _begin(self) -> None:
        self._running, self._next = True, 0
        if self._order is not None:
            self._order = []
        self._seen = [0] * len(self.parameters)
        for bucket in self.buckets:
            bucket.missing = set(range(len(bucket.parameters)))
        if not self._awaited:
            queue_callback(self._end)
        if self.static and self.counts is not None:
            self._unused = {i for i, count in enumerate(self.counts) if count == 0}
        if not self._learning:
            unused, self._unused = self._unused, set()
            self._fill(unused)

    @property
    def _learning(self) -> bool:
        return self.static and self.counts is None

    def _fill(self, unused: Iterable[int]) -> None:
        """The parameters that get no gradient in this backward have what they hold, or zeros, ready."""
        for i in sorted(unused):
            b, k = self._place[i]
            parameter, view = self.parameters[i], self._view(i)
            if parameter._grad is None:
                view._data[...] = 0
            else:
                self._take_in(parameter, view)
            if parameter._grad is None or i not in self._alone:
                self._unused.add(i)
            self.buckets[b].missing.discard(k)

    def _arrived(self, i: int, parameter: Tensor) -> None:
        """A parameter's gradient is complete."""
        if not self.expecting:
            self._alone.add(i)
            return
        if not self._running:
            self._begin()
        b, k = self._place[i]
        bucket = self.buckets[b]
        self._take_in(parameter, bucket.views[k])
        self._seen[i] += 1
        if self.static and self._to_be_continued(i):
            return
        if k not in bucket.missing:
            self._fail(
                f"Expected to mark a variable ready only once. Parameter {self.names[i]} got a gradient twice in one "
                "backward: its module is used in several reentrant backward passes, or it was announced as unused."
            )
        bucket.missing.discard(k)
        if self._order is not None:
            self._order.append(i)
        if not bucket.missing:
            self._start_ready()
        if self.persistent is not None:
            self.persistent.progress()

    def _to_be_continued(self, i: int) -> bool:
        """Whether more of parameter `i`'s gradient comes, in a static graph; while that is learnt it may."""
        if self.counts is None:
            if self._order is not None:
                if self._seen[i] > 1:
                    self._order.remove(i)
                self._order.append(i)
            return True
        if self._seen[i] > self.counts[i]:
            self._fail(
                "Your training graph has changed in this iteration, e.g., one parameter is unused in first iteration, "
                "but then got used in the second iteration. this is not compatible with static_graph set to True.\n"
                f"The parameter is {self.names[i]}."
            )
        return self._seen[i] < self.counts[i]

    def _learn(self) -> None:
        """The first backward of a static graph is over: all gradients are there."""
        self.counts = self._seen
        self._fill(i for i, count in enumerate(self.counts) if count == 0)
        for bucket in self.buckets:
            bucket.missing.clear()

    def _fail(self, text: str) -> None:
        self._running = self.expecting = False
        self.error = text
        raise RuntimeError(text)

    @staticmethod
    def _take_in(parameter: Tensor, view: Tensor) -> None:
        """Make sure that the gradient lies in the bucket: it does unless the user replaced it."""
        held = parameter._grad
        if _lies_in(held, view):
            return
        with scope(parameter.device):
            view._data[...] = held._data
        parameter._grad = alias(view)

    def _start_ready(self, ending: bool = False) -> None:
        """Start the buckets that are full. Where a thread reduces them, the last one has nothing left to overlap with:
        the end of backward carries it out itself, rather than wake that thread and wait for it.
        """
        by_thread = self.hook is None and self.persistent is None
        while self._next < len(self.buckets) and not self.buckets[self._next].missing:
            if self._next == len(self.buckets) - 1 and not ending and by_thread:
                return
            self._start(self._next)
            self._next += 1

    def _start(self, index: int) -> None:
        bucket, last = self.buckets[index], index == len(self.buckets) - 1
        if self.persistent is not None:
            self.persistent.start(index)
        elif self.hook is None:
            bucket.start(aside=not last)
        else:
            future = self.hook(GradBucket(bucket, index, last))
            if not isinstance(future, Future):
                self._fail(f"callback must return a torch.futures.Future object, but got {type(future).__name__}")
            self._futures.append(future)

    def _end(self) -> None:
        """Backward is over: every bucket must be on its way; wait for them."""
        if self._learning:
            self._learn()
        elif self.find_unused and not self.static:  # what the module's output depends on, and the loss does not
            self._fill(self._late())
        self.expecting = False
        self._alone.clear()
        try:
            self._start_ready(ending=True)
            self._running = False
            if self._next < len(self.buckets):
                self._raise_unused(self._late())
            globally_unused = self._agree_on_unused()
        except GroupClosed:  # the bucket that broke the group knows why
            for bucket in self.buckets[: self._next]:
                bucket.finish(self.scale)
            raise
        self._finish()
        self._next = 0
        for i in self._unused:
            if i not in globally_unused:
                self.parameters[i]._grad = alias(self._view(i))
        self._unused = set()
        self._settle()
        self._step()

    def _settle(self) -> None:
        """After the first backward: buckets in the order in which gradients arrived on rank 0, on all ranks.

        With a communication hook they stay as they are: it may remember something of each.
        """
        arrived, self._order = self._order, None
        self.arrived = arrived or self.arrived
        if arrived is None or self.hook is not None:
            return
        late = sorted(set(range(len(self.parameters))) - set(arrived), reverse=True)
        order = np.array(arrived + late, np.int64)
        self.comm.broadcast(order, 0)
        plan = plan_in_order(self._items, order.tolist(), self.cap_bytes)
        if plan != [bucket.indices for bucket in self.buckets]:
            self._lay_out_anew(plan)

    def set_hook(self, hook: Callable) -> None:
        """Let `hook` reduce buckets from now on; it finds no gaps in them."""
        self.hook = hook
        self._lay_out_anew([bucket.indices for bucket in self.buckets])

    def _lay_out_anew(self, plan: list[list[int]]) -> None:
        """Make other buckets, with the gradients that there are."""
        held = {}
        for i, p in enumerate(self.parameters):
            if p._grad is not None and _lies_in(p._grad, self._view(i)):
                with scope(p.device):
                    held[i] = wrap(p._grad._data.copy(), p.device)
        self._lay_out(plan)
        for i, gradient in held.items():
            self.parameters[i]._grad = gradient
            self._take_in(self.parameters[i], self._view(i))

    def _finish(self) -> None:
        if self.hook is None:
            if self.persistent is not None:
                self.persistent.wait()
            for bucket in self.buckets:
                bucket.finish(self.scale)
            return
        futures, self._futures = self._futures, []
        for bucket, future in zip(self.buckets, futures, strict=True):
            value = future.wait()
            size = bucket.buffer._data.size
            if not isinstance(value, Tensor) or value._data.size != size:
                got = f"a tensor of {value._data.size}" if isinstance(value, Tensor) else type(value).__name__
                self._fail(f"callback must return a Future of a tensor of the bucket's {size} elements, but got {got}")
            if value._data is not bucket.buffer._data:
                with scope(bucket.device):
                    bucket.buffer._data[...] = value._data.reshape(-1)
            bucket.changed()

    def shadow(self) -> None:
        """Take part in the other ranks' reductions of one backward with zeros; the average is this rank's as well."""
        for index, bucket in enumerate(self.buckets):
            bucket.buffer._data[...] = 0
            self._start(index)
        self._unused = set(range(len(self.parameters)))
        unused = self._agree_on_unused()
        self._finish()
        for i, parameter in enumerate(self.parameters):
            if i not in unused:
                parameter._grad = alias(self._view(i))
        self._unused = set()
        self._settle()
        self._step()

    def _step(self) -> None:
        """Optimizers that parameters have for backward take their step with the average, and drop it."""
        for p in self.parameters:
            for optimizer in getattr(p, "_in_backward_optimizers", ()):
                optimizer.step()
                p.grad = None

    def _late(self) -> list[int]:
        """The parameters whose gradients have not come."""
        return sorted(i for i, (b, k) in self._place.items() if b >= self._next and k in self.buckets[b].missing)

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
        reason = (
            "Expected to have finished reduction in the prior iteration before starting a new one. This error "
            "indicates that your training graph has changed in this iteration, e.g., one parameter is used in first "
            "iteration, but then got unused in the second iteration. this is not compatible with static_graph set to "
            "True."
            if self.static
            else "Expected to have finished reduction of all gradients by the end of backward. This error indicates "
            "that your module has parameters that were not used in producing loss. You can enable unused parameter "
            "detection by passing the keyword argument `find_unused_parameters=True` to "
            "`torch.nn.parallel.DistributedDataParallel`, and by making sure all `forward` function outputs "
            "participate in calculating loss."
        )
        self._fail(
            f"{reason}\n"
            f"Parameters which did not receive grad for rank {self.comm.rank}: {names}\n"
            f"Parameter indices which did not receive grad for rank {self.comm.rank}: {' '.join(map(str, late))}"
        )

    def close(self) -> None:
        """Leave the parameters as they were without a reducer."""
        for handle in self._handles:
            handle.remove()
        for p in self.parameters:
            p._grad_home = None
        housed.discard(self)


def _lies_in(gradient: Tensor, view: Tensor) -> bool:
    return gradient._data is view._data or (view.device.host and np.shares_memory(gradient._data, view._data))
