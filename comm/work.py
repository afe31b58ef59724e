"""Asynchronous operations: a handle for each, and the thread that runs a group's works in the order of their issue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from . import clock, observing
from .errors import DeadlineExceeded

SLICE = 0.05  # seconds waited between two calls of `waiting`
_making = clock.Lock()  # held while an event is made


class Work:
    """One operation under way. Every method may be called from any thread."""

    def __init__(self, name: str, waiting: Callable[[], None] = lambda: None):
        """waiting: called between whiles by threads that wait for its end, however long that takes."""
        self.name, self._waiting = name, waiting
        self._ended = False
        self._bell: Any = None  # an event, made by the first thread that waits
        self._result: Any = None
        self._error: BaseException | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Return True once the operation has ended well; raise its error if it failed.

        Raises DeadlineExceeded after `timeout` seconds (the operation itself goes on until its own deadline).
        """
        self._finish(timeout)
        if self._error is not None:
            raise self._error
        return True

    def _finish(self, timeout: float | None) -> None:
        if self._ended:
            return
        with _making:
            bell = self._bell = self._bell or clock.Event()
        ended = observing.begin("wait", self.name)
        try:
            if timeout is None:
                while not self._ended and not bell.wait(SLICE):
                    self._waiting()
            elif not self._ended and not bell.wait(timeout):
                raise DeadlineExceeded(f"waiting for {self.name}", timeout)
        finally:
            ended()

    @property
    def ended(self) -> bool:
        """`is_completed`, as far as it is known without doing anything for it."""
        return self._ended

    def is_completed(self) -> bool:
        """True once the operation has ended, well or not. Does not wait."""
        return self._ended

    def is_success(self) -> bool:
        """True if the operation has ended well."""
        return self.is_completed() and self._error is None

    def exception(self) -> BaseException | None:
        """The error of a failed operation, None before the end and after a good one."""
        return self._error if self.is_completed() else None

    def result(self) -> Any:
        """What the operation returns, waiting for its end."""
        self.wait()
        return self._result

    def complete(self, result: Any = None, error: BaseException | None = None) -> None:
        """End the operation; for those who carry it out."""
        self._result, self._error = result, error
        self._ended = True
        if self._bell is not None:
            self._bell.set()


class Runner:
    """Runs works one by one in a thread of its own, started when the first one is issued."""

    def __init__(self, name: str, waiting: Callable[[], None] = lambda: None):
        """waiting: see `Work`."""
        self.name, self._waiting = name, waiting
        self._queue: deque[tuple[Work, Callable[[], Any]]] = deque()
        self._changed = clock.Condition()
        self._thread: Any = None
        self._running = self._stop = False

    @property
    def busy(self) -> bool:
        """True while works wait or run."""
        return self._running or bool(self._queue)

    def submit(self, name: str, run: Callable[[], Any]) -> Work:
        """Queue `run` and return its handle."""
        work = Work(name, self._waiting)
        with self._changed:
            if self._thread is None:
                self._thread = clock.spawn(self._loop, self.name)
            self._queue.append((work, run))
            self._changed.notify()
        return work

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._running = False
                self._changed.wait_for(lambda: self._queue or self._stop)
                if not self._queue:
                    return
                work, run = self._queue.popleft()
                self._running = True
            try:
                work.complete(run())
            except BaseException as error:  # handed to whoever waits
                work.complete(None, error)
            del work, run

    def close(self) -> None:
        """End the thread after the works already queued (which fail at once in a closed group). Idempotent."""
        with self._changed:
            self._stop = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
