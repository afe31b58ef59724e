"""A thread that takes in messages for posted receives while their rank computes, so that senders need not wait for it.

For mails whose messages move only by their receiver's doing. The thread looks now and then, rather than being woken,
and of receives that are waited for at once it is not told: these must not pay for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from . import clock
from .errors import CommError

PERIOD = 0.001  # seconds between two looks for messages
PAUSE = 0.01  # the same until a receive was found unattended twice
PAUSES = 20  # of these it makes before it sleeps


class Attendant:
    """Works for one rank's messages."""

    def __init__(self, name: str, unattended: Callable[[], Any], work: Callable[[], None]):
        """unattended: a posted receive that nobody waits for, or None; work: takes in what has come."""
        self._name, self._unattended, self._work = name, unattended, work
        self._thread: Any = None
        self._bell = clock.Event()
        self._asleep = self._closing = False

    def call(self) -> None:
        """A receive was posted."""
        if self._thread is None:
            self._thread = clock.spawn(self._run, self._name)
        elif self._asleep:
            self._bell.set()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._bell.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        seen, working, pauses = None, False, 0
        while not self._closing:
            found = self._unattended()
            working = found is not None and (working or found is seen)
            seen = found
            if working:
                with contextlib.suppress(CommError):  # whoever waits for the message meets it as well
                    self._work()
                self._bell.wait(PERIOD)
                pauses = 0
            elif pauses < PAUSES or found is not None:
                self._bell.wait(PAUSE)
                pauses += 1
            else:
                self._sleep()
                pauses = 0

    def _sleep(self) -> None:
        self._asleep = True
        if self._unattended() is None and not self._closing:
            self._bell.wait()
        self._asleep = False
        if not self._closing:
            self._bell.clear()
