"""What a rank calls: the fingerprint that all ranks must share, and where in the user's program the call stands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import FrameType
from typing import NamedTuple

import msgpack
import numpy as np

from .errors import CollectiveMismatch

_OURS = "disttorch."
MAX_PLACE = 400  # bytes


class Call(NamedTuple):
    """One call of an operation: its fingerprint, its place in the program, and when it was made (`clock.now`)."""

    name: str
    fingerprint: bytes
    place: bytes
    made: float = 0.0

    def __str__(self) -> str:
        return describe(self.fingerprint, self.place)


@lru_cache(maxsize=4096)
def fingerprint(name: str, dtype: np.dtype | None, shape: tuple[int, ...], op: str, root: int) -> bytes:
    """What must be equal on all ranks, as bytes: name, dtype, shape, reduction (or ""), root (or -1)."""
    if len(shape) > 32:
        raise ValueError(f"arrays of at most 32 dimensions can be sent, got {len(shape)}")
    return msgpack.packb([name, dtype.name if dtype is not None else "", shape, op, root])


def describe(mark: bytes, place: bytes) -> str:
    """A rank's call as people read it: all_reduce(float32[3, 4], op=sum) at train.py:12."""
    try:
        name, dtype, shape, op, root = msgpack.unpackb(mark, max_array_len=32)
        parts = [f"{dtype}{list(shape)}"] if dtype else []
        parts += [f"op={op}"] if op else []
        parts += [f"root={root}"] if root >= 0 else []
        return f"{name}({', '.join(parts)}) at {place.decode(errors='replace') or '?'}"
    except (ValueError, TypeError, msgpack.UnpackException):
        return f"an unreadable call {mark[:40]!r}"


@lru_cache(maxsize=4096)
def _place(filename: str, line: int) -> bytes:
    return f"{filename}:{line}".encode()[-MAX_PLACE:]


def caller(frame: FrameType | None = None) -> bytes:
    """File and line of the innermost frame, from this one (the caller's) outwards, that is outside this package."""
    frame = frame or sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        frame = frame.f_back
    return b"" if frame is None else _place(frame.f_code.co_filename, frame.f_lineno)


def check_same(calls: dict[int, tuple[bytes, bytes]]) -> None:
    """Raise CollectiveMismatch unless all ranks' (fingerprint, place) agree in the fingerprint."""
    if len({mark for mark, _ in calls.values()}) > 1:
        raise CollectiveMismatch({rank: describe(*call) for rank, call in calls.items()})


def check_sizes(table: Sequence[Sequence[int]], said: Callable[[int], str]) -> int:
    """The largest part of an all_to_all, in elements. table: by rank, what it sends to each, then what it expects;
    said: a rank's call.

    Raises CollectiveMismatch unless all agree.
    """
    n = len(table)
    if all(row == table[0] for row in table) and len(set(table[0])) == 1:
        return table[0][0]
    for receiver, column in enumerate(zip(*table, strict=True)):
        if receiver < n and column != tuple(table[receiver][n:]):
            sender = next(rank for rank in range(n) if column[rank] != table[receiver][n + rank])
            raise CollectiveMismatch(
                {
                    rank: f"{said(rank)} sends {list(row[:n])} and expects {list(row[n:])} elements"
                    for rank, row in enumerate(table)
                },
                f"all_to_all: rank {sender} sends {column[sender]} elements to rank {receiver}, "
                f"which expects {table[receiver][n + sender]}",
            )
    return max(map(max, table))
