"""Long arrays from process to process over TCP connections, straight out of the sender's array and into the receiver's.

ZeroMQ needs a thread's work and a copy for every piece. Each rank that has something to send connects to the receiver's
listener, and shows the group's token and its rank first; who does not is turned away. Nothing here is encrypted, and
nothing moves in the background: bytes come and go while their rank waits for some.
"""

from __future__ import annotations

import hmac
import select
import socket
import struct
from collections import deque

import numpy as np

from . import clock
from .wire import TOKEN

GULP = 1 << 20  # bytes sent or received at a time: by turns, so that what goes through the kernel stays in the cache
BUFFER = 4 << 20  # bytes that may lie unread in the kernel: left to itself it takes so many that they leave the cache
STRANGERS = 64  # connections that have not yet shown the token; when more come, the oldest are closed
_RANK = struct.Struct("<I")
_HELLO = TOKEN + _RANK.size  # bytes
Place = tuple[str, int]  # address and port


class Outgoing:
    """The connection over which this rank sends to one other."""

    def __init__(self, place: Place, hello: bytes):
        self.sock = _socket(place[0])
        self.broken = False  # whether the other side has gone, or was never reached
        self.sent = 0  # bytes, `hello` included
        self._queued = 0
        self.parts: deque[memoryview] = deque()  # what waits to be sent
        try:
            self.sock.connect(place)
        except BlockingIOError:
            pass  # under way; what is sent waits for it
        except OSError:
            self.broken = True
        self.add(memoryview(hello))

    def add(self, part: memoryview) -> int:
        """Queue bytes, which must stay as they are until `sent` has reached the number that this returns."""
        self._queued += len(part)
        if not self.broken:
            self.parts.append(part)
        return self._queued

    def push(self) -> int:
        """Send what the kernel takes at once of what waits, a gulp at most; how many bytes."""
        if not self.parts:
            return 0
        part = self.parts[0]
        try:
            count = self.sock.send(part[:GULP])
        except BlockingIOError:
            return 0
        except OSError:
            self.broken = True
            self.parts.clear()
            return 0
        self.sent += count
        if count < len(part):
            self.parts[0] = part[count:]
        else:
            self.parts.popleft()
        return count


class StreamTicket:
    """Tells when an array may be changed again: once the kernel has all of it."""

    def __init__(self, stream: Outgoing, peer: int, end: int):
        self.peer, self._stream, self._end = peer, stream, end

    @property
    def done(self) -> bool:
        return self._stream.sent >= self._end

    @property
    def lost(self) -> bool:
        """True if it will never be done."""
        return self._stream.broken and not self.done


