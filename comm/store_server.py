"""The networked store: one server thread on a ZeroMQ ROUTER socket, any number of clients.

A request is one frame, msgpack `[number, command, arguments...]`; the reply is `[number, ok, result]`. A request that
waits for keys is answered when they appear. Where the job has a secret (`security.job_secret`), both sides use CURVE.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterable

import msgpack
import zmq

from . import clock, security
from .errors import WAITING, StoreError, StoreTimeout
from .store import DEFAULT_TIMEOUT, Store, Table, as_amount, as_bytes, as_key, as_keys

MAX_MESSAGE = 64 << 20  # bytes; a larger request ends its sender's connection
POLL = 100  # milliseconds between two looks at expired waits
TRY_AGAIN = 1.0  # seconds a client waits for an answer beyond the request's own limit
TURN = 5.0  # seconds at most of a wait for keys, after which the server must say that it is still there
ANSWER = 10.0  # seconds at most that the answer to a request may take which waits for nothing
_LIMITS = {"max_bin_len": MAX_MESSAGE, "max_str_len": 4096, "max_array_len": 1 << 20, "max_map_len": 0}


class StoreServer:
    """Serves a store on `host`:`port` from a thread of this process until `close()`.

    host: the address to bind, loopback unless said otherwise; port: 0 picks a free one (see `.port`); secret: the job's
    secret (default: the environment's), without which a non-loopback address is refused unless `insecure` is True.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, secret: bytes | None = None, insecure: bool = False):
        secret = secret or security.job_secret()
        if secret is None and not security.is_loopback(host) and not (insecure or security.insecure()):
            raise security.SecurityError(
                f"StoreServer on {host} would be open to the network: set {security.SECRET_VARIABLE} "
                "on all ranks, or pass insecure=True"
            )
        self.host, self.dropped = host, 0  # dropped: malformed requests so far
        self.table = Table()
        self._waiting: list[tuple[float, bytes, int, list[str]]] = []  # (expires, client, number, keys)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self._socket.setsockopt(zmq.IPV6, int(":" in host))
        security.secure_server(self._socket, secret)
        try:
            self._socket.bind(f"tcp://{_bind_address(host)}:{port}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            text = "The server socket has failed to listen on any local network address"
            raise StoreError(f"{text}. host: {host}, port: {port}: {error}") from None
        self.port = int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])
        self._stop = clock.Event()
        self._bell = self._pair(zmq.Socket.bind)  # rung by `close`, so that it need not wait for the thread's next look
        self._rope = self._pair(zmq.Socket.connect)
        self._thread = clock.spawn(self._serve, f"store-server:{self.port}")

    def close(self) -> None:
        """Stop serving; waiting clients run into their own deadlines. Idempotent."""
        if not self._stop.is_set():
            self._rope.send(b"")  # first: once it is to stop, the thread may close this end at any moment
            self._stop.set()
        self._thread.join()

    def __enter__(self) -> StoreServer:
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    def _pair(self, attach: Callable[[zmq.Socket, str], object]) -> zmq.Socket:
        """One end of a line between threads."""
        end = self._context.socket(zmq.PAIR)
        attach(end, f"inproc://stop-{id(self)}")
        return end

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        try:
            while not self._stop.is_set():
                if self._socket in dict(poller.poll(POLL)):
                    frames = self._socket.recv_multipart()
                    self._handle(frames)
                self._expire()
        finally:
            self._context.destroy(linger=0)

    def _handle(self, frames: list[bytes]) -> None:
        client = frames[0]
        try:
            if len(frames) != 2:
                raise ValueError("a request is one frame")
            number, command, *arguments = msgpack.unpackb(frames[1], **_LIMITS)
            if command == "wait":
                result = self._wait(client, number, *arguments)
            else:
                result = _COMMANDS[command](self.table, *arguments)
        except StoreError as error:
            self._reply(client, number, False, str(error))
        except Exception:  # whatever a stranger's bytes provoke, the server stays up; its owner can see the count
            self.dropped += 1
        else:
            if result is not _LATER:
                self._reply(client, number, True, result)
            if command in ("set", "exchange", "add", "compare_set", "queue_push"):
                self._wake()

    def _reply(self, client: bytes, number: int, ok: bool, result) -> None:
        self._socket.send_multipart([client, msgpack.packb([number, ok, result])])

    def _wait(self, client: bytes, number: int, keys: list[str], limit: float):
        if not isinstance(keys, list) or limit != limit:
            raise ValueError("keys must be a list, and the limit a number")
        if self.table.check(list(map(_key, keys))):
            return self.table.values(keys)
        self._waiting.append((clock.now() + limit, client, number, keys))
        return _LATER

    def _wake(self) -> None:
        still = []
        for entry in self._waiting:
            _, client, number, keys = entry
            if self.table.check(keys):
                self._reply(client, number, True, self.table.values(keys))
            else:
                still.append(entry)
        self._waiting = still

    def _expire(self) -> None:
        if self._waiting and min(entry[0] for entry in self._waiting) < clock.now():
            expired = [entry for entry in self._waiting if entry[0] < clock.now()]
            self._waiting = [entry for entry in self._waiting if entry not in expired]
            for _, client, number, keys in expired:
                self._reply(client, number, False, [key for key in keys if not self.table.check([key])])


_LATER = object()  # the answer comes when the keys do


def _key(key: str) -> str:
    if not isinstance(key, str):
        raise StoreError(f"store keys must be str, got {type(key).__name__}")
    return key


