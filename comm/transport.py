"""Carrying messages from one rank to another, between threads or processes, behind one interface.

A `Mail` sends without waiting (the payload must stay unchanged until the ticket is done) and receives in the order of
each sender. `Mailbox` adds the matching: wait for the next message of a certain rank and tag.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from . import clock
from .wire import PIECE, Header

SLICE = 0.05  # seconds waited between two looks at the deadline and at who is alive
LINGER = 200  # milliseconds that a closing rank gives its last messages to leave
PATIENCE = 0.6  # of the limit of silence, for which what was sent may stay unanswered
GRACE = 1.0  # seconds that a farewell may be late, which comes another way than the end that it explains


class Distant(NamedTuple):
    """A payload that lies where its sender has it: its bytes, and what copies them all into an array."""

    size: int
    copy: Callable[[np.ndarray], None]


class Message(NamedTuple):
    """A header and its payload, as flat uint8, or what copies that."""

    header: Header
    data: np.ndarray | Distant | Any  # Any: a Parcel

    def copy(self, out: np.ndarray) -> None:
        """Put the payload into `out`."""
        if isinstance(self.data, Distant):
            self.data.copy(out)
        else:
            out[...] = self.data


class Mail(ABC):
    """Messages to and from the ranks of one group."""

    dropped = 0  # messages so far that were no message of this group
    piece = PIECE  # bytes of payload in one message at most
    patient = False  # whether to sleep at once where it waits, because another thread may be busy
    lends = False  # whether what is received has to be copied before `release`
    needs_receiver = False  # whether what is sent moves only while its receiver waits for messages

    def streams(self, total: int) -> bool:
        """Whether an array of `total` bytes goes by a stream: an empty message tells of it, and `draw` reads it."""
        return False

    @abstractmethod
    def send(self, peer: int, header: Header, data: np.ndarray | None = None) -> Any:
        """Start sending; returns None, or a ticket whose `.done` says when `data` may be changed again.

        Of an array that goes by a stream all parts are given in order, and their number and size do not matter.
        """

    @abstractmethod
    def receive(self, seconds: float) -> Message | None:
        """The next message of anyone, or None after `seconds`, or sooner. Its data are good until `release`."""

    def release(self) -> None:  # noqa: B027  where messages own their data
        """Nobody looks any more at the data of the message last received."""

    def draw(self, peer: int, out: np.ndarray, seconds: float) -> int:
        """Fill `out`, flat uint8, with the next bytes of the stream from `peer`; returns how many have come in about
        `seconds` at most.
        """
        raise NotImplementedError

    def drained(self, peer: int) -> bool:
        """True if no further bytes can come by the stream from `peer`."""
        raise NotImplementedError

    def wait_ticket(self, ticket: Any, seconds: float) -> None:  # noqa: B027  where there are no tickets
        """Wait at most `seconds` for a ticket that `send` returned."""

    def settle(self) -> None:  # noqa: B027  where messages leave by themselves
        """Give the messages sent so far a moment to leave."""

    @abstractmethod
    def close(self) -> None:
        """Close; what was sent just before still has a moment to leave. Idempotent."""


class ThreadMail(Mail):
    """Mail between threads: a queue per rank; payloads are copied once, when sent."""

    def __init__(self, rank: int, queues: list[tuple[deque, Any]]):
        self.rank, self._queues = rank, queues

    @staticmethod
    def queues(size: int) -> list[tuple[deque, Any]]:
        """What the mails of `size` ranks share."""
        return [(deque(), clock.Condition()) for _ in range(size)]

    def send(self, peer: int, header: Header, data: np.ndarray | None = None) -> None:
        queue, changed = self._queues[peer]
        message = Message(header, _EMPTY if data is None else data.copy())
        with changed:
            queue.append(message)
            changed.notify()

    def receive(self, seconds: float) -> Message | None:
        queue, changed = self._queues[self.rank]
        with changed:
            if not queue:
                changed.wait(seconds)
            return queue.popleft() if queue else None

    def close(self) -> None:
        self._queues[self.rank][0].clear()


_EMPTY = np.empty(0, np.uint8)


class SocketMail(Mail):
    """Mail between processes."""

    address: str  # where this rank is reached

    def __init__(self, rank: int, size: int, token: bytes, silence: float):
        self.rank, self.size, self.token, self._silence = rank, size, token, silence
        self.peers: list[str] = []  # every rank's address, once they are known
        self.names: list[str] = []
        self.lose: Callable[[int, str], None] = lambda peer, how: None  # told who is out of reach; by any thread
        self._parted: set[int] = set()  # ranks that have said goodbye to this one, or this one to them
        self._suspects: dict[int, tuple[float, str]] = {}  # ranks that may be out of reach: since when, and why
        self._closed = False

    def meet(self, rank: int, peers: list[str], names: list[str]) -> None:
        """Be number `rank` of those who are reached at these addresses; before anything is sent. names: for errors."""
        self.rank, self.size, self.peers, self.names = rank, len(peers), peers, names

    def inspect(self) -> bool:
        """Tell `lose` of ranks that have come out of reach; False once this mail is closed.

        For one thread, beside those that send and receive.
        """
        for peer, how in self._failures():
            self._suspect(peer, how)
        for peer, (since, how) in list(self._suspects.items()):
            if clock.now() - since > GRACE and not self._unread(peer):
                self._out_of_reach(peer, how)
        return not self._closed

    @abstractmethod
    def _failures(self) -> Iterator[tuple[int, str]]:
        """Connections that have failed: with whom, and how."""

    @abstractmethod
    def _unread(self, peer: int) -> bool:
        """Whether something has come from `peer` that nobody has taken in: perhaps its farewell."""

    def _suspect(self, peer: int, how: str) -> None:
        """A connection with `peer` has failed, or ended because one of the two ranks has left."""
        self._suspects.setdefault(peer, (clock.now(), how))

    def _out_of_reach(self, peer: int, how: str) -> None:
        """A connection with `peer` has failed, unless they have said goodbye: no farewell will explain it any more."""
        if peer not in self._parted and not self._closed:
            self.lose(peer, how)


class Mailbox:
    """Matches arrived messages to who waits for them, and carries whole arrays as pieces."""

    def __init__(self, mail: Mail, watch: Callable[[], None], fresh: Callable[[Header], bool] = lambda header: True):
        """fresh: False for a message that has been there before, which is dropped."""
        self.mail, self.watch, self._fresh = mail, watch, fresh
        self.dropped = 0
        self._arrived: list[Message] = []
        self._tickets: deque = deque()
        self.moved = 0  # messages and parts of streams that have come
        self._lent: Message | None = None  # the last one, if its data are its sender's

    def send(self, peer: int, header: Header, data: np.ndarray, begin: int = 0) -> list[Any]:
        """Start sending all of `data` (flat uint8), in pieces; `flush`, or wait for the tickets, before changing it.

        header: that of the first piece, with the total; begin: where in the whole `data` begins, in bytes.
        """
        tickets = []
        step = max(data.size, 1) if self.mail.streams(header.total) else self.mail.piece
        for at in range(0, max(data.size, 1), step):
            piece = header._replace(offset=begin + at) if begin + at else header
            ticket = self.mail.send(peer, piece, data[at : at + step])
            if ticket is not None:
                tickets.append(ticket)
        self._tickets.extend(tickets)
        return tickets

    def draw(self, peer: int, out: np.ndarray, seconds: float) -> int:
        """See `Mail.draw`."""
        came = self.mail.draw(peer, out, seconds)
        self.moved += came > 0
        return came

    def unsent(self) -> bool:
        """True while arrays given to `send` are still in use."""
        while self._tickets and self._tickets[0].done:
            self._tickets.popleft()
        return bool(self._tickets)

    def flush(self, deadline: clock.Deadline, look: Callable[[Any], None] = lambda ticket: None) -> None:
        """Wait until everything sent so far has left the caller's arrays. look: called between whiles, with what is
        waited for; may raise.
        """
        while self.unsent():
            self.watch()
            deadline.check()
            self.mail.wait_ticket(self._tickets[0], deadline.remaining(SLICE))
            if self.unsent():
                look(self._tickets[0])

    def pump(self, seconds: float) -> bool:
        """Receive one message, waiting at most `seconds`; True if one came."""
        message = self.mail.receive(seconds)
        if message is None:
            return False
        self.moved += 1
        if self._fresh(message.header):
            self._arrived.append(message)
            self._lent = message if self.mail.lends else None
        else:
            self.dropped += 1
        return True

    def keep(self) -> None:
        """Let go of what the sender of the last message still holds for us, with a copy if nobody has taken it."""
        last = self._lent
        if last is not None and self._arrived and self._arrived[-1] is last:
            own = np.empty(last.data.size, np.uint8)
            last.copy(own)
            self._arrived[-1] = Message(last.header, own)
        self._lent = None
        self.mail.release()

    def waiting(self) -> bool:
        """True if messages have arrived that nobody has taken."""
        return bool(self._arrived)

    def kept(self) -> int:
        """Bytes of the messages that have arrived and nobody has taken, as far as they are here."""
        return sum(getattr(message.data, "kept", message.data.size) for message in self._arrived)

    def headers(self) -> list[Header]:
        """Those of the messages that have arrived and nobody has taken."""
        return [message.header for message in self._arrived.copy()]

    def put(self, message: Message) -> None:
        """Keep a message that nobody wants yet."""
        self._arrived.append(message)

    def has(self, wanted: Callable[[Header], bool]) -> bool:
        """True if a message that is `wanted` has arrived."""
        return any(wanted(message.header) for message in self._arrived)

    def pop(self, wanted: Callable[[Header], bool]) -> Message | None:
        """The first message in the order of arrival that is `wanted`, if any has arrived. Does not receive."""
        for index, message in enumerate(self._arrived):
            if wanted(message.header):
                return self._arrived.pop(index)
        return None

    def take(self, wanted: Callable[[Header], bool], deadline: clock.Deadline, missing: tuple = ()) -> Message:
        """The next message that is `wanted`, waiting for it. Raises DeadlineExceeded, PeerLost."""
        while (message := self.pop(wanted)) is None:
            if not self.pump(SLICE):
                self.watch()
                deadline.check(missing)
        return message

    def close(self) -> None:
        """Close the mail and forget what has arrived."""
        self.mail.close()
        self._arrived.clear()
