"""The store: keys and values that ranks use to find one another, count, and report.

`Store` states the contract; here are the ones that need no network: HashStore (threads of one process), FileStore
(processes that share a file system) and PrefixStore (a part of another store). `store_server` has the networked one.
"""

from __future__ import annotations

import contextlib
import fcntl
import operator
import os
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import timedelta

from . import clock
from .errors import WAITING, QueueEmpty, StoreError, StoreTimeout

DEFAULT_TIMEOUT = 300.0  # seconds, PyTorch's default for a store
OPENED, CLOSED = "refcount/", "\0closed"  # keys of a FileStore's own: stores open now, stores closed so far
FILE_POLL = 0.01  # seconds between two looks at a FileStore's file


class Store:
    """Keys are str, values bytes. Safe to use from several threads. Waiting methods raise StoreTimeout.

    A program may derive a store of its own; what it does not define raises NotImplementedError.
    """

    patience: float = DEFAULT_TIMEOUT  # seconds that `get` and `wait` wait when no other limit is given

    @property
    def serves(self) -> bool:
        """Whether this process serves the store, which ends with it."""
        return False

    def set(self, key: str, value: bytes) -> None:
        """Store `value`, replacing what was there."""
        raise _missing()

    def multi_get(self, keys: Iterable[str], timeout: float | None = None) -> list[bytes]:
        """The values of all `keys`, waiting until every one is set."""
        if type(self).get is Store.get:  # which asks here
            raise _missing()
        return [self.get(key) for key in keys]

    def add(self, key: str, amount: int) -> int:
        """Add to a counter (a missing one is 0) and return the new value; `get` shows it as decimal digits."""
        raise _missing()

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        """Set `desired` if the value is `expected` (or the key is missing and `expected` empty); return what is there
        afterwards (`expected` if the key is missing)."""
        raise _missing()

    def delete_key(self, key: str) -> bool:
        """Remove the key; True if it was there."""
        raise _missing()

    def check(self, keys: Iterable[str]) -> bool:
        """True if all keys are set. Does not wait."""
        raise _missing()

    def list_keys(self) -> list[str]:
        """The keys that are set."""
        raise _missing()

    def queue_push(self, key: str, value: bytes) -> None:
        """Put a value at the end of a queue."""
        raise _missing()

    def queue_len(self, key: str) -> int:
        """How many values a queue holds."""
        raise _missing()

    def _queue_take(self, key: str) -> bytes | None:
        """The first value of a queue, taken out; None if there is none."""
        raise _missing()

    # What follows from these

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        """Take the first value out of a queue, waiting for one. QueueEmpty if there is none and `block` is False, or
        where the key has a value that is no queue.
        """
        deadline = clock.Deadline(self.patience, WAITING)
        while (value := self._queue_take(key)) is None:
            if not block or deadline.remaining() == 0:
                raise QueueEmpty("queue is empty")
            if self.multi_get([key], deadline.remaining())[0]:  # a value, not a queue, is what the key has
                raise QueueEmpty("queue is empty")
        return value

    def num_keys(self) -> int:
        """How many keys are set."""
        return len(self.list_keys())

    def multi_set(self, keys: Iterable[str], values: Iterable[bytes]) -> None:
        """Set several keys. StoreError unless there is a value for each."""
        keys, values = as_keys(keys), list(values)
        if len(keys) != len(values):
            raise StoreError(f"multi_set: {len(keys)} keys and {len(values)} values; there must be one for each")
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def get(self, key: str, timeout: float | None = None) -> bytes:
        """The value of `key`, waiting until it is set."""
        return self.multi_get([key], timeout)[0]

    def wait(self, keys: Iterable[str], timeout: timedelta | float | None = None) -> None:
        """Wait until all keys are set. Raises StoreTimeout naming those that are missing."""
        self.multi_get(keys, None if timeout is None else in_seconds(timeout))

    def barrier(self, key: str, world_size: int, timeout: timedelta | float | None = None) -> None:
        """Return when `world_size` callers have called it with this key."""
        if self.add(f"{key}/arrived", 1) == world_size:
            self.set(f"{key}/complete", b"1")
        self.wait([f"{key}/complete"], timeout)

    @property
    def timeout(self) -> timedelta:
        """How long `get` and `wait` wait."""
        return timedelta(seconds=self.patience)

    def set_timeout(self, timeout: timedelta | float) -> None:
        """How long `get` and `wait` wait from now on."""
        self.patience = in_seconds(timeout)

    def has_extended_api(self) -> bool:
        """Whether append, multi_get and multi_set are there."""
        return type(self).multi_get is not Store.multi_get

    def exchange(self, key: str, value: bytes, keys: Iterable[str]) -> list[bytes]:
        """Set `key`, and return what `keys` hold now, b"" for one that is missing. Does not wait."""
        self.set(key, value)
        return [self.get(name) if self.check([name]) else b"" for name in keys]

    def append(self, key: str, value: bytes) -> None:
        """Add `value` at the end of what is there (nothing, if the key is missing)."""
        current, value = b"", as_bytes(value)
        while True:
            seen = self.compare_set(key, current, current + value)
            if seen == current + value:
                return
            current = seen

    def fresh(self, timeout: float) -> Store:
        """A store on the same keys for one thread's use, whose every request takes at most `timeout` seconds."""
        return self

    def clone(self) -> Store:
        """A store on the same keys, which a thread may have for itself."""
        return self.fresh(self.patience)

    def close(self) -> None:
        """Release what the store holds on this side."""


