"""Collectives of tensors, with PyTorch's signatures.

All ranks of `group` (None: the default group) must call the same one, with tensors of the same shape and dtype; a rank
outside does nothing. `src` and `dst` are ranks of the default group, `group_src` and `group_dst` of `group`. With
`async_op` a `Work` is returned at once, else None at the end. What does not fit raises TypeError or ValueError here, on
this rank; what cannot be finished raises CollectiveMismatch, PeerLost, GroupClosed or DeadlineExceeded on all
(docs/failures.md).

A tensor whose memory is contiguous on the host is used where it is; another pays one copy in and one out.
"""

import threading
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any

import numpy as np

from ..autograd.variable import Tensor, counter
from ..comm.clock import Deadline, RLock, sleep, spawn
from ..comm.errors import DeadlineExceeded, RanksMissing
from ..devices import CPU, scope, to_device
from ..futures import Future
from .arguments import as_real, check_dtypes, check_list, check_tensor, integer, outside, root_of
from .process_group import ProcessGroup, resolve, seconds
from .reduce_ops import ReduceOp, plain

LOOK = 0.001  # seconds between two looks at a future that is waited for with a limit


class Work:
    """An operation under way: wait(timeout) for its end, which also brings results into tensors that were copied
    out.
    """

    def __init__(
        self,
        pending: Sequence[Any] = (),
        finish: Callable[[], None] = lambda: None,
        tensors: Sequence[Tensor] = (),
    ):
        self._pending, self._finish, self._finished = list(pending), finish, False
        self._tensors = tensors

    def wait(self, timeout: timedelta | float | None = None) -> bool:
        """True once it has ended well; raises its error, or DeadlineExceeded after `timeout`."""
        limit = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        for work in self._pending:
            work.wait(limit)
        if not self._finished:
            self._finished = True
            self._finish()
        return True

    def is_completed(self) -> bool:
        return all(work.is_completed() for work in self._pending)

    def is_success(self) -> bool:
        return all(work.is_success() for work in self._pending)

    def exception(self) -> BaseException | None:
        return next((e for e in (work.exception() for work in self._pending) if e is not None), None)

    def source_rank(self) -> int:
        """The sender of a receive from anyone."""
        self.wait()
        return self._pending[0].result()

    _source_rank = source_rank

    def result(self) -> list[Tensor]:
        """The tensors that were filled, after the end."""
        self.wait()
        return list(self._tensors)

    def synchronize(self) -> None:
        """`wait`, which says nothing."""
        self.wait()

    def get_future(self) -> Future:
        """A future of the result; what follows from it (`then`) is computed by whoever waits for it."""
        return WorkFuture(self.result, self.is_completed)


_Work = Work  # what groups written in Python derive their handles from


class _Awaited:
    """A future as one of a handle's operations under way."""

    def __init__(self, future: Future):
        self._future = future

    def wait(self, timeout: float | None = None) -> None:
        if timeout is not None:
            limit = Deadline(timeout, "a work's future")
            while not self._future.done():
                limit.check()
                sleep(LOOK)
        self._future.wait()

    def is_completed(self) -> bool:
        return self._future.done()

    def is_success(self) -> bool:
        return self.is_completed() and self.exception() is None

    def exception(self) -> BaseException | None:
        if self._future.done():
            try:
                self._future.value()
            except Exception as error:  # the one that it was completed with
                return error
        return None


def _create_work_from_future(future: Future) -> Work:
    """The handle of an operation that ends with `future`, whose value is the tensors that were filled; for groups
    written in Python.
    """
    work = Work([_Awaited(future)])
    work.get_future = lambda: future
    return work


class WorkFuture(Future):
    """A future whose value is computed when it is waited for: `then` may use collectives itself without waiting for its
    own thread.

    run: computes the value; ready: whether it would do so without waiting.
    """

    def __init__(self, run: Callable[[], Any], ready: Callable[[], bool]):
        super().__init__()
        self._run, self._ready, self._running = run, ready, RLock()

    def done(self) -> bool:
        if not super().done() and self._ready():
            self._finish()
        return super().done()

    def wait(self) -> Any:
        self._finish()
        return self.value()

    def value(self) -> Any:
        self.done()  # an operation that has ended has a value, though nobody has waited for this future
        return super().value()

    def _finish(self) -> None:
        with self._running:
            if super().done():
                return
            try:
                self.set_result(self._run())
            except Exception as error:  # raised by value(), here and wherever else it is asked for
                self.set_exception(error)

    def add_done_callback(self, callback: Callable) -> None:
        """Call `callback(self)` at the end, in a thread that waits for it."""
        super().add_done_callback(callback)
        if not super().done():
            spawn(self._finish, "future")

    def then(self, callback: Callable[[Future], Any]) -> Future:
        def following() -> Any:
            self._finish()
            return callback(self)

        return WorkFuture(following, self.done)


