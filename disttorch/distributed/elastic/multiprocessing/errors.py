"""`record`: a function whose exceptions the launcher shows, even where the script catches them and exits."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def record(fn: Callable[P, T]) -> Callable[P, T]:
    """Decorator: an exception that leaves `fn` is written to TORCHELASTIC_ERROR_FILE, then goes on its way.

    Under `disttorch run` an exception that nobody catches is written there anyway. Without a launcher nothing is
    written.
    """

    @functools.wraps(fn)
    def recorded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            from ....launcher.bootstrap import record as write

            write(error)
            raise

    return recorded
