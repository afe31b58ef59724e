"""Fences: the order in which other processes see what this one reads and writes in memory that they share.

An x86 processor lets only a read pass an earlier write (Intel SDM vol. 3, 9.2). An Arm processor lets anything pass,
but keeps what follows an acquire behind it, what precedes a release before it, and a release before the next acquire of
the same lock (Arm Architecture Reference Manual, "Ordering constraints"). Taking a lock and giving it back are such
atomic instructions, and the only ones that Python has.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

from . import clock

WEAK = platform.machine().lower() not in ("x86_64", "amd64", "i686", "i386")  # whether writes may pass writes


class Fence:
    """All reads and writes before a call are over before those after it; C11's atomic_thread_fence(seq_cst)."""

    def __init__(self) -> None:
        self._lock = clock.Lock()

    def __call__(self) -> None:
        with self._lock:
            pass
        if WEAK:
            with self._lock:
                pass


def light_fence() -> Callable[[], None]:
    """Like a Fence, but a read after it may pass a write before it; C11's atomic_thread_fence(acq_rel).

    x86 does that by itself.
    """
    return Fence() if WEAK else _nothing


def _nothing() -> None:
    pass