class _Loan:
    """Tensors lent to an operation as contiguous host arrays; `settle` brings changes back and counts them."""

    def __init__(self):
        self._back: list[tuple[Tensor, np.ndarray | None]] = []

    def read(self, t: Tensor, what: str) -> np.ndarray:
        check_tensor(t, what)
        data = t._data if t.device.host else to_device(t._data, t.device, CPU)
        return np.asarray(data, order="C")

    def write(self, t: Tensor, what: str, *, fresh: bool = False) -> np.ndarray:
        """An array to be filled; `fresh`: its present elements do not matter."""
        check_tensor(t, what)
        if t.device.host and t._data.flags.c_contiguous and t._data.flags.writeable:
            self._back.append((t, None))
            return t._data
        staged = np.empty(t._data.shape, t._data.dtype) if fresh else self.read(t, what).copy()
        self._back.append((t, staged))
        return staged

    def settle(self) -> None:
        for t, staged in self._back:
            if staged is not None:
                with scope(t.device):
                    t._data[...] = staged if t.device.host else to_device(staged, CPU, t.device)
            counter(t)[0] += 1


def _factored(array: np.ndarray, factor: float | None) -> np.ndarray:
    """The array multiplied by the factor of a premultiplied sum, if there is one."""
    return array if factor is None else (array * array.dtype.type(factor)).astype(array.dtype, copy=False)


def _done(pending: Any, loan: _Loan, async_op: bool) -> Work | None:
    """What a collective returns: a handle, or nothing once its results are in place."""
    if async_op:
        return Work([pending], loan.settle, [t for t, _ in loan._back])
    loan.settle()
    return None


class _Collecting(threading.local):
    works: list[Work] | None = None  # of the collectives that were started inside a `_coalescing_manager`


collecting = _Collecting()


def _started(operation: Callable, *arguments: Any, loan: _Loan, async_op: bool) -> Work | None:
    """Carry out a collective that may be collected: inside a `_coalescing_manager` it is only started."""
    works = collecting.works
    if works is None:
        return _done(operation(*arguments, async_op=async_op), loan, async_op)
    works.append(Work([operation(*arguments, async_op=True)], loan.settle, [t for t, _ in loan._back]))
    return None


def barrier(group=None, async_op=False, device_ids=None, timeout=None):
    """Return when every rank of the group has called it; raise DeadlineExceeded, naming who is missing, if that takes
    longer than `timeout` (seconds or timedelta, by default the group's).
    """
    if outside(group, "barrier"):
        return None
    limit = None if timeout is None else seconds(timeout)
    return _done(resolve(group).comm.barrier(timeout=limit, async_op=async_op), _Loan(), async_op)


def broadcast(tensor, src=None, group=None, async_op=False, group_src=None):
    """Every rank's `tensor` becomes that of rank `src`."""
    if outside(group, "broadcast"):
        return None
    g, loan = resolve(group), _Loan()
    root = root_of(g, src, group_src, "src")
    return _done(g.comm.broadcast(loan.write(tensor, "tensor"), root, async_op=async_op), loan, async_op)


def all_reduce(tensor, op=ReduceOp.SUM, group=None, async_op=False):
    """`tensor` becomes its reduction over the ranks, the same bits on each. RuntimeError for AVG of integers."""
    if outside(group, "all_reduce"):
        return None
    g, loan = resolve(group), _Loan()
    array = loan.write(tensor, "tensor")
    name, factor = plain(op, array.dtype, "all_reduce")
    if factor is not None:
        array[...] = _factored(array, factor)
    return _started(g.comm.all_reduce, array, name, loan=loan, async_op=async_op)


def reduce(tensor, dst=None, op=ReduceOp.SUM, group=None, async_op=False, group_dst=None):
    """Rank `dst`'s `tensor` becomes the reduction over the ranks."""
    if outside(group, "reduce"):
        return None
    g, loan = resolve(group), _Loan()
    root = root_of(g, dst, group_dst, "dst")
    array = loan.write(tensor, "tensor")
    name, factor = plain(op, array.dtype, "reduce")
    if factor is not None:
        array[...] = _factored(array, factor)
    return _done(g.comm.reduce(array, root, name, async_op=async_op), loan, async_op)


def _uneven(group: ProcessGroup, arrays: Sequence[np.ndarray]) -> bool:
    """Whether arrays, one for each rank, differ in shape where that is allowed."""
    return group.backend == "nccl" and len({a.shape for a in arrays}) > 1


def _reduce_each(
    group: ProcessGroup, into: np.ndarray, arrays: list[np.ndarray], name: str, loan: _Loan, async_op: bool
) -> Work | None:
    """Reduce the r-th of the ranks' arrays, which are overwritten, into rank r's `into`."""
    works = [group.comm.reduce(array, root, name, async_op=True) for root, array in enumerate(arrays)]

    def finish() -> None:
        into[...] = arrays[group.rank()]
        loan.settle()

    work = Work(works, finish, [t for t, _ in loan._back])
    if async_op:
        return work
    work.wait()
    return None


