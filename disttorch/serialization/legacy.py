"""PyTorch's format from before version 1.6: pickles one after the other, then the storages' bytes.

magic number · protocol version · {"little_endian": …} · the value, with references to storages · the storages' keys
and for each key: the number of elements (8 bytes), the elements
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..devices import CPU, namespace, scope, to_device
from .names import StorageType
from .reader import Damaged, Refused
from .rebuild import LoadedStorage

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


def read(data: bytes, unpickle: Callable, locate: Callable) -> tuple[Any, int]:
    """The value at the beginning of `data`, and where its bytes end.

    unpickle: (data, begin, persistent) -> a pickle's value, and its end; locate: a location -> the device meant. Raises
    Damaged. Memory is taken for storages that the rest of the data can hold, and for no more.
    """
    number, at = unpickle(data, 0, _no_reference)
    if number != MAGIC_NUMBER:
        raise Damaged("Invalid magic number; corrupt file?")
    version, at = unpickle(data, at, _no_reference)
    if version != PROTOCOL_VERSION:
        raise Damaged(f"Invalid protocol version: {version}")
    system, at = unpickle(data, at, _no_reference)
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise Damaged("its numbers are big-endian")
    storages = _Storages(len(data) - at, locate)
    value, at = unpickle(data, at, storages)
    keys, at = unpickle(data, at, _no_reference)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages.made):
        raise Damaged("the storages that it lists are not those that it refers to")
    for key in keys:
        at = storages.fill(key, data, at)
    return value, at


def _no_reference(reference: Any) -> None:
    raise Damaged(f"a reference where none can be: {reference!r}"[:200])


class _Storages:
    """From references to storages: made empty at the first, filled when all are known."""

    def __init__(self, room: int, locate: Callable):
        self.made: dict[str, LoadedStorage] = {}
        self._kinds: dict[str, np.dtype] = {}
        self._room, self._locate = room, locate

    def __call__(self, reference: Any) -> LoadedStorage:
        if isinstance(reference, tuple) and len(reference) == 4 and reference[0] == "module":
            raise Refused(f"a module of the class {reference[1]}")
        if not isinstance(reference, tuple) or len(reference) != 6 or reference[0] != "storage":
            raise Damaged(f"an unknown reference {reference!r}"[:200])
        _, kind, key, location, count, part = reference
        if not isinstance(kind, StorageType) or not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise Damaged("a storage of an unknown type")
        storage = self.made.get(key)
        if storage is None:
            storage = self.made[key] = self._make(key, kind.dtype.np, self._locate(location), count)
        if part is None:
            return storage
        _, begin, size = part
        if not 0 <= begin <= begin + size <= count:
            raise Damaged(f"elements {begin} to {begin + size} of a storage of {count}")
        return LoadedStorage(storage.array[begin : begin + size], storage.device)

    def _make(self, key: str, kind: np.dtype, where: Any, count: int) -> LoadedStorage:
        self._room -= 8 + count * kind.itemsize
        if self._room < 0:
            raise Damaged(f"storage {key} claims {count} elements, more than the file can hold")
        self._kinds[key] = kind
        with scope(where):
            return LoadedStorage(namespace(where).empty(count, kind), where)

    def fill(self, key: str, data: bytes, at: int) -> int:
        """Read a storage's elements, which begin at `at`; their end."""
        storage, kind = self.made[key], self._kinds[key]
        count = int.from_bytes(data[at : at + 8], "little")
        end = at + 8 + count * kind.itemsize
        if count != storage.array.size or end > len(data):
            raise Damaged(f"storage {key} has {count} elements, {storage.array.size} were announced")
        elements = np.frombuffer(data, kind, count, at + 8)
        with scope(storage.device):
            storage.array[...] = elements if storage.device.host else to_device(elements, CPU, storage.device)
        return end
