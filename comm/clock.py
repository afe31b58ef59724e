"""Time and threads: the one file of `comm` that touches the machine's clock or starts a thread.

A simulation replaces these names to run ranks one at a time under a virtual clock.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any
from weakref import WeakSet

from .errors import DeadlineExceeded

now = time.monotonic  # seconds; on Linux one clock for all processes of a host
sleep = time.sleep
give_way = getattr(os, "sched_yield", lambda: None)  # to another process that waits for this core

Lock = threading.Lock
RLock = threading.RLock
Condition = threading.Condition
Event = threading.Event
this_thread = threading.current_thread
threads = threading.enumerate
spawned: WeakSet[threading.Thread] = WeakSet()  # by `spawn`


def spawn(run: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread; its owner must still join it when it closes."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    spawned.add(thread)
    thread.start()
    return thread


_looking = threading.RLock()  # not Lock: a signal's handler may look too


def frames() -> dict[int, FrameType]:
    """Where each thread of this process is in its program, by `ident`.

    CPython 3.11 makes that list under a lock which starting a thread needs too (its issue 106883). A garbage collection
    meanwhile may let another thread do so, and both hang: so there is none.
    """
    with _looking:
        collects = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames()
        finally:
            if collects:
                gc.enable()


class Deadline:
    """A moment by which an operation must end; what remains is passed down to every wait below it."""

    __slots__ = ("end", "limit", "what")

    def __init__(self, limit: float, what: Any):
        """what: the operation, as text or as what str() makes the text of."""
        self.limit, self.what, self.end = limit, what, now() + limit

    def remaining(self, at_most: float = 3600.0) -> float:
        """Seconds left, between 0 and `at_most`."""
        return min(max(self.end - now(), 0.0), at_most)

    def check(self, missing: tuple = ()) -> None:
        """Raise DeadlineExceeded, naming who is `missing`, once the moment has passed."""
        if now() >= self.end:
            raise DeadlineExceeded(str(self.what), self.limit, missing)