def _missing() -> NotImplementedError:
    return NotImplementedError("Not implemented.")  # PyTorch's text; a RuntimeError, as there


def in_seconds(timeout: timedelta | float) -> float:
    """A time span as seconds, as PyTorch's or as ours. TypeError for anything else."""
    if isinstance(timeout, timedelta):
        return timeout.total_seconds()
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a timedelta or a number of seconds, got {type(timeout).__name__}")
    return timeout


def as_key(key: str) -> str:
    """`key`. TypeError if it is no str."""
    if not isinstance(key, str):
        raise TypeError(f"store keys must be str, got {type(key).__name__}")
    return key


def as_amount(amount: int) -> int:
    """`amount` as an int. TypeError if it is not a whole number."""
    try:
        return operator.index(amount)
    except TypeError:
        raise TypeError(f"add: amount must be an int, got {type(amount).__name__}") from None


def as_keys(keys: Iterable[str]) -> list[str]:
    """`keys` as a list. TypeError if it is a str itself, or not all of them are."""
    if isinstance(keys, str):
        raise TypeError(f"keys must be a list of str, got the str {keys!r}")
    return [as_key(key) for key in keys]


def as_bytes(value: bytes | str) -> bytes:
    """`value` as bytes. Raises TypeError if it is neither bytes nor str."""
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"store values must be bytes or str, got {type(value).__name__}")
    return bytes(value)


