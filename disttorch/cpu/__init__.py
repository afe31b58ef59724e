"""torch.cpu: the CPU under the names that accelerators have, for programs that take any device.

It has one queue of work and does each piece at once: nothing is ever waited for.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from . import amp

__all__ = [
    "Event",
    "Stream",
    "amp",
    "current_device",
    "current_stream",
    "device_count",
    "is_available",
    "is_initialized",
    "set_device",
    "stream",
    "synchronize",
]


class Stream:
    """The queue of work, empty whenever it is looked at."""

    def __init__(self, priority: int = -1):
        self.priority = priority

    def synchronize(self) -> None:
        """Wait for what it holds."""

    def wait_stream(self, stream: Any) -> None:
        """Let later work follow another stream's."""


class Event:
    """A place in the queue, always reached."""

    def query(self) -> bool:
        return True

    def record(self, stream: Stream | None = None) -> None:
        """Mark the queue's present end."""

    def synchronize(self) -> None:
        """Wait until it is reached."""

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream's later work follow it."""


_stream = Stream()


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1: all cores are one device."""
    return 1


def current_device() -> str:
    """Always "cpu"."""
    return "cpu"


def set_device(device: Any) -> None:
    """There is one CPU: nothing changes."""


def synchronize(device: Any = None) -> None:
    """Wait until all work is done."""


def current_stream(device: Any = None) -> Stream:
    """The only stream."""
    return _stream


@contextlib.contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """Put the block's work on `stream`; there is one queue, whatever the name."""
    yield