def all_gather(tensor_list, tensor, group=None, async_op=False):
    """tensor_list[r] becomes rank r's `tensor`. With the backend nccl these may differ in size. Tensors of complex
    numbers are taken for real ones of (..., 2), and the other way round.
    """
    if outside(group, "all_gather"):
        return None
    check_list(tensor_list, "tensor_list")
    check_tensor(tensor, "tensor")
    check_dtypes(tensor, tensor_list, parts=True)
    g, loan = resolve(group), _Loan()
    outputs = [as_real(loan.write(t, "tensor_list", fresh=True)) for t in tensor_list]
    mine = as_real(loan.read(tensor, "tensor"))
    if _uneven(g, outputs):
        flat = [a.reshape(-1) for a in outputs]
        return _done(g.comm.all_to_all(flat, [mine.reshape(-1)] * g.size(), async_op=async_op), loan, async_op)
    return _done(g.comm.all_gather(outputs, mine, async_op=async_op), loan, async_op)


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op=False):
    """The ranks' tensors one after another (or stacked) in `output_tensor`."""
    if outside(group, "all_gather_into_tensor"):
        return None
    check_tensor(input_tensor, "input_tensor")
    check_tensor(output_tensor, "output_tensor")
    g, loan = resolve(group), _Loan()
    if output_tensor._data.dtype != input_tensor._data.dtype:
        raise TypeError("output tensor must have the same type as input tensor")
    if output_tensor._data.size != input_tensor._data.size * g.size():
        raise ValueError("output tensor size must be equal to world_size times input tensor size")
    mine = loan.read(input_tensor, "input_tensor")
    parts = _equal_parts(loan.write(output_tensor, "output_tensor", fresh=True), g.size(), mine.shape)
    return _started(g.comm.all_gather, parts, mine, loan=loan, async_op=async_op)


def _all_gather_base(output_tensor, input_tensor, group=None, async_op=False):
    """`all_gather_single` by its oldest name."""
    _told("_all_gather_base", "all_gather_single")
    return all_gather_into_tensor(output_tensor, input_tensor, group, async_op)


def _reduce_scatter_base(output, input, op=ReduceOp.SUM, group=None, async_op=False):
    """`reduce_scatter_single` by its oldest name."""
    _told("_reduce_scatter_base", "reduce_scatter_single")
    return reduce_scatter_tensor(output, input, op, group, async_op)


def _told(old: str, new: str) -> None:
    text = f"`torch.distributed.{old}` is a private function and will be deprecated. Please use "
    warnings.warn(f"{text}`torch.distributed.{new}` instead.", FutureWarning, stacklevel=3)


def _equal_parts(whole: np.ndarray, count: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Views of `whole`, one after another, all of one shape; also where that has no dimensions."""
    return [part.reshape(shape) for part in whole.reshape(count, -1 if whole.size else 0)]


def _check_with(tensor: Any, tensors: Any, what: str) -> None:
    """A tensor, and those that its root has besides, perhaps None."""
    check_tensor(tensor, "tensor")
    if tensors is not None:
        check_list(tensors, what)
        check_dtypes(tensor, tensors)


def gather(tensor, gather_list=None, dst=None, group=None, async_op=False, group_dst=None):
    """gather_list[r] of rank `dst` becomes rank r's `tensor`."""
    _check_with(tensor, gather_list, "gather_list")
    if outside(group, "gather"):
        return None
    g, loan = resolve(group), _Loan()
    root = root_of(g, 0 if dst is None and group_dst is None else dst, group_dst, "dst")
    outputs = None
    if g.rank() == root:
        if not gather_list:
            raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
        outputs = [loan.write(t, "gather_list", fresh=True) for t in gather_list]
    elif gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    return _done(g.comm.gather(loan.read(tensor, "tensor"), outputs, root, async_op=async_op), loan, async_op)


def scatter(tensor, scatter_list=None, src=None, group=None, async_op=False, group_src=None):
    """Rank r's `tensor` becomes scatter_list[r] of rank `src`."""
    _check_with(tensor, scatter_list, "scatter_list")
    if outside(group, "scatter"):
        return None
    g, loan = resolve(group), _Loan()
    root = root_of(g, 0 if src is None and group_src is None else src, group_src, "src")
    inputs = None
    if g.rank() == root:
        if not scatter_list:
            raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
        inputs = [loan.read(t, "scatter_list") for t in scatter_list]
    elif scatter_list:
        raise ValueError("Argument ``scatter_list`` must NOT be specified on non-source ranks.")
    return _done(
        g.comm.scatter(loan.write(tensor, "tensor", fresh=True), inputs, root, async_op=async_op), loan, async_op
    )


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None, async_op=False):
    """Rank r's `output` becomes the reduction of the ranks' input_list[r]. With nccl these may differ in size."""
    if outside(group, "reduce_scatter"):
        return None
    check_tensor(output, "output")
    check_list(input_list, "input_list")
    check_dtypes(output, input_list)
    g, loan = resolve(group), _Loan()
    into = loan.write(output, "output", fresh=True)
    name, factor = plain(op, into.dtype, "reduce_scatter")
    inputs = [_factored(loan.read(t, "input_list"), factor) for t in input_list]
    if _uneven(g, inputs):
        return _reduce_each(g, into, [a.copy() for a in inputs], name, loan, async_op)
    return _done(g.comm.reduce_scatter(into, inputs, name, async_op=async_op), loan, async_op)


