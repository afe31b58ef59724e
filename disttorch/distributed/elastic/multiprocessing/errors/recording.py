"""`record`: a function whose exceptions the launcher shows, even where the script catches them and exits."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .error_handler import ErrorHandler, get_error_handler
from .failures import NO_ERROR, ChildFailedError

P = ParamSpec("P")
T = TypeVar("T")


def record(fn: Callable[P, T], error_handler: ErrorHandler | None = None) -> Callable[P, T | None]:
    """Decorator: an exception that leaves `fn` is written to TORCHELASTIC_ERROR_FILE, then goes on its way.

    Of a ChildFailedError the first failing worker's error is written. SystemExit with status 0 ends `fn` with None.
    Under `disttorch run` an exception that nobody catches is written there anyway. Without a launcher nothing is
    written.
    """
    handler = error_handler or get_error_handler()

    @functools.wraps(fn)
    def recorded(*args: P.args, **kwargs: P.kwargs) -> T | None:
        handler.initialize()
        try:
            return fn(*args, **kwargs)
        except SystemExit as end:
            if end.code == 0:
                return None
            raise
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            if failure.error_file_data != NO_ERROR:
                handler.dump_error(failure.error_file_data, failure.exitcode)
            raise
        except Exception as error:
            handler.record_exception(error)
            raise

    return recorded
