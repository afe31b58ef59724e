"""The events of one rank in a file that survives any end of the process, kill -9 included.

Events lie in a memory-mapped file, so recording one is no system call and nothing is left to be flushed.
`<path>.events` is a sequence of records, in chunks that belong to a thread each; `<path>.labels` has one JSON object a
line: first {"rank", "host", "pid", "record", "chunk"}, `record` being the `struct` format of (start, end, label), times
in nanoseconds of the machine's monotonic clock, end 0 while the event goes on, and `chunk` how many there are in one.
Then come, as they first appear, {"label", "name", "cat", "args"}, {"thread", "name"}, for each chunk {"chunk_of":
thread}, and {"full": true} once there is no room for more.
"""

import json
import mmap
import os
import socket
import struct
import threading
import weakref
from collections.abc import Callable
from typing import Any

from .. import clock

RECORD = struct.Struct("<qqq")
WORDS = RECORD.size // 8  # of a record, which is written word by word, much quicker than by the Struct
CHUNK = RECORD.size // 8 * 4 * mmap.ALLOCATIONGRANULARITY  # bytes that a thread maps at once: a whole number of records
END = CHUNK // 8  # the same in words
MAX_EVENTS = 1 << 20

Event = tuple[memoryview, int]  # where its end is to be written


class Lane:
    """One thread's place in the file: events are written without a lock."""

    __slots__ = ("__weakref__", "_new_chunk", "at", "inside", "number", "words")

    def __init__(self, number: int, new_chunk: Callable[[int], mmap.mmap | bytearray]):
        self.number, self._new_chunk = number, new_chunk
        self.words = memoryview(b"")  # the chunk as integers of 64 bits
        self.at = END  # where the next record begins in it
        self.inside: Any = None  # for who records: what is going on in this thread

    def begin(self, label: int) -> Event:
        """An event begins now in this thread; the result is for `end`."""
        at = self.at
        if at == END:
            at = self.turn()
        words = self.words
        self.at = at + WORDS
        words[at + 2] = label
        words[at] = clock.nanoseconds()
        return words, at + 1

    def turn(self) -> int:
        """Go on in a new chunk, at its beginning, which is returned."""
        self.words = memoryview(self._new_chunk(self.number)).cast("B").cast("q")
        return 0


def end(event: Event) -> None:
    """The event is over."""
    words, at = event
    words[at] = clock.nanoseconds()


class _Here(threading.local):
    """The lane of whichever thread asks."""

    def __init__(self, file: "TraceFile"):
        self.lane = file.new_lane()


class TraceFile:
    """Appends events to `path`.events. Safe to use from several threads; what does not fit is left out."""

    def __init__(self, path: str, rank: int, max_events: int = MAX_EVENTS):
        self._labels_file = os.open(f"{path}.labels", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._events_file = os.open(f"{path}.events", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._mapped, self._limit = 0, max_events * RECORD.size  # bytes
        self._labels: dict[tuple, int] = {}  # (name, categories) -> number of the first
        self._next_label = self._threads = 0
        self._lanes: weakref.WeakSet[Lane] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._full, self._open = False, True
        os.register_at_fork(after_in_child=self._leave_to_parent)
        where = {"rank": rank, "host": socket.gethostname(), "pid": os.getpid()}
        self._write(where | {"record": RECORD.format, "chunk": CHUNK // RECORD.size})
        self.here = _Here(self)

    def label(self, name: str, *categories: str, called_at: str = "") -> int:
        """The number that stands for a name in a category; of several, which have one after another, the first's.

        `called_at` is shown with its events (what is given first counts).
        """
        number = self._labels.get((name, categories))
        if number is None:
            with self._lock:
                number = self._labels.setdefault((name, categories), self._next_label)
                if number == self._next_label:
                    args = {"called at": called_at} if called_at else {}
                    for category in categories:
                        self._write({"label": self._next_label, "name": name, "cat": category, "args": args})
                        self._next_label += 1
        return number

    def new_lane(self) -> Lane:
        """A lane for this thread."""
        with self._lock:
            number = self._threads
            self._threads += 1
            self._write({"thread": number, "name": threading.current_thread().name})
            lane = Lane(number, self._new_chunk)
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

    def _new_chunk(self, thread: int) -> mmap.mmap | bytearray:
        """Room for a thread's next events: in the file, or else anywhere, to be forgotten."""
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
                    self._write({"chunk_of": thread})
                    return chunk
            if not self._full:
                self._full = True
                self._write({"full": True})
        return bytearray(CHUNK)

    def _stop(self) -> None:
        self._open, self._full, self._limit = False, True, 0
        for lane in list(self._lanes):
            lane.at = lane.turn()  # where there is no room in the file any more

    def _leave_to_parent(self) -> None:
        """A forked process must not write into its parent's file."""
        self._lock = threading.Lock()  # another thread may have held it
        self._stop()

    def _write(self, line: dict[str, Any]) -> None:
        if self._open:
            os.write(self._labels_file, json.dumps(line).encode() + b"\n")
