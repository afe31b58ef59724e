"""Collectives and messages of objects: whatever msgpack can pack. Nothing that comes in is ever executed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np

from . import clock
from .call import Call
from .errors import CommError

MAX_OBJECT = 1 << 30  # bytes of one packed object


class Objects:
    """A group's part that deals with objects. They are packed, and travel as arrays by the group's engine."""

    rank: int
    size: int
    _engine: Any
    _call: Callable[..., Call]
    _check_rank: Callable[..., int]
    _start: Callable[..., Any]
    send: Callable[..., None]
    recv: Callable[..., int]

    def all_gather_object(self, obj: Any) -> list[Any]:
        """Every rank's `obj`, by rank. TypeError for an object that msgpack cannot pack."""
        return self._gather_objects("all_gather_object", obj, None) or []

    def gather_object(self, obj: Any, dst: int) -> list[Any] | None:
        """Every rank's `obj`, by rank, on rank `dst`; None elsewhere."""
        return self._gather_objects("gather_object", obj, self._check_rank(dst, "dst"))

    def broadcast_object(self, obj: Any, src: int) -> Any:
        """Rank `src`'s `obj`, on all ranks."""
        src = self._check_rank(src, "src")
        call = self._call("broadcast_object", root=src)
        data = _pack(obj) if self.rank == src else b""

        def run(limit: clock.Deadline, patient: bool) -> np.ndarray:
            size = np.array([len(data)], np.int64)
            self._engine.broadcast(call, limit, patient, size, src)
            raw = np.frombuffer(data, np.uint8) if self.rank == src else np.empty(_object_size(int(size[0])), np.uint8)
            self._engine.broadcast(call, limit, patient, raw, src)
            return raw

        return _unpack(self._start(call, run, False))

    def scatter_object(self, objects: Sequence[Any] | None, src: int) -> Any:
        """This rank's object of the list that rank `src` gives, one for each rank; the others give None."""
        src = self._check_rank(src, "src")
        call = self._call("scatter_object", root=src)
        packed = [_pack(obj) for obj in objects or []]

        def run(limit: clock.Deadline, patient: bool) -> np.ndarray:
            sizes = np.array([len(data) for data in packed] or [0] * self.size, np.int64)
            self._engine.broadcast(call, limit, patient, sizes, src)
            longest = max(_object_size(int(size)) for size in sizes)
            parts = [np.frombuffer(data.ljust(longest, b"\0"), np.uint8) for data in packed]
            mine = np.empty(longest, np.uint8)
            self._engine.scatter(call, limit, patient, mine, parts, src)
            return mine[: sizes[self.rank]]

        return _unpack(self._start(call, run, False))

    def send_object(self, obj: Any, dst: int, tag: int = 0) -> None:
        """Send an object that msgpack can pack; for `recv_object`."""
        data = np.frombuffer(_pack(obj), np.uint8)
        self.send(np.array([data.size], np.int64), dst, tag)
        self.send(data, dst, tag)

    def recv_object(self, src: int | None = None, tag: int = 0) -> tuple[Any, int]:
        """The next object that `src` (None: anyone) sent with this tag, and its sender."""
        size = np.empty(1, np.int64)
        sender = self.recv(size, src, tag)
        raw = np.empty(_object_size(int(size[0])), np.uint8)
        self.recv(raw, sender, tag)
        return _unpack(raw), sender

    def _gather_objects(self, name: str, obj: Any, dst: int | None) -> list[Any] | None:
        data = np.frombuffer(_pack(obj), np.uint8)
        call = self._call(name, root=-1 if dst is None else dst)

        def run(limit: clock.Deadline, patient: bool) -> list[np.ndarray]:
            sizes = np.empty(self.size, np.int64)
            self._engine.all_gather(call, limit, patient, list(sizes[:, None]), np.array([data.size], np.int64))
            longest = max(_object_size(int(size)) for size in sizes)
            padded = np.zeros(longest, np.uint8)
            padded[: data.size] = data
            outs = list(np.empty((self.size, longest), np.uint8)) if dst in (None, self.rank) else []
            if dst is None:
                self._engine.all_gather(call, limit, patient, outs, padded)
            else:
                self._engine.gather(call, limit, patient, padded, outs, dst)
            return [out[:size] for out, size in zip(outs, sizes, strict=bool(outs))]

        found = self._start(call, run, False)
        return [_unpack(raw) for raw in found] if dst in (None, self.rank) else None


def _pack(obj: Any) -> bytes:
    try:
        return msgpack.packb(obj)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"the object cannot be sent: {error}; plain data (None, bool, int, float, str, bytes, list, "
                        f"dict) can") from None  # fmt: skip


def _unpack(raw: np.ndarray) -> Any:
    return msgpack.unpackb(raw.tobytes(), strict_map_key=False)


def _object_size(size: int) -> int:
    if not 0 <= size <= MAX_OBJECT:
        raise CommError(f"an object of {size} bytes; at most {MAX_OBJECT} are allowed")
    return int(size)
