"""Why a worker failed: its error file, the first cause among several failures, and the report that a person reads."""

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

LONGEST_TEXT = 64 << 10  # characters of an error file's text that are kept
HINTS: dict[int, str] = {
    signal.SIGKILL: "killed from outside; where nobody did it, the machine ran out of memory",
    signal.SIGSEGV: "a crash in native code",
    signal.SIGABRT: "native code gave up",
    signal.SIGBUS: "a crash in native code; a full /dev/shm is a usual cause",
    signal.SIGILL: "native code built for another processor",
}


@dataclass(frozen=True)
class Raised:
    """The exception that ended a worker, as its bootstrap wrote it down (`bootstrap.record`)."""

    type: str
    message: str
    traceback: str  # as Python prints it; empty for sys.exit
    timestamp: float  # seconds since the epoch
    consequence: bool  # it only says that another rank is gone
    exit_code: int = 1  # with which the worker was about to end

    @property
    def headline(self) -> str:
        return f"{self.type}: {self.message}".splitlines()[0][:200] if self.message else self.type


@dataclass(frozen=True)
class Failure:
    """One worker's end with anything but success."""

    rank: int
    local_rank: int
    node_rank: int
    host: str
    pid: int
    exit_code: int  # -n: ended by signal n
    noticed: float  # seconds since the epoch
    raised: Raised | None = None
    stack: str = ""  # the Python stack at a crash in native code

    @property
    def time(self) -> float:
        """When it failed: by its own clock where it could say so."""
        return self.raised.timestamp if self.raised else self.noticed

    @property
    def exit_status(self) -> int:
        """What a shell would call it: 128 + n for signal n."""
        return 128 - self.exit_code if self.exit_code < 0 else self.exit_code

    @property
    def how(self) -> str:
        if self.exit_code < 0:
            return f"was ended by signal {signal_name(-self.exit_code)}"
        return f"ended with exit code {self.exit_code}"

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Failure":
        fields = json.loads(data)
        raised = fields.pop("raised")
        return cls(**fields, raised=Raised(**raised) if raised else None)


def signal_name(number: int) -> str:
    names = {known.value: known.name for known in signal.Signals}
    return names.get(number, str(number))  # a real-time signal has no name


def read_raised(path: Path) -> Raised | None:
    """What a worker's error file says; None without a whole one (it was killed while writing)."""
    try:
        fields = json.loads(path.read_text(errors="replace"))
        told = fields["message"]
        kind, _, message = str(told["message"]).partition(": ")
        return Raised(
            type=kind,
            message=message[:LONGEST_TEXT],
            traceback=str(told["extraInfo"]["py_callstack"])[-LONGEST_TEXT:],
            timestamp=float(fields.get("timestamp", told["extraInfo"]["timestamp"])),
            consequence=bool(fields.get("consequence", False)),
            exit_code=int(fields.get("exit_code", 1)) & 0xFF,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def read_stack(path: Path) -> str:
    """The stack that Python's fault handler left at a crash, without the frames of our bootstrap."""
    if not path.exists():
        return ""
    lines = path.read_text(errors="replace")[:LONGEST_TEXT].splitlines()
    return "\n".join(line for line in lines if f"{os.sep}launcher{os.sep}bootstrap.py" not in line)


def root_cause(failures: Sequence[Failure]) -> Failure:
    """The failure that the others follow from: the earliest, and rather one that does not blame another rank."""
    return min(failures, key=lambda failure: (bool(failure.raised and failure.raised.consequence), failure.time))


def report(failures: Sequence[Failure], command: str, logs: Path | None = None) -> str:
    """The story of a failed job: the first cause with all that is known of it, then who else failed."""
    first = root_cause(failures)
    ending = f"exit code  {first.exit_code}"
    if first.exit_code < 0:
        hint = HINTS.get(-first.exit_code)
        ending = f"signal     {signal_name(-first.exit_code)} ({-first.exit_code})" + (f": {hint}" if hint else "")
    lines = [
        "",
        f"disttorch: rank {first.rank} {first.how}" + (f" ({first.raised.headline})" if first.raised else ""),
        f"  rank       {first.rank} (local rank {first.local_rank} on node {first.node_rank}, {first.host})",
        f"  pid        {first.pid}",
        f"  {ending}",
        f"  time       {datetime.fromtimestamp(first.time).isoformat(' ', 'milliseconds')}",
        f"  command    {command}",
    ]
    if logs:
        lines.append(f"  logs       {logs}")
    if text := (first.raised.traceback if first.raised else "") or first.stack:
        lines += ["  traceback", *("    " + line for line in text.rstrip().splitlines())]
    for other in sorted(failures, key=lambda failure: failure.time):
        if other is not first:
            cause = f": {other.raised.headline}" if other.raised else ""
            lines.append(f"  also       rank {other.rank} {other.how}{_when(other.time - first.time)}{cause}")
    return "\n".join(lines) + "\n"


def _when(seconds: float) -> str:
    return f" {seconds:.2f} s later" if seconds >= 0 else f" {-seconds:.2f} s earlier"
