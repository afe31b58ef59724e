"""ChildFailedError: workers have failed, with all that is known of each."""

import json
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOT_AVAILABLE = "<N/A>"
NO_ERROR = {"message": "<NONE>"}
NO_TRACEBACK = "To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html"


@dataclass
class ProcessFailure:
    """One failed worker. `error_file` is read where it is there; `timestamp` is in seconds since the epoch."""

    local_rank: int
    pid: int
    exitcode: int  # -n: ended by signal n
    error_file: str
    error_file_data: dict[str, Any] = field(init=False)
    message: str | dict[str, Any] = field(init=False)
    timestamp: int = field(init=False)

    def __post_init__(self) -> None:
        if os.path.isfile(self.error_file):
            with open(self.error_file) as file:
                self.take(json.load(file))
        else:
            self.error_file = NOT_AVAILABLE
            self.error_file_data = NO_ERROR
            self.message = self._without_words()
            self.timestamp = int(time.time())

    def take(self, data: dict[str, Any]) -> None:
        """Take over what an error file says. Raises KeyError where it has no message."""
        self.error_file_data = data
        self.message = data["message"] or self._without_words()
        holder = data if isinstance(data["message"], str) else data["message"]["extraInfo"]
        self.timestamp = int(holder.get("timestamp", 0))

    def signal_name(self) -> str:
        """SIGKILL, say; "<N/A>" where no signal, or one without a name, ended it."""
        names = {known.value: known.name for known in signal.Signals}
        return names.get(-self.exitcode, NOT_AVAILABLE)

    def timestamp_isoformat(self) -> str:
        return datetime.fromtimestamp(self.timestamp).isoformat(sep="_")

    def _without_words(self) -> str:
        if self.exitcode < 0:
            return f"Signal {-self.exitcode} ({self.signal_name()}) received by PID {self.pid}"
        return NO_TRACEBACK

    @property
    def text(self) -> str:
        """The traceback, or what there is in its place."""
        if isinstance(self.message, str):
            return self.message
        return self.message.get("extraInfo", {}).get("py_callstack") or self.message.get("message", NOT_AVAILABLE)


class ChildFailedError(Exception):
    """Workers have failed. `failures`: by global rank.

    Raised in a function under `record`, the first failure's error file becomes that of the process.
    """

    def __init__(self, name: str, failures: dict[int, ProcessFailure]):
        if not failures:
            raise AssertionError("ChildFailedError needs at least one failure")
        self.name, self.failures = name, failures
        super().__init__(self.format_msg())

    def __reduce__(self):
        return type(self), (self.name, self.failures)

    def get_first_failure(self) -> tuple[int, ProcessFailure]:
        """The rank that failed first, and its failure."""
        return min(self.failures.items(), key=lambda item: item[1].timestamp)

    def format_msg(self, boarder_delim: str = "=", section_delim: str = "-") -> str:
        """The text of the error: the failure that came first last, as torchrun prints it."""
        first, _ = self.get_first_failure()
        described = {rank: self._describe(i, rank) for i, rank in enumerate(self.failures)}
        title = f"{self.name} FAILED"
        lines = [title, *(line for text in described.values() for line in text.split("\n"))]
        width = min(60, max(map(len, lines)))
        others = [text for rank, text in described.items() if rank != first] or ["  <NO_OTHER_FAILURES>"]
        border, section = boarder_delim * width, section_delim * width
        root = ["Root Cause (first observed failure):", described[first]]
        return "\n".join(["", border, title, section, "Failures:", *others, section, *root, border])

    def _describe(self, index: int, rank: int) -> str:
        failure = self.failures[rank]
        name = failure.signal_name()
        ended = f"{failure.exitcode} (pid: {failure.pid}) " + (f" ({name})" if name != NOT_AVAILABLE else "")
        text = failure.text.replace("\n", "\n  ")
        return (
            f"[{index}]:\n"
            f"  time      : {failure.timestamp_isoformat()}\n"
            f"  host      : {socket.getfqdn()}\n"
            f"  rank      : {rank} (local_rank: {failure.local_rank})\n"
            f"  exitcode  : {ended}\n"
            f"  error_file: {failure.error_file}\n"
            f"  traceback : {text}"
        )
