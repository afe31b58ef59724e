"""Mail over TCP connections of its own, where nothing is encrypted: two to each rank and two from it.

One carries messages, and one the bytes of long arrays, straight out of the sender's array and into the receiver's, so
that news never waits behind an array. ZeroMQ would need threads, and a copy of every piece. Nothing moves in the
background: bytes come and go while their rank sends or waits for something.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from collections.abc import Iterator

import numpy as np

from . import clock, wire
from .errors import MessageError
from .lines import ended, reason
from .liveness import HEARTBEAT_LIMIT
from .streams import ARRAYS, GULP, MESSAGES, USES, Door, Outgoing, Place, StreamTicket
from .transport import LINGER, PATIENCE, Message, SocketMail
from .wire import GOODBYE, MAX_HEADER, NONSENSE, Header

LOOK = 2e-4  # seconds that a rank looks for a message before it sleeps: to be woken takes longer than most messages
STREAMED = 128 << 10  # bytes of an array up to which it goes in a message
PAUSE = 0.001  # seconds between two tries to send what is left before closing
_FRAME = struct.Struct("<II")  # how long header and payload are, which begins every message
LONGEST = _FRAME.size + MAX_HEADER + STREAMED  # bytes of a message


class Inbox:
    """The messages that come over one connection."""

    def __init__(self, peer: int, sock: socket.socket):
        self.peer, self.sock = peer, sock
        self.ended = ""  # how, once it has
        self._room = memoryview(bytearray(2 * LONGEST))
        self._filled = 0

    def read(self) -> Iterator[tuple[bytes, np.ndarray]]:
        """Header and payload of all that have come. Raises MessageError at one that is none."""
        try:
            count = self.sock.recv_into(self._room[self._filled :])
        except BlockingIOError:
            return
        except OSError as error:  # cut off
            count, self.ended = 0, reason(error)
        if not count:
            self.ended = self.ended or "ended"
        self._filled += count
        at, filled = 0, self._filled
        while filled - at >= _FRAME.size:
            head, payload = _FRAME.unpack_from(self._room, at)
            if head > MAX_HEADER or payload > STREAMED:
                raise MessageError(f"a message of {head} and {payload} bytes")
            begin = at + _FRAME.size
            middle, end = begin + head, begin + head + payload
            if end > filled:
                break
            yield bytes(self._room[begin:middle]), np.frombuffer(bytes(self._room[middle:end]), np.uint8)
            at = end
        if at < filled and at:
            self._room[: filled - at] = bytes(self._room[at:filled])
        self._filled = filled - at


class TcpMail(SocketMail):
    """For one thread at a time, but for `leave` and `close` of its engine, and `inspect`.

    host: the address of this rank to listen at; silence: seconds after which a connection counts as cut.
    """

    def __init__(self, rank: int, size: int, token: bytes, host: str = "127.0.0.1", silence: float = HEARTBEAT_LIMIT):
        super().__init__(rank, size, token, silence)
        self._door = Door(token, host, silence, self._drop)
        self.address = f"tcp://{f'[{host}]' if ':' in host else host}:{self._door.place[1]}"
        self._sending, self._receiving = clock.Lock(), clock.Lock()
        self._outgoing: dict[tuple[int, int], Outgoing] = {}  # by rank and use
        self._inboxes: dict[int, Inbox] = {}  # by file descriptor
        self._streams: dict[int, socket.socket] = {}  # over which the others' arrays come
        self._ended: set[int] = set()  # ranks whose stream is at its end
        self._came: deque[Message] = deque()
        self._poll = select.poll()  # for messages, and for who comes
        self._at_door: set[int] = set()  # file descriptors of who is not known yet
        self._admit()

    def _drop(self) -> None:
        """Count a connection turned away, or a message that is none."""
        self.dropped += 1

    def streams(self, total: int) -> bool:
        return total > STREAMED

    # Out

    def send(self, peer: int, header: Header, data: np.ndarray | None = None) -> StreamTicket | None:
        if data is None or header.total <= STREAMED:
            return self._post(peer, header, data)
        message = self._post(peer, header) if header.offset == 0 else None
        with self._sending:
            stream = self._out(peer, ARRAYS)
            ticket = StreamTicket(stream, peer, stream.add(data.data), message)
            stream.push()
        return ticket

    def _post(self, peer: int, header: Header, data: np.ndarray | None = None) -> StreamTicket | None:
        """Send one message, which is copied; a ticket if the kernel does not take it at once."""
        if header.kind == GOODBYE:
            self._parted.add(peer)
        head = wire.encode(self.token, header)
        payload = b"" if data is None else data.data
        with self._sending:
            out = self._out(peer, MESSAGES)
            end = out.post(_FRAME.pack(len(head), len(payload)) + head, payload)
        return StreamTicket(out, peer, end) if out.parts else None

    def _out(self, peer: int, use: int) -> Outgoing:
        out = self._outgoing.get((peer, use))
        if out is None:
            out = self._outgoing[peer, use] = Outgoing(_place(self.peers[peer]), self._door.hello(self.rank, use))
        return out

    def _unsent(self) -> list[Outgoing]:
        """The connections that have something to send."""
        return [out for out in list(self._outgoing.values()) if out.parts]  # another thread may add one that leaves

    def _push(self) -> int:
        """Send to all what the kernel takes at once; how many bytes."""
        unsent = self._unsent()
        if not unsent:
            return 0
        with self._sending:
            return sum(out.push() for out in unsent)

    def wait_ticket(self, ticket: StreamTicket, seconds: float) -> None:
        end = clock.now() + seconds
        while not ticket.done and (left := end - clock.now()) > 0:
            if not self._push():
                self._wait(left)

    # In

    def receive(self, seconds: float) -> Message | None:
        with self._receiving:
            if not self._came:
                self._listen(seconds)
            return self._came.popleft() if self._came else None

    def _listen(self, seconds: float) -> None:
        """Take in who comes and what they say, waiting at most `seconds` for something, and send meanwhile."""
        unsent = self._unsent() if seconds else []
        for out in unsent:
            self._poll.register(out.sock, select.POLLOUT)
        look = clock.now() + (0.0 if self.patient else min(LOOK, seconds))
        while not (ready := self._poll.poll(0)) and clock.now() < look:
            clock.give_way()
        if not ready and seconds:
            ready = self._poll.poll(seconds * 1000)
        for out in unsent:
            self._poll.unregister(out.sock)
        if unsent:
            self._push()
        strange = False
        for fd, _ in ready:
            inbox = self._inboxes.get(fd)
            if inbox is not None:
                self._read(inbox)
            strange = strange or inbox is None
        if strange:
            self._admit()

    def _read(self, inbox: Inbox) -> None:
        try:
            for head, payload in inbox.read():
                header = wire.decode(self.token, head, payload.size, self.size)
                if header.sender != inbox.peer:
                    raise MessageError(f"a message of rank {header.sender} from rank {inbox.peer}")
                self._hand_on(header, payload)
        except MessageError as error:  # what follows cannot be understood any more
            self._drop()
            inbox.ended = "was misused"
            self._came.append(self._nonsense(inbox, error))
        else:
            if inbox.ended:
                self._out_of_reach(inbox.peer, _failed(MESSAGES, inbox.ended))
        if inbox.ended:
            self._poll.unregister(inbox.sock)

    def _hand_on(self, header: Header, payload: np.ndarray) -> None:
        if header.kind == GOODBYE:
            self._parted.add(header.sender)
        self._came.append(Message(header, payload))

    def _nonsense(self, inbox: Inbox, error: MessageError) -> Message:
        """What tells whoever waits for a rank that it sent what is no message."""
        text = f"{self.names[inbox.peer]} sent what is no message of this group to {self.address}: {error}"
        return Message(Header(NONSENSE, inbox.peer, 0, place=text.encode()), np.empty(0, np.uint8))

    def _admit(self) -> None:
        """Let in who belongs to the group; with `_receiving` held."""
        came = self._door.admit(self.rank, self.size)
        waiting = {sock.fileno() for sock in self._door.waiting()}
        for fd in self._at_door - waiting:
            self._poll.unregister(fd)
        for fd in waiting - self._at_door:
            self._poll.register(fd, select.POLLIN)
        self._at_door = waiting
        for peer, use, sock in came:
            if use == ARRAYS:
                self._streams[peer] = sock
            else:
                self._inboxes[sock.fileno()] = Inbox(peer, sock)
                self._poll.register(sock, select.POLLIN)

    def draw(self, peer: int, out: np.ndarray, seconds: float) -> int:
        room, filled, end = out.data, 0, clock.now() + seconds
        while filled < len(room):
            count = self._take(peer, room[filled : filled + GULP])
            filled += count
            moved = count + self._push()
            left = end - clock.now()
            if left <= 0 or (not moved and not self._wait(left, peer)):
                break
        return filled

    def _take(self, peer: int, room: memoryview) -> int:
        """Read what is there of the stream from `peer`; how many bytes."""
        sock = self._streams.get(peer)
        if sock is None or peer in self._ended:
            return 0
        try:
            count = sock.recv_into(room)
        except BlockingIOError:
            return 0
        except OSError as error:  # cut off
            self._ended.add(peer)
            self._out_of_reach(peer, _failed(ARRAYS, reason(error)))
            return 0
        if not count:
            self._ended.add(peer)
            self._suspect(peer, _failed(ARRAYS, "ended"))
        return count

    def drained(self, peer: int) -> bool:
        with self._receiving:
            self._admit()
        return peer in self._ended or peer not in self._streams

    def _wait(self, seconds: float, peer: int | None = None) -> bool:
        """Wait until something can be sent, or read from the stream of `peer`; False after `seconds`."""
        poll = select.poll()
        for out in self._unsent():
            poll.register(out.sock, select.POLLOUT)
        strange = peer is not None and peer not in self._streams
        if strange:
            for fd in self._at_door:
                poll.register(fd, select.POLLIN)
        elif peer is not None and peer not in self._ended:
            poll.register(self._streams[peer], select.POLLIN)
        came = poll.poll(seconds * 1000)
        if came and strange:
            with self._receiving:
                self._admit()
        return bool(came)

    # Who is out of reach

    def _failures(self) -> Iterator[tuple[int, str]]:
        for (peer, use), out in list(self._outgoing.items()):
            if how := out.failure(PATIENCE * self._silence):
                yield peer, _failed(use, how)
        incoming = [(inbox.peer, MESSAGES, inbox.sock) for inbox in list(self._inboxes.values()) if not inbox.ended]
        incoming += [(peer, ARRAYS, sock) for peer, sock in list(self._streams.items()) if peer not in self._ended]
        for peer, use, sock in incoming:
            if how := ended(sock):
                yield peer, _failed(use, how)

    def _unread(self, peer: int) -> bool:
        if self._receiving.acquire(blocking=False):  # else somebody takes in what comes
            try:
                if not self._closed:
                    self._admit()
            finally:
                self._receiving.release()
        inbox = next((inbox for inbox in list(self._inboxes.values()) if inbox.peer == peer), None)
        try:
            return inbox is not None and not inbox.ended and bool(inbox.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def settle(self) -> None:
        limit = clock.Deadline(LINGER / 1000, "the last messages")
        last = self._last()
        while any(out.parts for out in last) and limit.remaining():
            with self._sending:
                moved = sum(out.push() for out in last)
            if not moved:
                clock.sleep(PAUSE)

    def _last(self) -> list[Outgoing]:
        """The connections to which `settle` gives a moment."""
        return [out for (_, use), out in list(self._outgoing.items()) if use == MESSAGES]

    def close(self) -> None:
        with self._receiving:
            self._closed = True
        self.settle()
        with self._sending, self._receiving:
            for sock in (
                *(out.sock for out in self._outgoing.values()),
                *(inbox.sock for inbox in self._inboxes.values()),
                *self._streams.values(),
            ):
                sock.close()
            self._door.close()


def _failed(use: int, how: str) -> str:
    return f"for {USES[use]} {how}"


def _place(address: str) -> Place:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), int(port)
