"""Ranges and marks for NVIDIA's profilers (torch.cuda.nvtx), through CuPy; on simulated devices nobody sees them."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from .. import devices

__all__ = ["mark", "range", "range_pop", "range_push"]


class _Open(threading.local):
    depth = 0


_open = _Open()


def _nvtx() -> Any:
    """CuPy's functions, or None on simulated devices; RuntimeError without CUDA devices."""
    if not devices.device_count():
        raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")
    return None if devices.is_simulated() else devices.cupy().cuda.nvtx


def range_push(msg: str) -> int:
    """Open a range inside those that this thread has opened; how many those are."""
    if nvtx := _nvtx():
        nvtx.RangePush(msg)
    _open.depth += 1
    return _open.depth - 1


def range_pop() -> int:
    """Close the range opened last; how many remain open."""
    if nvtx := _nvtx():
        nvtx.RangePop()
    _open.depth -= 1
    return _open.depth


@contextlib.contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A range around a block or a function, named `msg.format(*args, **kwargs)`."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()


def mark(msg: str) -> None:
    """Mark this moment."""
    if nvtx := _nvtx():
        nvtx.Mark(msg)
