"""TCP connections from rank to rank: each carries bytes one way, for one use, and its ends know each other.

Who has something to send connects to the receiver's door and shows the group's token, its rank and what the connection
is for; who does not is turned away. Nothing here is encrypted, and nothing waits.
"""

from __future__ import annotations

import hmac
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence

from .lines import Line, keep_alive, reason, unpace
from .wire import TOKEN

GULP = 1 << 20  # bytes sent or received at a time: by turns, so that what goes through the kernel stays in the cache
BUFFER = 4 << 20  # bytes that may lie unread in the kernel: left to itself it takes so many that they leave the cache
BACKLOG = 4096  # connections that may wait for a rank which does something else
STRANGERS = 64  # connections that have not yet shown the token; when more come, the oldest are closed
MESSAGES, ARRAYS = 0, 1  # what a connection is for
USES = ("messages", "arrays")
_WHO = struct.Struct("<IB")  # rank and use
_HELLO = TOKEN + _WHO.size  # bytes
Place = tuple[str, int]  # address and port


class Outgoing:
    """The connection over which this rank sends to one other."""

    def __init__(self, place: Place, hello: bytes):
        self.sock = _socket(place[0])
        self.broken = ""  # how it ended: the other side has gone, or was never reached
        self._line = Line()
        self.sent = 0  # bytes, `hello` included
        self._queued = 0
        self._unpaced = False
        self.parts: deque[memoryview] = deque()  # what waits to be sent
        try:
            self.sock.connect(place)
        except BlockingIOError:
            pass  # under way; what is sent waits for it
        except OSError as error:
            self.broken = reason(error)
        self.add(memoryview(hello))

    def add(self, part: memoryview) -> int:
        """Queue bytes, which must stay as they are until `sent` has reached the number that this returns."""
        self._queued += len(part)
        if not self.broken:
            self.parts.append(part)
        return self._queued

    def post(self, *parts: bytes | memoryview) -> int:
        """Send bytes as far as the kernel takes them at once; a copy of the others waits. Returns what `add` does."""
        count = 0 if self.parts else self._send(parts)
        self.sent += count
        self._queued += count
        if rest := b"".join(parts)[count:]:
            self.add(memoryview(rest))
            self.push()
        return self._queued

    def push(self) -> int:
        """Send what the kernel takes at once of what waits, a gulp at most; how many bytes."""
        if not self.parts:
            return 0
        if not self._unpaced and self.sent:  # connected: only now the round trip is known
            self._unpaced = True
            unpace(self.sock)
        part = self.parts[0]
        count = self._send([part[:GULP]])
        self.sent += count
        if self.broken:
            self.parts.clear()
        elif count < len(part):
            self.parts[0] = part[count:]
        else:
            self.parts.popleft()
        return count

    def _send(self, parts: Sequence[bytes | memoryview]) -> int:
        try:
            return self.sock.sendmsg(parts)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.broken = reason(error)
            return 0

    def failure(self, silence: float) -> str:
        """How it failed, if it has; see Line."""
        return self.broken or self._line.failure(self.sock, silence)


class StreamTicket:
    """Tells when an array may be changed again: once the kernel has all of it, and the message that tells of it."""

    def __init__(self, stream: Outgoing, peer: int, end: int, message: StreamTicket | None = None):
        self.peer, self._stream, self._end, self._message = peer, stream, end, message

    @property
    def done(self) -> bool:
        return self._stream.sent >= self._end and (self._message is None or self._message.done)

    @property
    def lost(self) -> bool:
        """True if it will never be done."""
        broken = self._stream.broken or (self._message is not None and self._message.lost)
        return bool(broken) and not self.done


class Door:
    """Where the other ranks' connections come in.

    token: the group's, which every connection must begin with; host: the address of this rank to listen at; silence:
    seconds after which the kernel ends a connection whose other end has become unreachable, but 3 at least; drop:
    called for every one that is turned away.
    """

    def __init__(self, token: bytes, host: str, silence: float, drop: Callable[[], None]):
        self.token, self._drop = token, drop
        self._seen: set[tuple[int, int]] = set()  # who has come, for which use
        self._strangers: list[tuple[socket.socket, bytearray]] = []
        self._listener = _socket(host)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # of what it accepts, too
        keep_alive(self._listener, silence)  # and what it accepts
        self._listener.bind((host, 0))
        self._listener.listen(BACKLOG)
        self.place: Place = (host, self._listener.getsockname()[1])

    def hello(self, rank: int, use: int) -> bytes:
        """How `rank` begins a connection for this use."""
        return self.token + _WHO.pack(rank, use)

    def waiting(self) -> list[socket.socket]:
        """What can be read once somebody comes, or says more."""
        return [self._listener, *(sock for sock, _ in self._strangers)]

    def admit(self, rank: int, size: int) -> list[tuple[int, int, socket.socket]]:
        """Rank, use and connection of all who have come since the last time. rank, size: of the one who asks."""
        for _ in range(STRANGERS):
            try:
                sock, _ = self._listener.accept()
            except OSError:  # nobody else, or one that is gone again
                break
            sock.setblocking(False)
            self._strangers.append((sock, bytearray()))
        came, still = [], []
        for sock, said in self._strangers:
            if not self._hear(sock, said):
                still.append((sock, said))
            elif (who := self._introduced(said, rank, size)) is not None:
                self._seen.add(who)
                came.append((*who, sock))
            else:
                self._turn_away(sock)
        self._strangers = still
        while len(self._strangers) > STRANGERS:
            self._turn_away(self._strangers.pop(0)[0])
        return came

    def _hear(self, sock: socket.socket, said: bytearray) -> bool:
        """Read on in what a stranger says; True once that is all."""
        try:
            more = sock.recv(_HELLO - len(said))
        except BlockingIOError:
            return False
        except OSError:
            more = b""
        said += more
        return not more or len(said) == _HELLO

    def _introduced(self, said: bytes | bytearray, rank: int, size: int) -> tuple[int, int] | None:
        """Rank and use of who says this, if it belongs to the group and has not come before."""
        if len(said) != _HELLO or not hmac.compare_digest(said[:TOKEN], self.token):
            return None
        who = peer, use = _WHO.unpack_from(said, TOKEN)
        return who if peer < size and peer != rank and use in (MESSAGES, ARRAYS) and who not in self._seen else None

    def _turn_away(self, sock: socket.socket) -> None:
        self._drop()
        sock.close()

    def close(self) -> None:
        """Close it to all who have not been admitted. Idempotent."""
        for sock in self.waiting():
            sock.close()


def _socket(host: str) -> socket.socket:
    """A TCP socket for addresses like `host` that never waits, and delays nothing."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
