"""Mail between processes of one host: a ring in shared memory for each sender and receiver.

A short message lies in the ring. Of a long one only the place does: whoever receives it reads it out of shared memory,
or out of the sender's process, in one copy, and the sender may change it once the receiver has taken the record out of
the ring. A sender that waits for that copies a part of it (`halves`). A rank that waits sleeps on its bell, which is
rung by whoever puts something into one of its rings or takes something out.
"""

from __future__ import annotations

import functools
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

import msgpack
import numpy as np

from disttorch.kernels.blas import address

from . import clock
from .board import LINE, NOWHERE, Board, Where, board_size
from .fences import Fence, light_fence
from .halves import PIECE, SIZE, Halves
from .memory import wait_change, wake_all
from .transport import Distant, Mail, Message
from .windows import DistantWindow, Window
from .wire import Header
from .work import Runner

CAPACITY = 512 << 10  # bytes of one ring
SHORT = 64 << 10  # bytes of payload up to which it travels in the ring
LINGER, PAUSE = 0.2, 0.001  # seconds that a closing rank gives its last messages; between two looks at a full ring
COSTLY = 4  # looks of a board at a flag that take as long as one at all rings
_RECORD = struct.Struct("<IIQQQQQ")  # bytes of header, what it is, bytes of payload, where they lie (see `board`)
INLINE, DISTANT, SKIP = 0, 1, 2  # what a record is: SKIP is no message, go on at the beginning of the ring
BELL, ASLEEP, BELLS = 0, LINE, 2 * LINE  # of each rank
TAIL, HEAD, HALVES = 0, LINE, 2 * LINE  # of each ring: bytes ever put in, ever taken out; what `halves` shares
DATA = HALVES + SIZE  # where messages begin
PATIENCE = 60.0  # seconds within which a sender that lives must have copied a piece


_BYTES = np.dtype(np.uint8)
_EMPTY = np.empty(0, _BYTES)
_NO_PLACE: Where = (NOWHERE, 0, 0, 0)


class RingTicket:
    """Tells when a payload may be changed: once the receiver's position has passed `end` (None: not yet sent)."""

    def __init__(self, words: memoryview, head: int, peer: int, payload: np.ndarray):
        self._words, self._head, self.peer = words, head, peer
        self.payload = payload  # which must not be freed before
        self.end: int | None = None

    @property
    def done(self) -> bool:
        return self.end is not None and self._words[self._head] >= self.end


