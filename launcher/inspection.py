"""What the workers of a running job are doing: every rank's Python stack and the collective that it is in.

A worker's bootstrap has a handler for a signal: Python's fault handler writes the stacks of all threads beside the
error file, even where native code holds the interpreter; then, once the main thread runs, the pending collectives
follow. Workers are found by their command line, so nothing listens and a running job pays nothing.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .bootstrap import INSPECT_SIGNAL
from .clock import monotonic, sleep
from .errors import UsageError

PATIENCE = 2.0  # seconds that a worker's main thread has to say which collective it is in
LOOK = 0.01  # seconds between two looks for what it says
LONGEST_STACK = 256 << 10  # bytes


@dataclass(frozen=True)
class RunningWorker:
    """A worker process of this user, as /proc shows it."""

    pid: int
    launcher: int
    rank: int
    command: str  # the target and its arguments
    error_file: str


@dataclass
class Answer:
    """What a worker says: its stacks, and its groups (see `disttorch.comm.group.report`; None: it did not say)."""

    worker: RunningWorker
    stacks: str = ""
    groups: list[dict[str, Any]] | None = field(default=None)


def running_workers(launcher: int | None = None) -> list[RunningWorker]:
    """The workers of this user on this machine (of one launcher), by launcher and rank."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (worker := _worker(int(name))) and launcher in (None, worker.launcher):
            found.append(worker)
    return sorted(found, key=lambda worker: (worker.launcher, worker.rank))


def _worker(pid: int) -> RunningWorker | None:
    process = Path(f"/proc/{pid}")
    try:
        if process.stat().st_uid != os.getuid():
            return None
        words = process.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        place = next((i for i, word in enumerate(words) if word.endswith("launcher/bootstrap.py")), None)
        if place is None or place + 3 >= len(words) or not words[place + 1].isdecimal():
            return None
        if int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1]) != int(words[place + 1]):
            return None  # a process that a worker has forked
        pairs = process.joinpath("environ").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # gone meanwhile
    environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if "RANK" not in environment or "TORCHELASTIC_ERROR_FILE" not in environment:
        return None
    command = " ".join([*(["-m"] if words[place + 2] == "module" else []), *words[place + 3 :]])
    return RunningWorker(
        pid, int(words[place + 1]), int(environment["RANK"]), command, environment["TORCHELASTIC_ERROR_FILE"]
    )


def ask(workers: Sequence[RunningWorker], patience: float = PATIENCE) -> list[Answer]:
    """Have every worker write down what it does, and read it."""
    answers = [Answer(worker) for worker in workers]
    asked = [answer for answer in answers if _request(answer.worker)]
    limit = monotonic() + patience
    waiting = list(asked)
    while waiting and monotonic() < limit:
        waiting = [answer for answer in waiting if not _pending_file(answer.worker).exists()]
        sleep(LOOK)
    for answer in asked:
        _read(answer)
    return answers


def _request(worker: RunningWorker) -> bool:
    """Send the signal, unless the worker has no handler for it yet: it would die."""
    try:
        for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                if not int(line.split()[1], 16) >> (INSPECT_SIGNAL - 1) & 1:
                    return False
                _pending_file(worker).unlink(missing_ok=True)
                os.truncate(_stack_file(worker), 0)
                os.kill(worker.pid, INSPECT_SIGNAL)
                return True
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile
    return False


def _read(answer: Answer) -> None:
    try:
        with open(_stack_file(answer.worker), "rb") as file:
            lines = file.read(LONGEST_STACK).decode(errors="replace").splitlines()
        answer.stacks = "\n".join(line for line in lines if "launcher/bootstrap.py" not in line)
        answer.groups = json.loads(_pending_file(answer.worker).read_text())
    except FileNotFoundError:
        return  # the main thread has not come to it, or all has ended meanwhile


def _stack_file(worker: RunningWorker) -> Path:
    return Path(f"{worker.error_file}.inspect")


def _pending_file(worker: RunningWorker) -> Path:
    return Path(f"{worker.error_file}.pending")


def describe(answers: Iterable[Answer]) -> str:
    """What a person reads."""
    lines = []
    for answer in answers:
        worker = answer.worker
        lines.append(f"rank {worker.rank} (process {worker.pid}): {_doing(answer)}")
        for group in answer.groups or ():
            pending = f"in {group['pending']} for {group['seconds']:.1f} s" if group["pending"] else "in no collective"
            lines.append(f"  {group['group']}: {pending}; last: {group['last']}")
        lines += [f"  {line}" for line in answer.stacks.splitlines()]
    return "\n".join(lines) + "\n"


def _doing(answer: Answer) -> str:
    if not answer.stacks:
        return "starting or ending: it has nothing to say"
    if answer.groups is None:
        return "its main thread is busy in native code"
    pending = [group["pending"] for group in answer.groups if group["pending"]]
    return f"in {', '.join(pending)}" if pending else "in no collective"


def inspect(launcher: int | None) -> str:
    """What `disttorch inspect [PID]` prints. Raises UsageError where there is no such job."""
    workers = running_workers(launcher)
    if not workers:
        if launcher is None:
            raise UsageError("inspect: no job of yours is running on this machine")
        raise UsageError(f"inspect: process {launcher} is no launcher of yours with Python workers")
    text = ""
    for number in dict.fromkeys(worker.launcher for worker in workers):
        mine = [worker for worker in workers if worker.launcher == number]
        text += f"launcher {number}: {mine[0].command}\n{describe(_alone(mine))}"
    return text


def _alone(workers: Sequence[RunningWorker]) -> list[Answer]:
    """`ask`, one at a time on a job."""
    try:
        lock = open(_stack_file(workers[0]), "rb")  # noqa: SIM115
    except FileNotFoundError:
        return [Answer(worker) for worker in workers]  # they are starting, or have just ended
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return ask(workers)


def inspect_own(launcher: int) -> str:
    """What SIGUSR1 makes the launcher print."""
    workers = running_workers(launcher)
    return describe(_alone(workers)) if workers else "disttorch: no Python worker is running\n"
