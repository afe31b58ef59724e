"""What the threads of one rank wait for, in all groups that were made from one.

Nothing is written down while all goes well: a thread that uses a group is known from then on, one that waits comes by
here some twenty times a second, and what for is read off the groups by whoever looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING
from weakref import WeakSet

from . import clock
from .call import caller
from .deadlock import COLLECTIVE, JOIN, Detector, State, Wait
from .errors import Deadlock

if TYPE_CHECKING:
    from .group import Group

PAUSE = 0.25  # seconds between two looks of ranks that are threads
_users: WeakSet[Thread] = WeakSet()  # threads of this process that have used a group
# Modules in which a thread is that waits for another one of its process (pyzmq's, for its sockets), or for something
# from outside; functions in which it waits for a thread's end.
_WAITING = ("threading", "queue", "concurrent.futures.thread", "zmq.utils.garbage")
_LISTENING = ("selectors", "multiprocessing.connection")
_JOINING = ("join", "_wait_for_tstate_lock")


class Attendance:
    """The threads of one rank."""

    def __init__(self):
        self.groups: list[Group] = []
        self._users: set[Thread] = set()
        self._waited: set[Thread] = set()  # since the last look
        self._limited: set[Thread] = set()
        self._joins: dict[Thread, Wait] = {}

    def come(self) -> None:
        """This thread uses a group."""
        thread = clock.this_thread()
        if thread not in self._users:
            self._forget_ended()  # perhaps nobody ever looks here
            self._users.add(thread)
            _users.add(thread)

    def _forget_ended(self) -> None:
        self._users.difference_update([thread for thread in self._users.copy() if not thread.is_alive()])

    def wait(self) -> None:
        """This thread waits, still; messages do not wait for that."""
        self._waited.add(clock.this_thread())
        for group in self.groups:
            if group.messages is not None:
                group.messages.nudge()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """This thread may wait, but for a time that the program has set, after which it does something else."""
        thread = clock.this_thread()
        self._limited.add(thread)
        try:
            yield
        finally:
            self._limited.discard(thread)

    @contextmanager
    def joining(self, name: str, ranks: list[int], text: str) -> Iterator[None]:
        """This thread makes the group of that name together with `ranks`."""
        thread = clock.this_thread()
        self._joins[thread] = Wait(JOIN, name, ranks, text)
        try:
            yield
        finally:
            del self._joins[thread]

    def look(self) -> State | str:
        """What this rank waits for; if it may do something by itself before that ends, where in its program it is."""
        frames = clock.frames()
        self._forget_ended()
        waited, self._waited = self._waited, set()
        idle = self._users - waited
        busy = [
            thread
            for thread in clock.threads()
            if (thread in idle or not (thread in _users or thread in clock.spawned))
            and (frame := frames.get(thread.ident or 0))
            and _is_busy(thread, frame, alone=not idle)
        ]
        if busy or self._limited:
            return _place(frames, [*busy, *self._limited])
        for group in self.groups.copy():
            if group.ended:
                self.groups.remove(group)
        state = State([*self._joins.values()], {}, {}, [], 0)
        for group in self.groups:
            state.began[group.name], state.sent[group.name] = group.began, {}
            whose = f", in the group of ranks {group.members}" if group.name else ""
            if (record := group.pending) is not None:
                text = f"{record.call}{whose}"
                state.waits.append(Wait(COLLECTIVE, group.name, group.others, text, record.number))
            if group.messages is not None:
                waits = group.messages.waits(group.name, group.members)
                if waits is None:
                    return _place(frames, self._users.copy())
                state.waits.extend(wait._replace(text=wait.text + whose) for wait in waits)
                state.sent[group.name] = {group.members[peer]: n for peer, n in group.messages.sent.copy().items()}
                if group.messages.takes:
                    state.takes.append(group.name)
            state = state._replace(moved=state.moved + group.moved)
        return state


def _place(frames: Mapping[int, FrameType], threads: Iterable[Thread]) -> str:
    """Where in the program the first of the threads is."""
    for thread in threads:
        frame = frames.get(thread.ident or 0)
        return "" if frame is None else caller(frame).decode(errors="replace")
    return ""


def _is_busy(thread: Thread, frame: FrameType, alone: bool) -> bool:
    """Whether a thread, which is at `frame`, may go on without any other one of its process.

    One that waits for some seconds only, or for something from outside, may. But of those that have never used a group
    who waits for a thread's end is taken not to, and so are daemons, which draw progress bars and write logs. alone: no
    thread that has used a group waits for another one, which may be such a daemon.
    """
    module = frame.f_globals.get("__name__")
    if module not in _WAITING + _LISTENING:
        return True
    for_ever = module in _WAITING and frame.f_locals.get("timeout") in (None, -1)
    stranger = thread not in _users
    return not (for_ever or (stranger and ((alone and thread.daemon) or frame.f_code.co_name in _JOINING)))


class Lookout:
    """Sees deadlocks of ranks that are threads of this process: each looks at all, while it waits."""

    def __init__(self, size: int):
        self._size = size
        self._ranks: dict[int, Group] = {}
        self._detector, self._looks, self._next = Detector(), 0, 0.0
        self._lock = clock.Lock()
        self._found: dict[int, str] | None = None

    def add(self, rank: int, group: Group) -> None:
        """`rank` has come."""
        self._ranks[rank] = group

    def watch(self) -> None:
        """Raise Deadlock if there is one."""
        if self._found is None and clock.now() >= self._next and self._lock.acquire(blocking=False):
            try:
                self._next = clock.now() + PAUSE
                self._look()
            finally:
                self._lock.release()
        if self._found is not None:
            raise Deadlock(self._found)

    def _look(self) -> None:
        if len(self._ranks) < self._size:
            return
        self._looks += 1
        here = [(rank, group) for rank, group in self._ranks.items() if not group.ended]
        self._found = self._detector.look({rank: (self._looks, group.attendance.look()) for rank, group in here})
