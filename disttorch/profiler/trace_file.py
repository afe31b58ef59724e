"""The events of one rank in a file that survives any end of the process, kill -9 included.

Events lie in a memory-mapped file, so recording one is no system call and nothing is left to be flushed.
`<path>.events` is a sequence of records, in chunks that belong to a lane each; `<path>.labels` has one JSON object a
line: first {"rank", "host", "pid", "chunk"}, the last being a chunk's bytes. Then come, as they first appear, {"label",
"name", "cat", "args"}, {"thread", "name"}, for each chunk {"chunk_of": thread, "lane", "record"}, and {"full": true}
once there is no room for more. `record` is a `struct` format: of (start, end, label), end 0 while the event goes on; or
of (start, label), where an event lasts until the lane's next, and label -1 is none. Times are nanoseconds of the
machine's monotonic clock, 0 where nothing has been recorded.
"""

import json
import mmap
import os
import socket
import struct
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from .. import clock

SPAN, TURN = struct.Struct("<qqq"), struct.Struct("<qq")
SPAN_WORDS, TURN_WORDS = SPAN.size // 8, TURN.size // 8  # records are written by word, quicker than by their Struct
CHUNK = 12 * mmap.ALLOCATIONGRANULARITY  # bytes that a lane maps at once: a whole number of either's records
END = CHUNK // 8  # the same in words
NONE = -1  # the label of no event
MAX_EVENTS = 1 << 20

Event = tuple[memoryview, int]  # where its end is to be written


class Lane:
    """A place in the file for events of one thread, which are written without a lock."""

    __slots__ = ("__weakref__", "_new_chunk", "at", "inside", "words")
    record = SPAN

    def __init__(self, new_chunk: Callable[[], mmap.mmap | bytearray]):
        self._new_chunk = new_chunk
        self.words = memoryview(b"")  # the chunk as integers of 64 bits
        self.at = END  # where the next record begins in it
        self.inside: Any = None  # for who records: what is going on in this thread

    def begin(self, label: int) -> Event:
        """An event begins now in this thread; the result is for `end`."""
        at = self.at
        if at == END:
            at = self.turn()
        words = self.words
        self.at = at + SPAN_WORDS
        words[at + 2] = label
        words[at] = clock.nanoseconds()
        return words, at + 1

    def turn(self) -> int:
        """Go on in a new chunk, at its beginning, which is returned."""
        self.words = memoryview(self._new_chunk()).cast("B").cast("q")
        return 0


AnyLane = TypeVar("AnyLane", bound=Lane)


def end(event: Event) -> None:
    """The event is over."""
    words, at = event
    words[at] = clock.nanoseconds()


class _Here(threading.local):
    """What belongs to whichever thread asks."""

    def __init__(self, file: "TraceFile"):
        self.thread = file.new_thread()
        self.lane = file.new_lane(Lane, self.thread)
        self.free: list = []  # for who records: further lanes of the thread


class TraceFile:
    """Appends events to `path`.events. Safe to use from several threads; what does not fit is left out."""

    def __init__(self, path: str, rank: int, max_events: int = MAX_EVENTS):
        self._labels_file = os.open(f"{path}.labels", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._events_file = os.open(f"{path}.events", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._mapped, self._limit = 0, max_events * SPAN.size  # bytes
        self._labels: dict[tuple[str, str], int] = {}  # (name, category) -> its number
        self._threads = self._next_lane = 0
        self._lanes: weakref.WeakSet[Lane] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._full, self._open = False, True
        os.register_at_fork(after_in_child=self._leave_to_parent)
        where = {"rank": rank, "host": socket.gethostname(), "pid": os.getpid()}
        self._write(where | {"chunk": CHUNK})
        self.here = _Here(self)

    def label(self, name: str, category: str, called_at: str = "") -> int:
        """The number that stands for a name in a category. `called_at` is shown with its events (the first counts)."""
        number = self._labels.get((name, category))
        if number is None:
            with self._lock:
                next_number = len(self._labels)
                number = self._labels.setdefault((name, category), next_number)
                if number == next_number:
                    args = {"called at": called_at} if called_at else {}
                    self._write({"label": number, "name": name, "cat": category, "args": args})
        return number

    def new_thread(self) -> int:
        """A number for this thread."""
        with self._lock:
            number = self._threads
            self._threads += 1
            self._write({"thread": number, "name": threading.current_thread().name})
        return number

    def new_lane(self, kind: type[AnyLane], thread: int) -> AnyLane:
        """A lane of events of the thread of that number."""
        with self._lock:
            is_in = {"chunk_of": thread, "lane": self._next_lane, "record": kind.record.format}
            self._next_lane += 1
            lane = kind(partial(self._new_chunk, is_in))
            self._lanes.add(lane)
        return lane

    def close(self) -> None:
        """Record no more; events that go on now may still be ended. Idempotent."""
        with self._lock:
            if not self._open:
                return
            os.close(self._labels_file)
            os.close(self._events_file)
            self._open = False
        self._stop()

    def _new_chunk(self, is_in: dict[str, Any]) -> mmap.mmap | bytearray:
        """Room for a lane's next events: in the file, or else anywhere, to be forgotten."""
        with self._lock:
            if self._mapped < self._limit:
                try:
                    # A full disk is an error here, where without it writing to the chunk would be a crash.
                    os.posix_fallocate(self._events_file, self._mapped, CHUNK)
                    chunk = mmap.mmap(self._events_file, CHUNK, offset=self._mapped)
                except OSError:
                    self._limit = 0
                else:
                    self._mapped += CHUNK
                    self._write(is_in)
                    return chunk
            if not self._full:
                self._full = True
                self._write({"full": True})
        return bytearray(CHUNK)

    def _stop(self) -> None:
        self._open, self._full, self._limit = False, True, 0
        with self._lock:
            lanes = list(self._lanes)
        for lane in lanes:
            lane.at = lane.turn()  # where there is no room in the file any more

    def _leave_to_parent(self) -> None:
        """A forked process must not write into its parent's file."""
        self._lock = threading.Lock()  # another thread may have held it
        self._stop()

    def _write(self, line: dict[str, Any]) -> None:
        if self._open:
            os.write(self._labels_file, json.dumps(line).encode() + b"\n")