class Table:
    """The dictionary behind a store: what each request does, without locks, waiting or I/O."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.queues: defaultdict[str, deque[bytes]] = defaultdict(deque)

    def set(self, key: str, value: bytes) -> None:
        self.data[as_key(key)] = value

    def exchange(self, key: str, value: bytes, keys: Iterable[str]) -> list[bytes]:
        self.data[key] = value
        return [self.data.get(name, b"") for name in keys]

    def add(self, key: str, amount: int) -> int:
        try:
            total = int(self.data.get(as_key(key), b"0")) + as_amount(amount)
        except ValueError:
            raise StoreError(f"add: key {key!r} holds no number") from None
        self.data[key] = str(total).encode()
        return total

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        current = self.data.get(as_key(key))
        if current == expected or (current is None and not expected):
            self.data[key] = current = desired
        return expected if current is None else current

    def delete_key(self, key: str) -> bool:
        return self.data.pop(as_key(key), None) is not None

    def check(self, keys: Iterable[str]) -> bool:
        return all(key in self.data or self.queue_len(key) for key in as_keys(keys))

    def list_keys(self) -> list[str]:
        return list(self.data)

    def queue_push(self, key: str, value: bytes) -> None:
        self.queues[as_key(key)].append(value)

    def queue_take(self, key: str) -> bytes | None:
        return self.queues[key].popleft() if self.queue_len(key) else None

    def queue_len(self, key: str) -> int:
        return len(self.queues[key]) if as_key(key) in self.queues else 0

    def values(self, keys: Iterable[str]) -> list[bytes]:
        return [self.data.get(key, b"") for key in keys]


class HashStore(Store):
    """A store inside this process, for ranks that are threads."""

    def __init__(self, timeout: float = DEFAULT_TIMEOUT):
        self.patience = timeout
        self._table = Table()
        self._changed = clock.Condition()

    def set(self, key: str, value: bytes) -> None:
        with self._changed:
            self._table.set(key, as_bytes(value))
            self._changed.notify_all()

    def multi_get(self, keys: Iterable[str], timeout: float | None = None) -> list[bytes]:
        keys = as_keys(keys)
        limit = self.patience if timeout is None else timeout
        with self._changed:
            if not self._changed.wait_for(lambda: self._table.check(keys), limit):
                missing = tuple(key for key in keys if not self._table.check([key]))
                raise StoreTimeout(WAITING, limit, missing)
            return self._table.values(keys)

    def add(self, key: str, amount: int) -> int:
        with self._changed:
            total = self._table.add(key, amount)
            self._changed.notify_all()
            return total

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        with self._changed:
            value = self._table.compare_set(key, as_bytes(expected), as_bytes(desired))
            self._changed.notify_all()
            return value

    def delete_key(self, key: str) -> bool:
        with self._changed:
            return self._table.delete_key(key)

    def check(self, keys: Iterable[str]) -> bool:
        with self._changed:
            return self._table.check(keys)

    def list_keys(self) -> list[str]:
        with self._changed:
            return self._table.list_keys()

    def queue_push(self, key: str, value: bytes) -> None:
        with self._changed:
            self._table.queue_push(key, as_bytes(value))
            self._changed.notify_all()

    def queue_len(self, key: str) -> int:
        with self._changed:
            return self._table.queue_len(key)

    def _queue_take(self, key: str) -> bytes | None:
        with self._changed:
            return self._table.queue_take(key)


class FileStore(Store):
    """A store in a file that all processes can reach; each change is appended under an advisory lock.

    The file goes with the last store on it, once `world_size` have closed (-1: never). A file left by an earlier job
    that was killed must be removed first, as with PyTorch.
    """

    def __init__(self, file_name: str | os.PathLike, world_size: int = -1, timeout: float = DEFAULT_TIMEOUT):
        import msgpack

        self.patience, self.path, self.world_size = timeout, os.fspath(file_name), world_size
        self._msgpack = msgpack
        self._table, self._lock, self._read_to = Table(), clock.Lock(), 0
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.add(OPENED, 1)

    def _transact(self, request, *args):
        """Run one request of the table on the file's newest state; append the keys that it changed."""
        with self._lock:
            if self._file < 0:
                raise StoreError(f"FileStore {self.path} is closed")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._catch_up()
                before = dict(self._table.data)
                result = request(*args)
                after = self._table.data
                changed = {k: after.get(k) for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
                if changed:
                    os.pwrite(self._file, self._msgpack.packb(changed), self._read_to)
                    self._read_to = os.fstat(self._file).st_size
                return result
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up(self) -> None:
        size = os.fstat(self._file).st_size
        if size > self._read_to:
            unpacker = self._msgpack.Unpacker(max_buffer_size=max(size, 1))
            unpacker.feed(os.pread(self._file, size - self._read_to, self._read_to))
            for changed in unpacker:
                for key, value in changed.items():
                    if value is None:
                        self._table.data.pop(key, None)
                    else:
                        self._table.data[key] = value
            self._read_to = size

    def set(self, key: str, value: bytes) -> None:
        self._transact(self._table.set, key, as_bytes(value))

    def multi_get(self, keys: Iterable[str], timeout: float | None = None) -> list[bytes]:
        keys = as_keys(keys)
        deadline = clock.Deadline(self.patience if timeout is None else timeout, WAITING)
        while not self._transact(self._table.check, keys):
            if deadline.remaining() == 0:
                missing = tuple(key for key in keys if key not in self._table.data)
                raise StoreTimeout(deadline.what, deadline.limit, missing)
            clock.sleep(FILE_POLL)
        return [self._table.data[key] for key in keys]

    def add(self, key: str, amount: int) -> int:
        return self._transact(self._table.add, key, amount)

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        return self._transact(self._table.compare_set, key, as_bytes(expected), as_bytes(desired))

    def delete_key(self, key: str) -> bool:
        return self._transact(self._table.delete_key, key)

    def check(self, keys: Iterable[str]) -> bool:
        return self._transact(self._table.check, as_keys(keys))

    def list_keys(self) -> list[str]:
        return self._transact(lambda: [key for key in self._table.data if key != CLOSED])

    def close(self) -> None:
        if getattr(self, "_file", -1) < 0:
            return
        closed, opened = self.add(CLOSED, 1), self.add(OPENED, -1)
        if opened == 0 and closed >= self.world_size >= 0:
            with contextlib.suppress(FileNotFoundError):  # somebody has removed it
                os.unlink(self.path)
        with self._lock:
            os.close(self._file)
            self._file = -1

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:  # a late one finds no globals
        if not is_finalizing():
            self.close()


class PrefixStore(Store):
    """A view of another store in which every key starts with `prefix/`."""

    def __init__(self, prefix: str, store: Store):
        self.prefix, self.underlying_store = prefix, store

    @property
    def patience(self) -> float:  # type: ignore[override]
        return self.underlying_store.patience

    @patience.setter
    def patience(self, value: float) -> None:
        self.underlying_store.patience = value

    @property
    def _underlying_non_prefix_store(self) -> Store:
        return rooted(self)[0]

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{as_key(key)}"

    def _names(self, keys: Iterable[str]) -> list[str]:
        return [self._name(key) for key in as_keys(keys)]

    def set(self, key: str, value: bytes) -> None:
        self.underlying_store.set(self._name(key), as_bytes(value))

    def multi_get(self, keys: Iterable[str], timeout: float | None = None) -> list[bytes]:
        limit = () if timeout is None else (timeout,)
        return self.underlying_store.multi_get(self._names(keys), *limit)

    def multi_set(self, keys: Iterable[str], values: Iterable[bytes]) -> None:
        self.underlying_store.multi_set(self._names(keys), [as_bytes(value) for value in values])

    def append(self, key: str, value: bytes) -> None:
        self.underlying_store.append(self._name(key), as_bytes(value))

    def add(self, key: str, amount: int) -> int:
        return self.underlying_store.add(self._name(key), amount)

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        return self.underlying_store.compare_set(self._name(key), as_bytes(expected), as_bytes(desired))

    def delete_key(self, key: str) -> bool:
        return self.underlying_store.delete_key(self._name(key))

    def check(self, keys: Iterable[str]) -> bool:
        return self.underlying_store.check(self._names(keys))

    def exchange(self, key: str, value: bytes, keys: Iterable[str]) -> list[bytes]:
        return self.underlying_store.exchange(self._name(key), value, self._names(keys))

    def queue_push(self, key: str, value: bytes) -> None:
        self.underlying_store.queue_push(self._name(key), as_bytes(value))

    def queue_len(self, key: str) -> int:
        return self.underlying_store.queue_len(self._name(key))

    def _queue_take(self, key: str) -> bytes | None:
        return self.underlying_store._queue_take(self._name(key))

    def num_keys(self) -> int:
        """The number of keys of the whole underlying store, as in PyTorch."""
        return self.underlying_store.num_keys()

    def list_keys(self) -> list[str]:
        """The keys that start with the prefix, without it."""
        start = self._name("")
        return [key.removeprefix(start) for key in self.underlying_store.list_keys() if key.startswith(start)]

    def has_extended_api(self) -> bool:
        return self.underlying_store.has_extended_api()

    def fresh(self, timeout: float) -> Store:
        return PrefixStore(self.prefix, self.underlying_store.fresh(timeout))


def rooted(store: Store) -> tuple[Store, str]:
    """The store below all PrefixStores, and what they put in front of a key."""
    prefix = ""
    while isinstance(store, PrefixStore):
        prefix, store = f"{store.prefix}/{prefix}", store.underlying_store
    return store, prefix
