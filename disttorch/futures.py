"""torch.futures: values that will be there later, and functions to be called when they are."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Future(Generic[T]):
    """A value (or an error) that another thread will set."""

    def __init__(self, *, devices: Any = None):
        self._changed = threading.Condition()
        self._done, self._value, self._error = False, None, None
        self._callbacks: list[Callable] = []

    def done(self) -> bool:
        return self._done

    def wait(self) -> Any:
        """The value, once it is there; the error is raised if one was set."""
        with self._changed:
            self._changed.wait_for(lambda: self._done)
        return self.value()

    def value(self) -> Any:
        """The value that has been set. RuntimeError if there is none yet."""
        if not self._done:
            raise RuntimeError("Future must be completed: use wait() to wait for its value")
        if self._error is not None:
            raise self._error
        return self._value

    def set_result(self, result: Any) -> None:
        """Complete with a value. RuntimeError if it is complete already."""
        self._complete(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Complete with an error, which `wait` raises."""
        if not isinstance(result, BaseException):
            raise TypeError(f"{result} is of type {type(result)}, not an Exception.")
        self._complete(None, result)

    def _complete(self, value: Any, error: BaseException | None) -> None:
        with self._changed:
            if self._done:
                raise RuntimeError("Future can only be marked completed once")
            self._done, self._value, self._error = True, value, error
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable) -> None:
        """Call `callback(self)` when it completes, at once if it has."""
        with self._changed:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable) -> "Future":
        """The future of what `callback(self)` returns once this one is complete."""
        following = Future()

        def run(done: "Future") -> None:
            try:
                result = callback(done)
            except Exception as error:
                following.set_exception(error)
            else:
                following.set_result(result)

        self.add_done_callback(run)
        return following


def collect_all(futures: list[Future]) -> Future:
    """A future of the list of `futures`, complete when all of them are."""
    futures, whole, lock = list(futures), Future(), threading.Lock()
    left = len(futures)

    def one_more(_: Future) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            whole.set_result(futures)

    if not futures:
        whole.set_result(futures)
    for future in futures:
        future.add_done_callback(one_more)
    return whole


def wait_all(futures: list[Future]) -> list:
    """The values of all `futures`, once they are there; the first error is raised."""
    errors: list[Exception] = []
    for future in futures:
        try:
            future.wait()
        except Exception as error:  # raised below, once all are there
            errors.append(error)
    if errors:
        raise errors[0]
    return [future.value() for future in futures]
