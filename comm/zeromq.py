"""Mail over ZeroMQ, which encrypts what goes from one host to another."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np

from disttorch.kernels.memory import keep_freed_blocks

from . import clock, security, wire
from .errors import MessageError
from .lines import PROBES, Line, keepalive_step
from .liveness import HEARTBEAT_LIMIT
from .transport import LINGER, PATIENCE, Message, SocketMail
from .wire import GOODBYE, PIECE, SEALED_PIECE, Header

COPY_BELOW = 128 << 10  # bytes; a smaller payload is copied, because following a zero-copy send costs more
ENVELOPE = 1024  # bytes that encryption may add to a message
INWARD, OUTWARD = 1, 2  # the thread of ZeroMQ's that receives and the one that sends, as bits: both copy all the time
RECEIVE_QUEUE = 16  # messages per sender that may lie unread before the sender's side holds back
_EMPTY = np.empty(0, np.uint8)


class ZmqMail(SocketMail):
    """Mail over ZeroMQ tcp: one bound socket that hears all peers, one connected socket for each peer written to.

    host: the address of this rank to bind; secret: encrypt with CURVE keys derived from it, or None; silence: as
    TcpMail's.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        token: bytes,
        host: str = "127.0.0.1",
        secret: bytes | None = None,
        silence: float = HEARTBEAT_LIMIT,
    ):
        import zmq

        keep_freed_blocks()  # ZeroMQ asks for a new one for every piece that comes
        super().__init__(rank, size, token, silence)
        self._zmq = zmq
        self.piece = PIECE if secret is None else SEALED_PIECE
        self._secret = secret
        self._context = zmq.Context(io_threads=2)
        self._outs: dict[int, Any] = {}
        self._connections: dict[int, _Connection] = {}  # by rank
        self._inspecting = clock.Lock()
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
            self._keep_alive(sock)
            self._connections[peer] = _Connection(zmq, sock)
            sock.connect(self.peers[peer])
            self._outs[peer] = sock
        return sock

    def send(self, peer: int, header: Header, data: np.ndarray | None = None) -> Any:
        return self._post(peer, header, data)

    def _post(self, peer: int, header: Header, data: np.ndarray | None = None) -> Any:
        """Send one message."""
        if header.kind == GOODBYE:
            self._parted.add(peer)
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
            header = wire.decode(self.token, head.bytes, payload.size, self.size)
            if header.kind == GOODBYE:
                self._parted.add(header.sender)
            return Message(header, payload)
        except MessageError:
            self.dropped += 1
            return None

    def wait_ticket(self, ticket: Any, seconds: float) -> None:
        with contextlib.suppress(self._zmq.NotDone):
            ticket.wait(seconds)

    def _keep_alive(self, sock: Any) -> None:
        step, zmq = keepalive_step(self._silence), self._zmq
        sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
        sock.setsockopt(zmq.TCP_KEEPALIVE_IDLE, step)
        sock.setsockopt(zmq.TCP_KEEPALIVE_INTVL, step)
        sock.setsockopt(zmq.TCP_KEEPALIVE_CNT, PROBES)

    def _failures(self) -> Iterator[tuple[int, str]]:
        with self._inspecting:
            for peer, connection in [] if self._closed else list(self._connections.items()):
                if how := connection.failure(PATIENCE * self._silence):
                    yield peer, how

    def _unread(self, peer: int) -> bool:
        if not self._receiving.acquire(blocking=False):  # somebody takes in what comes
            return False
        try:
            return not self._closed and bool(self._zmq.zmq_poll([(self._inbox, self._zmq.POLLIN)], 0))
        finally:
            self._receiving.release()

    def close(self) -> None:
        self._closed = True
        with self._sending, self._receiving, self._inspecting:
            self._context.destroy(linger=LINGER)


class _Connection:
    """What ZeroMQ says of the connection that a socket makes. For one thread."""

    def __init__(self, zmq: Any, sock: Any):
        self._events = sock.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
        self._zmq, self._line, self._fd, self._lost = zmq, Line(), -1, False

    def failure(self, silence: float) -> str:
        """How it failed, if it has; see Line."""
        from zmq.utils.monitor import recv_monitor_message

        while self._zmq.zmq_poll([(self._events, self._zmq.POLLIN)], 0):
            event = recv_monitor_message(self._events)
            self._lost = self._lost or event["event"] == self._zmq.EVENT_DISCONNECTED
            self._fd = event["value"]
        if self._lost:
            return "ended"
        if self._fd < 0:
            return self._line.silent(silence)
        sock = socket.socket(socket.AF_INET, fileno=self._fd)  # ZeroMQ's, for a moment
        try:
            return self._line.failure(sock, silence)
        finally:
            sock.detach()