_COMMANDS: dict[str, Callable] = {
    "ping": lambda table: None,
    "set": lambda table, key, value: table.set(_key(key), as_bytes(value)),
    "exchange": lambda table, key, value, keys: table.exchange(_key(key), as_bytes(value), keys),
    "add": lambda table, key, amount: table.add(_key(key), int(amount)),
    "compare_set": lambda table, key, old, new: table.compare_set(_key(key), as_bytes(old), as_bytes(new)),
    "delete_key": lambda table, key: table.delete_key(key),
    "check": lambda table, keys: table.check(keys),
    "list_keys": lambda table: table.list_keys(),
    "queue_push": lambda table, key, value: table.queue_push(_key(key), as_bytes(value)),
    "queue_take": lambda table, key: table.queue_take(_key(key)),
    "queue_len": lambda table, key: table.queue_len(_key(key)),
}


def _bind_address(host: str) -> str:
    if host in ("", "*"):
        return "0.0.0.0"
    return f"[{host}]" if ":" in host else ("127.0.0.1" if host == "localhost" else host)


class KeysMissing(StoreTimeout):
    """The server's answer to a wait that has ended without the keys."""


def _end(pid: int, context: zmq.Context, idle: list[zmq.Socket]) -> None:
    """Close a client's connections, which are its process's own."""
    if pid == os.getpid():
        context.destroy(linger=0)
    idle.clear()


class StoreClient(Store):
    """A connection to a StoreServer; threads may share it, each request in flight has a socket of its own.

    Raises StoreTimeout if the server does not answer within `timeout` seconds.
    """

    def __init__(self, host: str, port: int, timeout: float = DEFAULT_TIMEOUT, *, secret: bytes | None = None):
        self.host, self.port, self.patience = host, int(port), timeout
        self._secret = secret or security.job_secret()
        self._open()
        self._number = 0
        self._closed = self._met = False  # met: the server has answered before
        try:
            self._request("ping", limit=timeout)
        except StoreTimeout as error:
            self.close()
            raise StoreTimeout(
                f"The client socket has timed out after {1000 * timeout:.0f}ms while trying to connect to "
                f"({host}, {port}): {error}",
                timeout,
            ) from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._context, self._pid = zmq.Context(), os.getpid()
        self._idle: list[zmq.Socket] = []
        # It keeps context and sockets apart from a client that is garbage in a cycle: the collector would hide the
        # sockets from the context, which then waits for them for ever.
        self._end = weakref.finalize(self, _end, self._pid, self._context, self._idle)
        self._end.atexit = False

    def _socket(self) -> zmq.Socket:
        if self._closed:
            raise StoreError(f"the client of the store at {self.host}:{self.port} is closed")
        if self._pid != os.getpid():  # a forked child must not touch its parent's sockets
            self._end.detach()
            self._open()
        try:
            return self._idle.pop()
        except IndexError:
            sock = self._context.socket(zmq.DEALER)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
        sock.setsockopt(zmq.RECONNECT_IVL, 20)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        sock.setsockopt(zmq.IPV6, int(":" in self.host))
        security.secure_client(sock, self._secret)
        sock.connect(f"tcp://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}")
        return sock

    def _request(self, command: str, *arguments, limit: float | None = None, more: float = 0.0):
        """more: seconds beyond `limit`, after which the server itself answers."""
        limit = min(self.patience, ANSWER) if limit is None else limit
        self._number = number = self._number + 1
        sock = self._socket()
        try:
            sock.send(msgpack.packb([number, command, *arguments]))
            deadline = clock.Deadline(limit + more, command)
            while sock.poll(int(deadline.remaining() * 1000)):
                answered, ok, result = msgpack.unpackb(sock.recv(), **_LIMITS)
                if answered == number:
                    break
            else:
                hint = "" if self._secret is None or self._met else f" (is {security.SECRET_VARIABLE} the same there?)"
                raise StoreTimeout(f"the store at {self.host}:{self.port} did not answer{hint}: {command}", limit)
        except BaseException:
            sock.close()
            raise
        self._idle.append(sock)
        self._met = True
        if ok:
            return result
        if command == "wait":
            raise KeysMissing(WAITING, limit, tuple(result))
        raise StoreError(result)

    def set(self, key: str, value: bytes) -> None:
        self._request("set", as_key(key), as_bytes(value))

    def multi_get(self, keys: Iterable[str], timeout: float | None = None) -> list[bytes]:
        keys, limit = as_keys(keys), self.patience if timeout is None else timeout
        deadline = clock.Deadline(limit, WAITING)
        while (left := deadline.remaining()) > TURN:
            with contextlib.suppress(KeysMissing):
                return self._request("wait", keys, TURN, limit=TURN, more=ANSWER)
        try:
            return self._request("wait", keys, left, limit=left, more=TRY_AGAIN)
        except KeysMissing as error:
            raise StoreTimeout(WAITING, limit, error.missing) from None

    def exchange(self, key: str, value: bytes, keys: Iterable[str]) -> list[bytes]:
        return self._request("exchange", as_key(key), as_bytes(value), as_keys(keys))

    def add(self, key: str, amount: int) -> int:
        return self._request("add", as_key(key), as_amount(amount))

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        return self._request("compare_set", as_key(key), as_bytes(expected), as_bytes(desired))

    def delete_key(self, key: str) -> bool:
        return self._request("delete_key", as_key(key))

    def check(self, keys: Iterable[str]) -> bool:
        return self._request("check", as_keys(keys))

    def list_keys(self) -> list[str]:
        return self._request("list_keys")

    def queue_push(self, key: str, value: bytes) -> None:
        self._request("queue_push", as_key(key), as_bytes(value))

    def queue_len(self, key: str) -> int:
        return self._request("queue_len", as_key(key))

    def _queue_take(self, key: str) -> bytes | None:
        return self._request("queue_take", as_key(key))

    def fresh(self, timeout: float) -> StoreClient:
        return StoreClient(self.host, self.port, timeout, secret=self._secret)

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._closed = True
        self._end()
