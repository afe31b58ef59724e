"""Messages over TCP of which each is whole, and whose long arrays come bit by bit: as parcels.

A message tells of a long array; its bytes follow by the stream from the same rank, in the order of the messages. From
the moment in which its receiver is known they go straight into its array, and before that into memory of the parcel's.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Collection, Mapping

import numpy as np

from . import clock
from .errors import MessageError
from .liveness import HEARTBEAT_LIMIT
from .streams import GULP, Outgoing
from .tcp import LOOK, TcpMail
from .transport import Message
from .wire import DATA, Header


class Parcel:
    """An array of `size` bytes on its way here."""

    def __init__(self, size: int):
        self.size, self.came = size, 0
        self.placed = False  # whether its bytes go where they shall stay, or nobody wants them
        self._pieces: list[np.ndarray] = []  # what came before
        self._out: np.ndarray | None = None
        self._done: Callable[[], None] = lambda: None

    @property
    def kept(self) -> int:
        """Bytes that lie in memory of its own."""
        return 0 if self.placed else self.came

    def land(self, out: np.ndarray, done: Callable[[], None]) -> None:
        """Go into `out`, flat uint8, which is as large, and call `done` once all is there."""
        for at, piece in zip(range(0, self.came, GULP), self._pieces, strict=False):
            part = piece[: self.came - at]
            out[at : at + part.size] = part
        self._out, self._done, self.placed = out, done, True
        self._pieces.clear()
        if self.came == self.size:
            done()

    def discard(self) -> None:
        """Nobody wants it: let its bytes come, since others follow them, and forget them."""
        self.placed = True
        del self._pieces[1:]

    def room(self) -> memoryview:
        """Where the next bytes belong, a gulp of them at most."""
        if self._out is not None:
            return self._out[self.came : self.came + GULP].data
        within = self.came % GULP
        if not self._pieces or (len(self._pieces) * GULP == self.came and not self.placed):
            self._pieces.append(np.empty(min(GULP, self.size), np.uint8))
        return self._pieces[-1][within : within + self.size - self.came].data

    def advance(self, count: int) -> bool:
        """Note that so many bytes have come; True once all have."""
        self.came += count
        if self.came < self.size:
            return False
        self._done()
        return True


class ParcelMail(TcpMail):
    """What waits is apart from what moves, so that several threads may wait, and one move while another sends."""

    def __init__(self, rank: int, size: int, token: bytes, host: str = "127.0.0.1", silence: float = HEARTBEAT_LIMIT):
        super().__init__(rank, size, token, host, silence)
        self._coming: dict[int, deque[Parcel]] = {}  # by sender, in the order in which their bytes come
        self._latest: dict[int, int] = {}  # number of the last message of each rank

    def receive(self, seconds: float) -> Message | None:
        """A message that `move` has taken in; does not wait."""
        return self._came.popleft() if self._came else None

    def _hand_on(self, header: Header, payload: np.ndarray) -> None:
        if header.kind != DATA:
            super()._hand_on(header, payload)
        elif header.number <= self._latest.get(header.sender, 0):  # it has been there before
            self._drop()
        elif payload.size == header.total:
            self._latest[header.sender] = header.number
            super()._hand_on(header, payload)
        elif not payload.size and not header.offset and self.streams(header.total):
            self._latest[header.sender] = header.number
            parcel = Parcel(header.total)
            self._coming.setdefault(header.sender, deque()).append(parcel)
            self._came.append(Message(header, parcel))
        else:
            raise MessageError(f"{payload.size} bytes at {header.offset} of a message of {header.total}")

    def interests(self, held: bool = False) -> dict[int, int]:
        """What to wait for until something moves: events by file descriptor.

        held: take in nothing that has no place yet.
        """
        with self._receiving:
            if self._closed:
                return {}
            found = dict.fromkeys(self._at_door, select.POLLIN)
            if not held:
                found.update((fd, select.POLLIN) for fd, inbox in self._inboxes.items() if not inbox.ended)
            for peer in self._coming:
                if self._front(peer, held) is not None and peer in self._streams and peer not in self._ended:
                    found[self._streams[peer].fileno()] = select.POLLIN
            found.update((out.sock.fileno(), select.POLLOUT) for out in self._unsent())
            return found

    @property
    def busy(self) -> bool:
        """Whether there is more to move than messages that may come."""
        return any(self._coming.values()) or bool(self._unsent())

    def wait(self, interests: Mapping[int, int], seconds: float, look: float = LOOK) -> list[int]:
        """The file descriptors at which something can be done, after `seconds` at most. look: as LOOK."""
        poll = select.poll()
        for fd, events in interests.items():
            poll.register(fd, events)
        end = clock.now() + min(look, seconds)
        while not (ready := poll.poll(0)) and clock.now() < end:
            clock.give_way()
        if not ready and seconds:
            ready = poll.poll(seconds * 1000)
        return [fd for fd, _ in ready]

    def move(self, ready: Collection[int], held: bool = False) -> bool:
        """Send and take in what goes without waiting, a gulp of each; True if something did.

        ready: what `wait` has found; held: see `interests`.
        """
        moved = self._push() > 0
        with self._receiving:
            if self._closed:
                return moved
            for peer in self._coming:
                moved = self._fill(peer, held) or moved
            for fd in ready:
                inbox = self._inboxes.get(fd)
                if inbox is not None and not inbox.ended:
                    self._read(inbox)
            if not self._at_door.isdisjoint(ready):
                self._admit()
        return moved

    def _front(self, peer: int, held: bool = False) -> Parcel | None:
        """The parcel whose bytes come next from `peer`, if they may."""
        parcels = self._coming[peer]
        return parcels[0] if parcels and (parcels[0].placed or not held) else None

    def _fill(self, peer: int, held: bool) -> bool:
        parcel = self._front(peer, held)
        if parcel is None:
            return False
        count = self._take(peer, parcel.room())
        if count and parcel.advance(count):
            self._coming[peer].popleft()
        return count > 0

    def expects(self, peer: int) -> bool:
        """Whether more bytes of a message from `peer` can come."""
        return bool(self._coming.get(peer)) and not self.drained(peer)

    def _last(self) -> list[Outgoing]:
        return list(self._outgoing.values())
