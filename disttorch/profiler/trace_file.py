"""The events of one rank in a file that survives any end of the process, kill -9 included.

Events lie in a memory-mapped file, so recording one is no system call and nothing is left to be flushed.
`<path>.events` is a sequence of records; `<path>.labels` has one JSON object a line: first {"rank", "host", "pid",
"record"}, `record` being the `struct` format of (start, end, label, thread), times in nanoseconds of the machine's
monotonic clock, end 0 while the event goes on; then, as they first appear, {"label", "name", "cat", "args"} and
{"thread", "name"}; and {"full": true} once there is no room for more.
"""

import json
import mmap
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

from .. import clock

RECORD = struct.Struct("<qqII")
WORDS = RECORD.size // 8  # of a record, which is written word by word, much quicker than by the Struct
CHUNK = RECORD.size // 8 * 4 * mmap.ALLOCATIONGRANULARITY  # bytes that a thread maps at once: a whole number of records
END = CHUNK // 8  # the same in words
MAX_EVENTS = 1 << 20

Event = tuple[memoryview, int]  # where its end is to be written


class Lane:
    """One thread's place in the file: events are written without a lock."""

    __slots__ = ("_new_chunk", "at", "inside", "tag", "words")

    def __init__(self, number: int, new_chunk: Callable[[], mmap.mmap | bytearray]):
        self.tag, self._new_chunk = number << 32, new_chunk
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
        words[at + 2] = label | self.tag
        words[at] = clock.nanoseconds()
        return words, at + 1

    def turn(self) -> int:
        """Go on in a new chunk, at its beginning, which is returned."""
        self.words = memoryview(self._new_chunk()).cast("B").cast("q")
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
        self._labels: dict[tuple[str, str], int] = {}
        self._threads = 0
        self._lock = threading.Lock()
        self._full, self._open = False, True
        os.register_at_fork(after_in_child=self._leave_to_parent)
        self._write({"rank": rank, "host": socket.gethostname(), "pid": os.getpid(), "record": RECORD.format})
        self.here = _Here(self)

    def label(self, name: str, category: str, args: dict[str, Any] | None = None) -> int:
        """The number that stands for a name; `args` are shown with its events (those given first count)."""
        number = self._labels.get((name, category))
        if number is None:
            with self._lock:
                number = self._labels.setdefault((name, category), len(self._labels))
                self._write({"label": number, "name": name, "cat": category, "args": args or {}})
        return number

    def new_lane(self) -> Lane:
        """A lane for this thread."""
        with self._lock:
            number = self._threads
            self._threads += 1
            self._write({"thread": number, "name": threading.current_thread().name})
        return Lane(number, self._new_chunk)

    def close(self) -> None:
        """Record no more; events that go on now may still be ended. Idempotent."""
        with self._lock:
            if not self._open:
                return
            os.close(self._labels_file)
            os.close(self._events_file)
            self._open = False
        self._stop()

    def _new_chunk(self) -> mmap.mmap | bytearray:
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
                    return chunk
            if not self._full:
                self._full = True
                self._write({"full": True})
        return bytearray(CHUNK)

    def _stop(self) -> None:
        self._open, self._full, self._limit = False, True, 0
        self.here = _Here(self)  # new lanes, which get no room in the file

    def _leave_to_parent(self) -> None:
        """A forked process must not write into its parent's file."""
        self._lock = threading.Lock()  # another thread may have held it
        self._stop()

    def _write(self, line: dict[str, Any]) -> None:
        if self._open:
            os.write(self._labels_file, json.dumps(line).encode() + b"\n")
