"""A group of ranks and everything they can do together.

Arrays are C-contiguous NumPy arrays of equal dtype and shape on all ranks, changed in place. Every method blocks until
this rank's part is done; with `async_op=True` it returns a `Work` at once, and the arrays must be left alone until
`work.wait()`. Works run in the order of their issue. All methods raise, on every rank alike:

    PeerLost            a rank died or gave up         GroupClosed   after close(), or after an earlier failure
    CollectiveMismatch  the ranks' calls differ        DeadlineExceeded   after `timeout` seconds
    Deadlock            all wait for one another
    TypeError, ValueError  before anything is sent: an argument is not what the method takes
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from . import clock, observing
from .arguments import flat_views, readable, writable
from .attendance import Attendance
from .call import Call, caller, fingerprint
from .direct import DirectEngine
from .errors import CommError, Deadlock, GroupClosed, PeerLost, last_words
from .objects import Objects
from .persistent import PersistentAllReduce, persistent_all_reduce
from .reduction import check_op
from .work import Runner, Work

TIMEOUT = 1800.0  # seconds; generous, because liveness, not the clock, finds the dead
HISTORY = 1000  # operations remembered per rank

_groups: WeakValueDictionary[int, Group] = WeakValueDictionary()  # by `id`: all that are alive, for `report`


class Record(NamedTuple):
    """One operation in a group's history: its number, its call, and when it began (clock.now)."""

    number: int
    call: Call
    began: float


