"""The store: keys and values that ranks use to find one another, count, and report.

`Store` states the contract; here are the ones that need no network: HashStore (threads of one process), FileStore
(processes that share a file system) and PrefixStore (a part of another store). `store_server` has the networked one.
"""

from __future__ import annotations

import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from . import clock
from .errors import StoreError, StoreTimeout

DEFAULT_TIMEOUT = 300.0  # seconds, PyTorch's default for a store
FILE_POLL = 0.01  # seconds between two looks at a FileStore's file


class Store(ABC):
    """Keys are str, values bytes. Safe to use from several threads. Waiting methods raise StoreTimeout."""

    timeout: float = DEFAULT_TIMEOUT  # seconds that `get` and `wait` wait when no other limit is given

    @abstractmethod
    def set(self, key: str, value: bytes) -> None:
        """Store `value`, replacing what was there."""

    @abstractmethod
    def multi_get(self, keys: Iterable[str], timeout: float | None = None) -> list[bytes]:
        """The values of all `keys`, waiting until every one is set."""

    @abstractmethod
    def add(self, key: str, amount: int) -> int:
        """Add to a counter (a missing one is 0) and return the new value; `get` shows it as decimal digits."""

    @abstractmethod
    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        """Set `desired` if the value is `expected` (or the key is missing and `expected` empty); return what is there
        afterwards (`expected` if the key is missing)."""

    @abstractmethod
    def delete_key(self, key: str) -> bool:
        """Remove the key; True if it was there."""

    @abstractmethod
    def check(self, keys: Iterable[str]) -> bool:
        """True if all keys are set. Does not wait."""

    @abstractmethod
    def num_keys(self) -> int:
        """How many keys are set."""

    def get(self, key: str, timeout: float | None = None) -> bytes:
        """The value of `key`, waiting until it is set."""
        return self.multi_get([key], timeout)[0]

    def wait(self, keys: Iterable[str], timeout: timedelta | float | None = None) -> None:
        """Wait until all keys are set. Raises StoreTimeout naming those that are missing."""
        self.multi_get(keys, in_seconds(timeout))

    def set_timeout(self, timeout: timedelta | float) -> None:
        """How long `get` and `wait` wait from now on."""
        self.timeout = in_seconds(timeout)

    def exchange(self, key: str, value: bytes, keys: Iterable[str]) -> list[bytes]:
        """Set `key`, and return what `keys` hold now, b"" for one that is missing. Does not wait."""
        self.set(key, value)
        return [self.get(name) if self.check([name]) else b"" for name in keys]

    def append(self, key: str, value: bytes) -> None:
        """Add `value` at the end of what is there (nothing, if the key is missing)."""
        current = b""
        while True:
            seen = self.compare_set(key, current, current + value)
            if seen == current + value:
                return
            current = seen

    def fresh(self, timeout: float) -> Store:
        """A store on the same keys for one thread's use, whose every request takes at most `timeout` seconds."""
        return self

    def close(self) -> None:  # noqa: B027  a store that holds nothing has nothing to release
        """Release what the store holds on this side."""


def in_seconds(timeout: timedelta | float | None) -> Any:
    """A time span as seconds, as PyTorch's or as ours; None stays."""
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout


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

    def set(self, key: str, value: bytes) -> None:
        self.data[key] = value

    def exchange(self, key: str, value: bytes, keys: Iterable[str]) -> list[bytes]:
        self.data[key] = value
        return [self.data.get(name, b"") for name in keys]

    def add(self, key: str, amount: int) -> int:
        try:
            total = int(self.data.get(key, b"0")) + amount
        except ValueError:
            raise StoreError(f"add: key {key!r} holds no number") from None
        self.data[key] = str(total).encode()
        return total

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        current = self.data.get(key)
        if current == expected or (current is None and not expected):
            self.data[key] = current = desired
        return expected if current is None else current

    def delete_key(self, key: str) -> bool:
        return self.data.pop(key, None) is not None

    def check(self, keys: Iterable[str]) -> bool:
        return all(key in self.data for key in keys)

    def num_keys(self) -> int:
        return len(self.data)


class HashStore(Store):
    """A store inside this process, for ranks that are threads."""

    def __init__(self, timeout: float = DEFAULT_TIMEOUT):
        self.timeout = timeout
        self._table = Table()
        self._changed = clock.Condition()

    def set(self, key: str, value: bytes) -> None:
        with self._changed:
            self._table.set(key, as_bytes(value))
            self._changed.notify_all()

    def multi_get(self, keys: Iterable[str], timeout: float | None = None) -> list[bytes]:
        keys = list(keys)
        limit = self.timeout if timeout is None else timeout
        with self._changed:
            if not self._changed.wait_for(lambda: self._table.check(keys), limit):
                missing = tuple(key for key in keys if key not in self._table.data)
                raise StoreTimeout("waiting for keys of the store", limit, missing)
            return [self._table.data[key] for key in keys]

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

    def num_keys(self) -> int:
        with self._changed:
            return self._table.num_keys()


class FileStore(Store):
    """A store in a file that all processes can reach; each change is appended under an advisory lock.

    The file goes when the last of `world_size` stores closes (never, if world_size is 0). A file left by an earlier
    job that was killed must be removed first, as with PyTorch.
    """

    def __init__(self, path: str | os.PathLike, world_size: int = 0, timeout: float = DEFAULT_TIMEOUT):
        import msgpack

        self.timeout, self.path, self.world_size = timeout, os.fspath(path), world_size
        self._msgpack = msgpack
        self._table, self._lock, self._read_to = Table(), clock.Lock(), 0
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

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
        keys = list(keys)
        deadline = clock.Deadline(self.timeout if timeout is None else timeout, "waiting for keys of the file store")
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
        return self._transact(self._table.check, list(keys))

    def num_keys(self) -> int:
        return self._transact(lambda: sum(not key.startswith("\0") for key in self._table.data))

    def close(self) -> None:
        if self._file < 0:
            return
        if self._transact(self._table.add, "\0closed", 1) == self.world_size:
            os.unlink(self.path)
        with self._lock:
            os.close(self._file)
            self._file = -1


class PrefixStore(Store):
    """A view of another store in which every key starts with `prefix/`."""

    def __init__(self, prefix: str, store: Store):
        self.prefix, self.store = prefix, store

    @property
    def timeout(self) -> float:  # type: ignore[override]
        return self.store.timeout

    @timeout.setter
    def timeout(self, value: float) -> None:
        self.store.timeout = value

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def set(self, key: str, value: bytes) -> None:
        self.store.set(self._name(key), value)

    def multi_get(self, keys: Iterable[str], timeout: float | None = None) -> list[bytes]:
        return self.store.multi_get([self._name(key) for key in keys], timeout)

    def add(self, key: str, amount: int) -> int:
        return self.store.add(self._name(key), amount)

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        return self.store.compare_set(self._name(key), expected, desired)

    def delete_key(self, key: str) -> bool:
        return self.store.delete_key(self._name(key))

    def check(self, keys: Iterable[str]) -> bool:
        return self.store.check([self._name(key) for key in keys])

    def num_keys(self) -> int:
        """The number of keys of the whole underlying store, as in PyTorch."""
        return self.store.num_keys()

    def fresh(self, timeout: float) -> Store:
        return PrefixStore(self.prefix, self.store.fresh(timeout))


def rooted(store: Store) -> tuple[Store, str]:
    """The store below all PrefixStores, and what they put in front of a key."""
    prefix = ""
    while isinstance(store, PrefixStore):
        prefix, store = f"{store.prefix}/{prefix}", store.store
    return store, prefix