def reduce_scatter_tensor(output, input, op=ReduceOp.SUM, group=None, async_op=False):
    """Rank r's `output` becomes the reduction of the r-th part of the ranks' `input`."""
    if outside(group, "reduce_scatter_tensor"):
        return None
    check_tensor(output, "output")
    check_tensor(input, "input")
    g, loan = resolve(group), _Loan()
    if input._data.dtype != output._data.dtype:
        raise TypeError("input tensor must be the same type as the output tensor.")
    if input._data.size != output._data.size * g.size():
        raise ValueError("input tensor must be the same size as output size times world size")
    into = loan.write(output, "output", fresh=True)
    name, factor = plain(op, into.dtype, "reduce_scatter_tensor")
    parts = _equal_parts(_factored(loan.read(input, "input"), factor), g.size(), into.shape)
    return _started(g.comm.reduce_scatter, into, parts, name, loan=loan, async_op=async_op)


all_gather_single, reduce_scatter_single = all_gather_into_tensor, reduce_scatter_tensor  # the newer names


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """output_tensor_list[r] becomes this rank's part of rank r's input_tensor_list."""
    if outside(group, "all_to_all"):
        return None
    check_list(output_tensor_list, "output_tensor_list")
    check_list(input_tensor_list, "input_tensor_list")
    check_dtypes(output_tensor_list, input_tensor_list)
    g, loan = resolve(group), _Loan()
    outputs = [loan.write(t, "output_tensor_list", fresh=True) for t in output_tensor_list]
    inputs = [loan.read(t, "input_tensor_list") for t in input_tensor_list]
    return _done(g.comm.all_to_all(outputs, inputs, async_op=async_op), loan, async_op)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None, async_op=False):
    """The r-th part of `input` goes to rank r; parts are rows of dimension 0, even unless sizes are given."""
    if outside(group, "all_to_all_single"):
        return None
    check_tensor(output, "output")
    check_tensor(input, "input")
    check_dtypes(output, input)
    g, loan = resolve(group), _Loan()
    into = _parts(loan.write(output, "output", fresh=True), output_split_sizes, g.size(), "output")
    parts = _parts(loan.read(input, "input"), input_split_sizes, g.size(), "input")
    return _done(g.comm.all_to_all(into, parts, async_op=async_op), loan, async_op)


def _parts(data: np.ndarray, lengths: Sequence[int] | None, count: int, name: str) -> list[np.ndarray]:
    rows = data.shape[0] if data.ndim else 1
    if not lengths:
        if rows % count:
            raise RuntimeError(
                f"Tensor's dim 0 does not divide equally across group size: {name} has {rows} rows for {count} ranks"
            )
        lengths = [rows // count] * count
    lengths = [integer(length, f"{name}_split_sizes", "a list of ints") for length in lengths]
    if len(lengths) != count or sum(lengths) != rows:
        raise RuntimeError(
            f"Split sizes doesn't match total dim 0 size: {name}_split_sizes={list(lengths)}, {rows} rows, {count} "
            "ranks"
        )
    ends = list(accumulate(lengths))
    return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def monitored_barrier(group=None, timeout=None, wait_all_ranks=False):
    """A barrier whose failure, RanksMissing, names the ranks that did not come: the first of them in front, or with
    `wait_all_ranks` all alike.

    timeout: seconds or timedelta, by default the group's. Once it is over, or if it is not positive, the ranks that
    have not come by then are missing.
    """
    if outside(group, "monitored_barrier"):
        return
    g = resolve(group)
    limit = g.comm.timeout if timeout is None else seconds(timeout, positive=False)
    try:
        g.comm.monitored_barrier(max(limit, 0.0))
    except DeadlineExceeded as late:
        if not late.missing:
            raise
        missing = tuple(g.ranks[int(str(name).split()[-1])] for name in late.missing)
        raise RanksMissing(g.ranks[g.rank()], g.ranks[0], limit, missing, wait_all_ranks) from None
