"""ErrorHandler: writes the exception that ends a worker to its error file, where the launcher finds it."""

import faulthandler
import json
import logging
import os
import warnings
from typing import Any

from .....launcher.bootstrap import record

_log = logging.getLogger(__name__)


class ErrorHandler:
    """Writes exceptions to the file that TORCHELASTIC_ERROR_FILE names; to none where it is not set.

    The file is JSON: {"message": {"message": "ValueError: text", "extraInfo": {"py_callstack": "Traceback …",
    "timestamp": "1700000000"}}, …}, with seconds since the epoch. Subclasses may override `initialize` and
    `record_exception`.
    """

    def initialize(self) -> None:
        """Called before the code whose errors are wanted: a crash in native code then shows the Python stack."""
        if faulthandler.is_enabled():
            return  # under the launcher the stack goes to a file
        try:
            faulthandler.enable(all_threads=True)
        except (RuntimeError, OSError, ValueError, AttributeError) as error:  # stderr may be closed, or not a file
            warnings.warn(f"Unable to enable fault handler. {type(error).__name__}: {error}", stacklevel=2)

    def record_exception(self, e: BaseException) -> None:
        """Write the exception to the error file."""
        record(e, self._get_error_file_path())

    def dump_error_file(self, rootcause_error_file: str, error_code: int = 0) -> None:
        """Make a child's error file this process's own; `error_code` (not 0) is written into it as "errorCode"."""
        with open(rootcause_error_file) as file:
            self.dump_error(json.load(file), error_code)

    def dump_error(self, error: dict[str, Any], error_code: int = 0) -> None:
        """Write what a child's error file said to the error file of this process."""
        if error_code and isinstance(error.get("message"), dict):
            error = {**error, "message": {**error["message"], "errorCode": error_code}}
        path = self._get_error_file_path()
        if not path:
            _log.error("no error file is set for this process; a child's error was: %s", json.dumps(error, indent=2))
            return
        with open(path, "w") as file:
            json.dump(error, file)

    def _get_error_file_path(self) -> str | None:
        return os.environ.get("TORCHELASTIC_ERROR_FILE")


def get_error_handler() -> ErrorHandler:
    """The handler that `record` uses where none is given."""
    return ErrorHandler()
