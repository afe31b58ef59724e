"""The launcher's own output: whole lines, queued, so that a slow reader never keeps the launcher from its work."""

import os
import re
import select
import shutil
from collections import deque

from .clock import monotonic
from .logs import LinePrefixer, rank_prefix

BACKLOG = 1 << 20  # bytes that a console may owe its reader before workers' pipes are left full
CLEAR_LINE = b"\r\x1b[2K"
COLOUR_CODE = re.compile(rb"\x1b\[\d*m")


class Console:
    """One of the launcher's own streams. Writes are queued and go out when the reader takes them.

    On a terminal an unfinished line (a progress bar, a prompt) is shown until the next output takes its place.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.terminal = os.isatty(fd)
        self.colour = self.terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.closed = False  # the reader has gone
        self._queue: deque[memoryview] = deque()
        self._owed = 0  # bytes in the queue
        self._passing = False  # an unfinished line is on the screen
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    @property
    def pending(self) -> bool:
        return self._owed > 0

    @property
    def congested(self) -> bool:
        return self._owed > BACKLOG

    def write(self, data: bytes) -> None:
        """Queue whole lines, and send what the reader takes now."""
        if data and not self.closed:
            self._append(CLEAR_LINE + data if self._passing else data)
            self._passing = False
            self.pump()

    def show(self, prefix: bytes, rest: bytes) -> None:
        """Show an unfinished line until something else is written (terminals only; nothing that moves the cursor)."""
        text = rest.decode(errors="replace")
        if self.terminal and text.isprintable() and not self.pending:
            room = shutil.get_terminal_size().columns - len(COLOUR_CODE.sub(b"", prefix)) - 1
            self._append(CLEAR_LINE + prefix + text[: max(0, room)].encode())
            self._passing = True
            self.pump()

    def pump(self) -> None:
        """Send as much as can be sent without waiting."""
        while self._queue and self._poll.poll(0):
            head = self._queue[0]
            try:
                sent = os.write(self.fd, head[: select.PIPE_BUF])  # this much a pipe that is ready takes at once
            except BrokenPipeError:
                self.closed = True
                self._queue.clear()
                self._owed = 0
                return
            self._owed -= sent
            if sent == len(head):
                self._queue.popleft()
            else:
                self._queue[0] = head[sent:]

    def drain(self, seconds: float | None) -> None:
        """Send everything, waiting at most `seconds` (None: as long as the reader takes) for the reader."""
        if self._passing:
            self._append(b"\n")
            self._passing = False
        limit = None if seconds is None else monotonic() + seconds
        self.pump()
        while self.pending and (limit is None or monotonic() < limit):
            self._poll.poll(100)
            self.pump()

    def _append(self, data: bytes) -> None:
        self._queue.append(memoryview(data))
        self._owed += len(data)


class Consoles:
    """The launcher's stdout and stderr; one console where both are one file, so that output keeps its order."""

    def __init__(self) -> None:
        self.same = _same_file(1, 2)
        self.out = Console(1)
        self.err = self.out if self.same else Console(2)
        self._all = [self.out] if self.same else [self.out, self.err]

    def prefixers(self, rank: int, local_rank: int) -> tuple[LinePrefixer, LinePrefixer]:
        """What puts a worker's rank before its lines on stdout and on stderr."""
        out, err = (
            LinePrefixer(rank_prefix(rank, local_rank, console.colour), overwrite=console.terminal)
            for console in (self.out, self.err)
        )
        return out, err

    @property
    def closed(self) -> bool:
        """Whether a reader has gone."""
        return any(console.closed for console in self._all)

    @property
    def congested(self) -> bool:
        return any(console.congested for console in self._all)

    def register(self, poll: select.poll) -> None:
        """Have `poll` wake up when a reader takes more."""
        for console in self._all:
            if console.pending:
                poll.register(console.fd, select.POLLOUT)

    def pump(self) -> None:
        for console in self._all:
            console.pump()

    def drain(self, seconds: float | None) -> None:
        for console in self._all:
            console.drain(seconds)


def _same_file(first: int, second: int) -> bool:
    a, b = os.fstat(first), os.fstat(second)
    return (a.st_dev, a.st_ino, a.st_rdev) == (b.st_dev, b.st_ino, b.st_rdev)