class Streams:
    """The streams of one rank to and from the others. For one thread at a time.

    host: the address of this rank to listen at; token: the group's, which every connection must begin with.
    """

    def __init__(self, rank: int, size: int, token: bytes, host: str):
        self.rank, self.size, self.token = rank, size, token
        self._places: list[Place] = []  # of every rank, once they are known
        self._outgoing: dict[int, Outgoing] = {}
        self._incoming: dict[int, socket.socket] = {}
        self._ended: set[int] = set()  # ranks whose connection has come to its end
        self._strangers: list[tuple[socket.socket, bytearray]] = []
        self._listener = _socket(host)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # of what it accepts, too
        self._listener.bind((host, 0))
        self._listener.listen()
        self.place: Place = (host, self._listener.getsockname()[1])

    def meet(self, rank: int, places: list[Place]) -> None:
        """Be number `rank` of those who listen at `places`; before anything is sent."""
        self.rank, self.size, self._places = rank, len(places), [(host, port) for host, port in places]

    def send(self, peer: int, data: np.ndarray) -> StreamTicket:
        """Start sending flat bytes, after all that was sent to this rank before."""
        stream = self._outgoing.get(peer)
        if stream is None:
            stream = self._outgoing[peer] = Outgoing(self._places[peer], self.token + _RANK.pack(self.rank))
        ticket = StreamTicket(stream, peer, stream.add(data.data))
        stream.push()
        return ticket

    def push(self) -> int:
        """Send to all what the kernel takes at once; how many bytes."""
        return sum(stream.push() for stream in self.unsent())

    def unsent(self) -> list[Outgoing]:
        """The connections that have something to send."""
        return [stream for stream in self._outgoing.values() if stream.parts]

    def receive(self, peer: int, out: np.ndarray, seconds: float) -> int:
        """Fill `out` with the next bytes from `peer`, sending meanwhile; returns how many have come in about `seconds`
        at most.
        """
        room, filled, unsent, end = out.data, 0, self.unsent(), clock.now() + seconds
        while filled < len(room):
            count = moved = self._read(peer, room[filled : filled + GULP])
            filled += count
            for stream in unsent:
                moved += stream.push()
            left = end - clock.now()
            if left <= 0 or (not moved and not self._wait(left, peer)):
                break
        return filled

    def flush(self, ticket: StreamTicket, seconds: float) -> None:
        """Wait until the ticket is done, about `seconds` at most."""
        end = clock.now() + seconds
        while not ticket.done and (left := end - clock.now()) > 0:
            if not self.push():
                self._wait(left)

    def ended(self, peer: int) -> bool:
        """True if no more bytes of `peer` will come: its connection is at its end, or there is none."""
        self._admit()
        return peer in self._ended or peer not in self._incoming

    def _read(self, peer: int, room: memoryview) -> int:
        sock = self._incoming.get(peer)
        if sock is None or peer in self._ended:
            return 0
        try:
            count = sock.recv_into(room)
        except BlockingIOError:
            return 0
        except OSError:  # cut off
            count = 0
        if not count:
            self._ended.add(peer)
        return count

    def _wait(self, seconds: float, peer: int | None = None) -> bool:
        """Wait until something can be sent, or read from `peer`; False after `seconds`."""
        poll = select.poll()
        for stream in self.unsent():
            poll.register(stream.sock, select.POLLOUT)
        if peer in self._incoming:
            if peer not in self._ended:
                poll.register(self._incoming[peer], select.POLLIN)
        elif peer is not None:
            for sock in (self._listener, *(sock for sock, _ in self._strangers)):
                poll.register(sock, select.POLLIN)
        came = poll.poll(seconds * 1000)
        if came and peer is not None and peer not in self._incoming:
            self._admit()
        return bool(came)

    def _admit(self) -> None:
        """Take in who has come to the listener, and hear who they are."""
        for _ in range(STRANGERS):
            try:
                sock, _ = self._listener.accept()
            except OSError:  # nobody else, or one that is gone again
                break
            sock.setblocking(False)
            self._strangers.append((sock, bytearray()))
        self._strangers = [stranger for stranger in self._strangers if self._hear(*stranger)]
        while len(self._strangers) > STRANGERS:
            self._strangers.pop(0)[0].close()

    def _hear(self, sock: socket.socket, hello: bytearray) -> bool:
        """Read on in what a stranger says: True while that is not all, afterwards it is known or turned away."""
        try:
            said = sock.recv(_HELLO - len(hello))
        except BlockingIOError:
            return True
        except OSError:
            said = b""
        hello += said
        if said and len(hello) < _HELLO:
            return True
        rank = self._introduced(hello)
        if rank is None:
            sock.close()
        else:
            self._incoming[rank] = sock
        return False

    def _introduced(self, hello: bytes | bytearray) -> int | None:
        """The rank that says hello, if it belongs to the group and has not come before."""
        if len(hello) != _HELLO or not hmac.compare_digest(hello[:TOKEN], self.token):
            return None
        (rank,) = _RANK.unpack_from(hello, TOKEN)
        return rank if rank < self.size and rank != self.rank and rank not in self._incoming else None

    def close(self) -> None:
        """Close all connections; what the kernel has taken is still sent. Idempotent."""
        for sock in self._incoming.values():
            sock.close()
        for sock, _ in self._strangers:
            sock.close()
        for stream in self._outgoing.values():
            stream.sock.close()
        self._listener.close()


def _socket(host: str) -> socket.socket:
    """A TCP socket for addresses like `host` that never waits, and delays nothing."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