class Group(Objects):
    """`size` ranks, of which this is number `rank`. Made by `comm.connect` or `comm.inproc_groups`.

    hosts: the host of every rank; timeout: default limit of every operation, in seconds.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        hosts: Sequence[str],
        engine: Any,
        p2p: Any,
        *,
        kind: str,
        timeout: float = TIMEOUT,
        watch: Callable[[], None] = lambda: None,
        split: Callable[[list[int], int | str], Group],
        allocate: Callable[[int], np.ndarray] | None = None,
        on_close: Callable[[float], None] = lambda patience: None,
    ):
        self.rank, self.size, self.hosts, self.kind, self.timeout = rank, size, tuple(hosts), kind, timeout
        self._engine, self._p2p, self._watch = engine, p2p, watch
        self._make_split, self._make_memory, self._on_close = split, allocate, on_close
        self._runner = Runner(f"comm:{kind}:{rank}", lambda: self.attendance.wait())
        self._lock = clock.Lock()
        self._failure: BaseException | None = None
        self._closed = False
        self._number = 0
        self._limit: float | None = None  # of collectives that start within a block of `within`
        self._splits: Counter[Any] = Counter()  # how many groups were made by all ranks (None), by these ranks alone
        self._children: list[Group] = []
        self.name, self.members = "", list(range(size))  # unique among groups made from one; the ranks' numbers there
        self.attendance = Attendance()
        self.attendance.groups.append(self)
        self.history: deque[Record] = deque(maxlen=HISTORY)
        self.pending: Record | None = None  # the collective under way, or the one that failed
        _groups[id(self)] = self

    def __repr__(self) -> str:
        state = "closed" if self._closed else "broken" if self._failure else "open"
        return f"<Group rank {self.rank} of {self.size} over {self.kind}, {state}>"

    # Collectives

    def barrier(self, *, timeout: float | None = None, async_op: bool = False) -> Work | None:
        """Return when all ranks have called it, within `timeout` seconds if that is given, else the group's."""
        call = self._call("barrier")

        def run(limit: clock.Deadline, patient: bool) -> None:
            if timeout is None:
                self._engine.barrier(call, limit, patient)
            else:
                with self.attendance.limited():
                    self._engine.barrier(call, clock.Deadline(timeout, call.name), patient)

        return self._start(call, run, async_op)

    def monitored_barrier(self, timeout: float | None = None) -> None:
        """A barrier that takes at most `timeout` seconds; its DeadlineExceeded names, on rank 0, all who did not come.

        The other ranks learn the names from rank 0, or name it.
        """
        call = self._call("monitored_barrier")
        seconds = self.timeout if timeout is None else timeout

        def run(_limit: clock.Deadline, patient: bool) -> None:
            with self.attendance.limited():
                self._engine.monitored_barrier(call, clock.Deadline(seconds, call.name), patient)

        self._start(call, run, False)

    def all_reduce(self, array: np.ndarray, op: str = "sum", *, async_op: bool = False) -> Work | None:
        """Replace `array` by its reduction over all ranks.

        op: sum, avg, product (prod), min, max, band, bor or bxor. float16 and bfloat16 accumulate in float32. The
        result has the same bits on all ranks and in every run.
        """
        flat = writable(array, "array")
        op = check_op(op, array.dtype)
        call = self._call("all_reduce", array, op)
        return self._start(
            call, lambda limit, patient: self._engine.all_reduce(call, limit, patient, flat, op), async_op
        )

    def all_reduce_init(self, arrays: Sequence[np.ndarray], op: str = "sum") -> PersistentAllReduce | None:
        """An all-reduce of all `arrays` to be carried out over and over, by ranks that compute meanwhile.

        arrays: at least one, from `allocate` or parts of such. None, on all ranks, where they cannot do that: one
        another's arrays must be seen in place.
        """
        if not arrays:
            raise ValueError("arrays must hold at least one array, got none")
        flat = [writable(array, f"arrays[{index}]") for index, array in enumerate(arrays)]
        for array in flat:
            check_op(op, array.dtype)
        if not isinstance(self._engine, DirectEngine):
            return None
        return persistent_all_reduce(self, self._engine, flat, check_op(op, flat[0].dtype))

    def broadcast(self, array: np.ndarray, src: int, *, async_op: bool = False) -> Work | None:
        """Fill every rank's `array` with that of rank `src`."""
        flat, src = writable(array, "array"), self._check_rank(src, "src")
        call = self._call("broadcast", array, root=src)
        return self._start(
            call, lambda limit, patient: self._engine.broadcast(call, limit, patient, flat, src), async_op
        )

    def reduce(self, array: np.ndarray, dst: int, op: str = "sum", *, async_op: bool = False) -> Work | None:
        """Like all_reduce, but only rank `dst` gets the result; the other arrays stay as they are."""
        flat, dst = writable(array, "array"), self._check_rank(dst, "dst")
        op = check_op(op, array.dtype)
        call = self._call("reduce", array, op, dst)
        return self._start(
            call, lambda limit, patient: self._engine.reduce(call, limit, patient, flat, dst, op), async_op
        )

    def all_gather(self, outputs: Sequence[np.ndarray], array: np.ndarray, *, async_op: bool = False) -> Work | None:
        """Fill outputs[r] with rank r's `array`, on all ranks."""
        flat, outs = readable(array, "array"), self._check_list(outputs, array, "outputs")
        call = self._call("all_gather", array)
        return self._start(
            call, lambda limit, patient: self._engine.all_gather(call, limit, patient, outs, flat), async_op
        )

    def gather(
        self, array: np.ndarray, outputs: Sequence[np.ndarray] | None, dst: int, *, async_op: bool = False
    ) -> Work | None:
        """Fill outputs[r] with rank r's `array` on rank `dst`; elsewhere `outputs` is None."""
        flat, dst = readable(array, "array"), self._check_rank(dst, "dst")
        outs = self._check_rooted(outputs, array, "outputs", dst)
        call = self._call("gather", array, root=dst)
        return self._start(
            call, lambda limit, patient: self._engine.gather(call, limit, patient, flat, outs, dst), async_op
        )

    def scatter(
        self, output: np.ndarray, inputs: Sequence[np.ndarray] | None, src: int, *, async_op: bool = False
    ) -> Work | None:
        """Fill rank r's `output` with inputs[r] of rank `src`; elsewhere `inputs` is None."""
        flat, src = writable(output, "output"), self._check_rank(src, "src")
        parts = self._check_rooted(inputs, output, "inputs", src, readable)
        call = self._call("scatter", output, root=src)
        return self._start(
            call, lambda limit, patient: self._engine.scatter(call, limit, patient, flat, parts, src), async_op
        )

    def reduce_scatter(
        self, output: np.ndarray, inputs: Sequence[np.ndarray], op: str = "sum", *, async_op: bool = False
    ) -> Work | None:
        """Fill rank r's `output` with the reduction over all ranks of their inputs[r]."""
        flat, parts = writable(output, "output"), self._check_list(inputs, output, "inputs", readable)
        op = check_op(op, output.dtype)
        call = self._call("reduce_scatter", output, op)
        return self._start(
            call, lambda limit, patient: self._engine.reduce_scatter(call, limit, patient, flat, parts, op), async_op
        )

    def all_to_all(
        self, outputs: Sequence[np.ndarray], inputs: Sequence[np.ndarray], *, async_op: bool = False
    ) -> Work | None:
        """Fill outputs[r] with rank r's inputs[this rank]. Sizes may differ between pairs of ranks."""
        dtype = self._check_count(outputs, "outputs")[0].dtype
        outs = flat_views(outputs, dtype, "outputs", writable)
        parts = flat_views(self._check_count(inputs, "inputs"), dtype, "inputs", readable)
        call = Call("all_to_all", fingerprint("all_to_all", dtype, (), "", -1), caller())
        return self._start(
            call, lambda limit, patient: self._engine.all_to_all(call, limit, patient, outs, parts), async_op
        )

    # Point to point

    def send(self, array: np.ndarray, dst: int, tag: int = 0) -> None:
        """Send `array` to rank `dst`; returns when `array` may be changed, perhaps before it is received."""
        self.isend(array, dst, tag).wait()

    def isend(self, array: np.ndarray, dst: int, tag: int = 0) -> Work:
        """Start a send; leave `array` alone until `work.wait()`."""
        flat, dst = readable(array, "array"), self._check_rank(dst, "dst", other=True)
        call = self._point_call("send", array)
        return self._p2p.send(call, flat.view(np.uint8), dst, int(tag), self.timeout)

    def recv(self, array: np.ndarray, src: int | None = None, tag: int = 0) -> int:
        """Fill `array` with the next message of rank `src` (None: of anyone) with this tag; returns the sender.

        Raises CollectiveMismatch if the message's dtype or shape is another.
        """
        return self._receive(array, src, tag, False).result()

    def irecv(self, array: np.ndarray, src: int | None = None, tag: int = 0) -> Work:
        """Post a receive; receives of one sender and tag are filled in the order of their posting."""
        return self._receive(array, src, tag, True)

    def _receive(self, array: np.ndarray, src: int | None, tag: int, attended: bool) -> Work:
        flat = writable(array, "array")
        src = None if src is None else self._check_rank(src, "src", other=True)
        call = self._point_call("recv", array)
        return self._p2p.receive(call, flat.view(np.uint8), src, int(tag), self.timeout, attended)

    def _point_call(self, name: str, array: np.ndarray) -> Call:
        self._check_open()
        self.attendance.come()
        if self.size == 1:
            raise ValueError(f"{name}: a group of one rank has nobody to exchange messages with")
        # Without dimensions of one element: a number and a list of one may be sent and received as each other.
        shape = tuple(n for n in array.shape if n != 1)
        call = Call(name, fingerprint("message", array.dtype, shape, "", -1), caller())
        self.history.append(Record(self._number, call, clock.now()))
        return call

    # The group itself

    def split(self, ranks: Sequence[int], *, by_members: bool = False, timeout: float | None = None) -> Group | None:
        """A group of some of the ranks, in the given order. All ranks must call it alike; None on those not in it.

        by_members: only those that will be in it call it; timeout: for its operations, in seconds (default: this
        group's).
        """
        ranks = [self._check_rank(rank, "ranks") for rank in ranks]
        if not ranks or len(set(ranks)) != len(ranks):
            raise ValueError(f"ranks must be distinct and at least one, got {ranks}")
        self._check_open()
        self.attendance.come()
        if not by_members:
            self._splits[None] += 1
        if self.rank not in ranks:
            return None
        if by_members:
            self._splits[tuple(ranks)] += 1
        number = f"m{self._splits[tuple(ranks)]}" if by_members else self._splits[None]
        name, members = f"{self.name}/{number}:{ranks}", [self.members[rank] for rank in ranks]
        place = caller().decode(errors="replace")
        others = [member for member in members if member != self.members[self.rank]]
        with self.attendance.joining(name, others, f"makes a group of ranks {members} at {place}"):
            child = self._make_split(ranks, number)
        if timeout is not None:
            child.timeout = timeout
        child.name, child.members, child.attendance = name, members, self.attendance
        self.attendance.groups.append(child)
        self._children.append(child)
        return child

    def allocate(self, shape: int | Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """A zeroed array in which collectives copy nothing: shared memory where all ranks are on one host.

        It is freed with the group, or later when nothing uses it any more.
        """
        self._check_open()
        dtype = np.dtype(dtype)
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if self._make_memory is None or nbytes == 0:
            return np.zeros(shape, dtype)
        return self._make_memory(nbytes).view(dtype).reshape(shape)

    def departed(self, rank: int) -> CommError | None:
        """Why another rank will take part no more; None while it may."""
        return None if self._p2p is None else self._p2p.departed(rank)

    def last_operation(self, rank: int | None = None) -> str:
        """What this rank did last, with its place in the program; or what `rank` is last known to have called."""
        if rank is not None:
            return self._engine.last_operation(rank)
        return str(self.history[-1].call) if self.history else "nothing yet"

    def abort(self, reason: str) -> None:
        """Break the group: every rank that waits in it, and every later operation, fails with `reason`."""
        if self._failure is None:
            self._failure = CommError(reason)
            self._leave(reason)

    def close(self, patience: float = 0.0) -> None:
        """Leave the group and release all it holds. Whoever still waits for this rank gets GroupClosed. Idempotent.

        patience: seconds in which the other ranks may leave too before this returns; for the one that serves the store,
        without which they could not tell who is alive.
        """
        if not self._closed:
            self._close()
            self._on_close(patience)

    def _close(self, words: str = "") -> None:
        """Leave, and let go of everything. words: why the group that this one was made from was left."""
        self._closed = True
        words = words or self._reason_to_leave()
        for child in self._children:
            if not child._closed:
                child._close(words)
        self._leave(words)
        self._runner.close()
        with self._lock:
            self._engine.close()
            if self._p2p is not None:
                self._p2p.close()

    def _reason_to_leave(self) -> str:
        """What the others are told: a rank that is known to be lost, if any, is why, or a deadlock."""
        if isinstance(self._failure, PeerLost | Deadlock):
            return last_words(self._failure)
        try:
            self._watch()
        except (PeerLost, Deadlock) as error:
            return last_words(error)
        except CommError:
            return ""  # the parent is closed or broken, and has said why
        return ""

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    # For who looks at what ranks wait for

    @property
    def ended(self) -> bool:
        """Whether it has been closed, or a failure has broken it."""
        return self._closed or self._failure is not None

    @property
    def began(self) -> int:
        """How many collectives have begun."""
        return self._number

    @property
    def moved(self) -> int:
        """How much has come in collectives that are messages."""
        return self._engine.moved

    @property
    def messages(self) -> Any:
        """What carries its point-to-point messages; None if it has no other rank."""
        return self._p2p

    @property
    def others(self) -> list[int]:
        """The other ranks' numbers among `members`."""
        return [rank for rank in self.members if rank != self.members[self.rank]]

    def watch(self) -> None:
        """Raise if this group cannot go on: closed here, or a rank known to be lost. Every wait calls it."""
        self.attendance.wait()
        self._watch()
        if self._failure is not None:
            raise GroupClosed(f"the group is broken by an earlier failure: {self._failure}")
        if self._closed:
            raise GroupClosed("the group was closed")

    # Running

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """A block whose collectives take at most `seconds` each, whatever the group's timeout is."""
        self._limit = seconds
        try:
            yield
        finally:
            self._limit = None

    def _call(self, name: str, array: np.ndarray | None = None, op: str = "", root: int = -1) -> Call:
        if array is None:
            return Call(name, fingerprint(name, None, (), op, root), caller(), clock.now())
        return Call(name, fingerprint(name, array.dtype, array.shape, op, root), caller(), clock.now())

    def _start(self, call: Call, run: Callable[[clock.Deadline, bool], Any], async_op: bool) -> Any:
        self.attendance.come()
        limit = self._limit or self.timeout
        if async_op or self._runner.busy:
            work = self._runner.submit(call.name, lambda: self._attempt(call, run, async_op, limit))
            return work if async_op else work.result()
        return self._attempt(call, run, False, limit)

    def _attempt(self, call: Call, run: Callable[[clock.Deadline, bool], Any], patient: bool, limit: float) -> Any:
        with self._lock:
            self._check_open()
            self._number += 1
            self.pending = Record(self._number, call, clock.now())
            self.history.append(self.pending)
            ended = observing.begin("collective", call)
            try:
                result = run(clock.Deadline(limit, call.name), patient)
            except BaseException as error:
                self._fail(error)
                raise
            finally:
                ended()
            self.pending = None
            return result

    def _check_open(self) -> None:
        if self._failure is not None:
            raise GroupClosed(f"the group is broken by an earlier failure: {self._failure}") from self._failure
        if self._closed:
            raise GroupClosed("the group was closed")
        self._watch()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._leave(last_words(error))

    def _leave(self, words: str) -> None:
        self._engine.leave(words)
        if self._p2p is not None:
            self._p2p.leave(words)

    # Arguments

    def _check_rank(self, rank: int, name: str, other: bool = False) -> int:
        if not isinstance(rank, int | np.integer) or isinstance(rank, bool):
            raise TypeError(f"{name} must be a rank (int), got {type(rank).__name__}")
        if not 0 <= rank < self.size:
            raise ValueError(f"{name} must be a rank between 0 and {self.size - 1}, got {rank}")
        if other and rank == self.rank:
            raise ValueError(f"{name} must be another rank, got this rank itself ({rank})")
        return int(rank)

    def _check_count(self, arrays: Sequence[np.ndarray], name: str) -> Sequence[np.ndarray]:
        if not isinstance(arrays, list | tuple):
            raise TypeError(f"{name} must be a list of {self.size} arrays, got {type(arrays).__name__}")
        if len(arrays) != self.size:
            raise ValueError(f"{name} must hold one array per rank ({self.size}), got {len(arrays)}")
        return arrays

    def _check_list(self, arrays, like: np.ndarray, name: str, check: Callable | None = None) -> list[np.ndarray]:
        check = check or writable
        for index, part in enumerate(self._check_count(arrays, name)):
            if isinstance(part, np.ndarray) and part.shape != like.shape:
                raise ValueError(f"{name}[{index}] must have shape {like.shape}, got {part.shape}")
        return flat_views(arrays, like.dtype, name, check)

    def _check_rooted(self, arrays, like: np.ndarray, name: str, root: int, check: Callable | None = None) -> list:
        if self.rank == root:
            if arrays is None:
                raise ValueError(f"{name} must be given on rank {root}")
            return self._check_list(arrays, like, name, check)
        if arrays:
            raise ValueError(f"{name} must be None on rank {self.rank}: only rank {root} has them")
        return []


def report() -> list[dict[str, Any]]:
    """What every open group of this process is in and did last; for a person who looks at a job that hangs."""
    return [
        {
            "group": repr(group),
            "pending": str(group.pending.call) if group.pending else None,
            "seconds": clock.now() - group.pending.began if group.pending else 0.0,
            "last": group.last_operation(),
        }
        for group in [ref() for ref in _groups.valuerefs()]  # a list: another thread may make a group meanwhile
        if group is not None and not group._closed
    ]
