"""Carrying messages from one rank to another, between threads or by ZeroMQ tcp, behind one interface.

A `Mail` sends without waiting (the payload must stay unchanged until the ticket is done) and receives in the order of
each sender. `Mailbox` adds the matching: wait for the next message of a certain rank and tag.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from disttorch.kernels.memory import keep_freed_blocks

from . import clock, security, wire
from .errors import MessageError
from .wire import PIECE, SEALED_PIECE, Header

SLICE = 0.05  # seconds waited between two looks at the deadline and at who is alive
COPY_BELOW = 128 << 10  # bytes; a smaller payload is copied, because following a zero-copy send costs more
LINGER = 200  # milliseconds that a closing rank gives its last messages to leave
ENVELOPE = 1024  # bytes that encryption may add to a message
INWARD, OUTWARD = 1, 2  # the thread of ZeroMQ's that receives and the one that sends, as bits: both copy all the time
RECEIVE_QUEUE = 16  # messages per sender that may lie unread before the sender's side holds back


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


class ZmqMail(Mail):
    """Mail over ZeroMQ tcp: one bound socket that hears all peers, one connected socket for each peer written to.

    host: the address of this rank to bind; secret: encrypt with CURVE keys derived from it, or None.
    """

    def __init__(self, rank: int, size: int, token: bytes, host: str = "127.0.0.1", secret: bytes | None = None):
        import zmq

        keep_freed_blocks()  # ZeroMQ asks for a new one for every piece that comes
        self._zmq = zmq
        self.piece = PIECE if secret is None else SEALED_PIECE
        self.rank, self.size, self.token, self._secret = rank, size, token, secret
        self.peers: list[str] = []  # every rank's address, once they are known
        self.names: list[str] = []
        self._context = zmq.Context(io_threads=2)
        self._outs: dict[int, Any] = {}
        self._sending, self._receiving = clock.Lock(), clock.Lock()
        self._inbox = self._context.socket(zmq.PULL)
        self._inbox.setsockopt(zmq.LINGER, 0)
        self._inbox.setsockopt(zmq.AFFINITY, INWARD)
        self._inbox.setsockopt(zmq.RCVHWM, RECEIVE_QUEUE)
        self._inbox.setsockopt(zmq.MAXMSGSIZE, PIECE + ENVELOPE)
        self._inbox.setsockopt(zmq.RCVBUF, 4 << 20)
        self._inbox.setsockopt(zmq.IPV6, int(":" in host))
        security.secure_server(self._inbox, secret)
        self._inbox.bind(f"tcp://{f'[{host}]' if ':' in host else host}:*")
        self.address = self._inbox.getsockopt_string(zmq.LAST_ENDPOINT)

    def meet(self, rank: int, peers: list[str], names: list[str]) -> None:
        """Be number `rank` of those who are reached at these addresses; before anything is sent. names: for errors."""
        self.rank, self.size, self.peers, self.names = rank, len(peers), peers, names

    def _out(self, peer: int):
        sock = self._outs.get(peer)
        if sock is None:
            zmq = self._zmq
            sock = self._context.socket(zmq.PUSH)
            sock.setsockopt(zmq.LINGER, 0)
            sock.setsockopt(zmq.AFFINITY, OUTWARD)
            sock.setsockopt(zmq.SNDHWM, 0)  # never block: what waits is the caller's array, or bounded by COPY_BELOW
            sock.setsockopt(zmq.SNDBUF, 4 << 20)
            sock.setsockopt(zmq.IPV6, int("[" in self.peers[peer]))
            sock.copy_threshold = 0
            security.secure_client(sock, self._secret)
            sock.connect(self.peers[peer])
            self._outs[peer] = sock
        return sock

    def send(self, peer: int, header: Header, data: np.ndarray | None = None) -> Any:
        return self._post(peer, header, data)

    def _post(self, peer: int, header: Header, data: np.ndarray | None = None) -> Any:
        """Send one message."""
        with self._sending:
            sock = self._out(peer)
            head = wire.encode(self.token, header)
            if data is None or not data.size:
                sock.send(head)
                return None
            sock.send(head, self._zmq.SNDMORE)
            if data.nbytes < COPY_BELOW:
                sock.send(data)
                return None
            return sock.send(data, copy=False, track=True)

    def receive(self, seconds: float) -> Message | None:
        with self._receiving:
            if not self._zmq.zmq_poll([(self._inbox, self._zmq.POLLIN)], int(seconds * 1000)):
                return None
            head = last = self._inbox.recv(copy=False)
            data, extra = None, 0
            while last.more:
                data = last = self._inbox.recv(copy=False)
                extra += 1
        try:
            if extra > 1:
                raise MessageError(f"{extra + 1} frames")
            payload = _EMPTY if data is None else np.frombuffer(data.buffer, np.uint8)
            return Message(wire.decode(self.token, head.bytes, payload.size, self.size), payload)
        except MessageError:
            self.dropped += 1
            return None

    def wait_ticket(self, ticket: Any, seconds: float) -> None:
        with contextlib.suppress(self._zmq.NotDone):
            ticket.wait(seconds)

    def close(self) -> None:
        with self._sending, self._receiving:
            self._context.destroy(linger=LINGER)


class Mailbox:
    """Matches arrived messages to who waits for them, and carries whole arrays as pieces."""

    def __init__(self, mail: Mail, watch: Callable[[], None], fresh: Callable[[Header], bool] = lambda header: True):
        """fresh: False for a message that has been there before, which is dropped."""
        self.mail, self.watch, self._fresh = mail, watch, fresh
        self.dropped = 0
        self._arrived: list[Message] = []
        self._tickets: deque = deque()
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