class RingMail(Mail):
    """Mail in the memory of a board, behind its rows; all ranks must be able to read one another's memory."""

    piece = 1 << 62  # bytes: whole arrays
    lends = True
    needs_receiver = True

    def __init__(self, board: Board):
        self.board, self.rank, self.size = board, board.rank, board.size
        memory, self._start = board.memory, board_size(board.size)
        self._address, self._array, self._bytes = memory.address, memory.bytes, memory.bytes.data
        self._words = self._bytes.cast("Q")
        self._peers = [peer for peer in range(self.size) if peer != self.rank]
        rings = [(peer, self._ring(peer, self.rank)) for peer in self._peers]
        self._incoming = [(peer, (ring + TAIL) // 8, (ring + HEAD) // 8) for peer, ring in rings]
        self._sending, self._fence, self._settle = clock.Lock(), Fence(), light_fence()
        self._backlog: dict[int, deque] = {peer: deque() for peer in self._peers}  # what found a ring full
        self._runner = Runner(f"comm:rings:{self.rank}")
        self._closing: clock.Deadline | None = None
        self._borrowed: tuple[int, int] | None = None  # sender and position behind the message being read
        self._from = {peer: Halves(self._words, (ring + HALVES) // 8) for peer, ring in rings}
        self._to = {peer: Halves(self._words, (self._ring(self.rank, peer) + HALVES) // 8) for peer in self._peers}

    def send(self, peer: int, header: Header, data: np.ndarray | None = None) -> RingTicket | None:
        payload = _EMPTY if data is None else data
        short = payload.size <= SHORT
        head = msgpack.packb(header)
        with self._sending:
            waiting = self._backlog[peer]
            end = None if waiting else self._put(peer, head, payload, short)
            if end is not None and short:
                return None
            ticket = RingTicket(self._words, (self._ring(self.rank, peer) + HEAD) // 8, peer, payload)
            ticket.end = end
            if end is None:
                waiting.append((head, payload, short, ticket))
                if len(waiting) == 1:
                    self._runner.submit("send", lambda: self._send_waiting(peer))
            return ticket

    def _send_waiting(self, peer: int) -> None:
        """Put into the ring what found it full, as it empties."""
        waiting = self._backlog[peer]
        while waiting:
            with self._sending:
                while waiting and (end := self._put(peer, *waiting[0][:3])) is not None:
                    waiting.popleft()[3].end = end
            if self.board.departed(peer) or (self._closing is not None and self._closing.remaining() == 0):
                return
            clock.sleep(PAUSE)

    def _put(self, peer: int, head: bytes, payload: np.ndarray, short: bool) -> int | None:
        """Put a message into the ring; the position behind it, or None if there is no room."""
        words, ring = self._words, self._ring(self.rank, peer)
        tail = words[(ring + TAIL) // 8]
        length = _padded(len(head) + (payload.size if short else 0))
        at, skipped = tail % CAPACITY, 0
        if at + length > CAPACITY:
            skipped = CAPACITY - at
        if tail + skipped + length - words[(ring + HEAD) // 8] > CAPACITY:
            return None
        if skipped:
            if skipped >= _RECORD.size:
                _RECORD.pack_into(self._bytes, ring + DATA + at, 0, SKIP, 0, *_NO_PLACE)
            at = 0
        at += ring + DATA
        kind, where = (INLINE, _NO_PLACE) if short else (DISTANT, self._locate(payload))
        _RECORD.pack_into(self._bytes, at, len(head), kind, payload.size, *where)
        at += _RECORD.size
        self._bytes[at : at + len(head)] = head
        if short:
            at += len(head)
            self._array[at : at + payload.size] = payload
        self._settle()  # the message is out before the ring says that it is there
        words[(ring + TAIL) // 8] = tail + skipped + length
        self._wake(peer)
        return tail + skipped + length

    def receive(self, seconds: float) -> Message | None:
        """The next message, whose data are good until `release`."""
        self.release()
        peer = self._coming()
        if peer is None and seconds:
            for _ in self.board.looks(COSTLY):
                if (peer := self._coming()) is not None:
                    break
            else:
                self._sleep(seconds, lambda: self._coming() is not None)
                peer = self._coming()
        return None if peer is None else self._take(peer)

    def _sleep(self, seconds: float, look: Callable[[], bool]) -> None:
        """Sleep until the bell rings, or at most `seconds`; not at all if `look` finds something."""
        words, bell = self._words, self._bell(self.rank)
        seen = words[(bell + BELL) // 8]
        words[(bell + ASLEEP) // 8] = 1
        self._fence()  # others see that this rank sleeps before it looks once more
        try:
            if not look():
                wait_change(self._address + bell, seen, seconds)
        finally:
            words[(bell + ASLEEP) // 8] = 0

    def _coming(self) -> int | None:
        """A rank whose ring holds something for this one."""
        words = self._words
        for peer, tail, head in self._incoming:
            if words[tail] != words[head]:
                return peer
        return None

    def _take(self, peer: int) -> Message:
        """The first message in the ring of `peer`, which stays there until `release`."""
        self._settle()  # the message is read after the ring has said that it is there
        ring = self._ring(peer, self.rank)
        head = self._words[(ring + HEAD) // 8]
        at = head % CAPACITY
        room = CAPACITY - at
        if room < _RECORD.size or _RECORD.unpack_from(self._bytes, ring + DATA + at)[1] == SKIP:
            head, at = head + room, 0
        at += ring + DATA
        length, kind, size, *where = _RECORD.unpack_from(self._bytes, at)
        at += _RECORD.size
        header = Header(*msgpack.unpackb(self._bytes[at : at + length]))
        at += length
        end = head + _padded(length + (size if kind == INLINE else 0))
        self._borrowed = peer, end
        if kind == INLINE:
            return Message(header, self._array[at : at + size])
        window = self.board.window(peer, (where[0], where[1], where[2], where[3]), _BYTES, 0, size)
        together = functools.partial(self._copy_together, peer, end, window)
        return Message(header, Distant(size, together if size > PIECE else window.copy))

    def _locate(self, array: np.ndarray) -> Where:
        """Where the others find an array; they can read all memory, or there were no rings."""
        return cast(Where, self.board.locate(address(array), array.nbytes))

    def _copy_together(self, peer: int, end: int, window: Window | DistantWindow, out: np.ndarray) -> None:
        """Fill `out` with the message of `peer` that the window shows, whose record reaches up to `end`."""
        limit = clock.Deadline(PATIENCE, f"rank {self.board.names[peer]}, which copies a message,")

        def pause() -> None:
            clock.give_way()
            if (left := self.board.departed(peer)) is not None:
                raise left
            self.board.watch()
            limit.check()

        self._from[peer].receive(end, window, out, self._locate(out), lambda: self._wake(peer), pause)

    def release(self) -> None:
        if self._borrowed is not None:
            (peer, head), self._borrowed = self._borrowed, None
            self._settle()  # the message has been read before the ring says that its room is free
            self._words[(self._ring(peer, self.rank) + HEAD) // 8] = head
            self._wake(peer)

    def wait_ticket(self, ticket: RingTicket, seconds: float) -> None:
        self.release()
        halves = self._to[ticket.peer]
        for _ in self.board.looks():
            if ticket.done:
                return
            if halves.wanted(ticket.end):
                halves.help(ticket.end, lambda where: self._window(ticket, where), ticket.payload)
        self._sleep(seconds, lambda: ticket.done or halves.wanted(ticket.end) or self._coming() is not None)

    def _window(self, ticket: RingTicket, where: Where) -> Window | DistantWindow:
        """A window on the array that receives the ticket's payload."""
        return self.board.window(ticket.peer, where, _BYTES, 0, ticket.payload.size)

    def _wake(self, peer: int) -> None:
        words, bell = self._words, self._bell(peer)
        at = (bell + BELL) // 8
        words[at] = (words[at] + 1) & 0xFFFFFFFF
        self._fence()  # the bell is rung before who sleeps is looked for
        if words[(bell + ASLEEP) // 8]:
            wake_all(self._address + bell)

    def _bell(self, rank: int) -> int:
        return self._start + rank * BELLS

    def _ring(self, sender: int, receiver: int) -> int:
        return self._start + self.size * BELLS + (sender * self.size + receiver) * (DATA + CAPACITY)

    def close(self) -> None:
        self._closing = clock.Deadline(LINGER, "the last messages")
        self._runner.close()
        self._words, self._array, self._from, self._to = memoryview(b""), np.empty(0, np.uint8), {}, {}


def _padded(length: int) -> int:
    """Bytes of a record whose header and payload take `length`: so that every one begins at a multiple of 8."""
    return -(-(_RECORD.size + length) // 8) * 8


def rings_size(size: int) -> int:
    """Bytes of the bells and rings of `size` ranks."""
    return size * BELLS + size * size * (DATA + CAPACITY)
