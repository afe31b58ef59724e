"""What a test left behind: what `disttorch.comm.testing` looks for, and further orphans, segments and variables."""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

from disttorch.comm import testing

PROC, SHM = Path("/proc"), Path("/dev/shm")

# Processes started below this one carry this in their environment, so orphans are known too.
RUN = f"DISTTORCH_TEST_RUN={os.getpid()}"
os.environ.update([RUN.split("=")])

_opened: set[str] = set()  # names of segments and semaphores; other programs' lie in the same folder
_register = resource_tracker.register


def _remember(name: str, kind: str) -> None:
    _register(name, kind)
    _opened.add(("sem." if kind == "semaphore" else "") + name.lstrip("/"))


resource_tracker.register = _remember


@contextmanager
def check_leaks() -> Iterator[None]:
    """Raise AssertionError, naming them, when the block leaves things behind that it did not find.

    Threads, child processes, ZeroMQ contexts and mapped shared memory; orphaned processes, files in /dev/shm; and
    changed environment variables, which are put back.
    """
    pids, environment = _pids(), dict(os.environ)
    _opened.clear()
    with testing.check_leaks():
        yield
    changed = _environment_changes(environment)
    limit = time.monotonic() + testing.SETTLE
    while left := _orphans(_pids() - pids) + _segments():
        if time.monotonic() >= limit:
            break
        gc.collect()
        time.sleep(0.02)
    if left or changed:
        raise AssertionError("left behind: " + "; ".join(left + changed))


def _pids() -> set[int]:
    return {int(name) for name in os.listdir(PROC) if name.isdigit()}


def _segments() -> list[str]:
    """What this process has made or opened in /dev/shm by way of `multiprocessing`, and what is still there."""
    return [f"shared memory {SHM / name}" for name in sorted(_opened) if (SHM / name).exists()]


def _orphans(pids: set[int]) -> list[str]:
    """Those of the processes that come from this test run and are not dead already."""
    shared = {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}  # one for all tests
    found = []
    for pid in sorted(pids - shared):
        try:
            state = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
            environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
            command = (PROC / str(pid) / "cmdline").read_text().replace("\0", " ").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone meanwhile, or somebody else's
        if state != "Z" and RUN.encode() in environment:
            found.append(f"orphan process {pid} ({command})")
    return found


def _environment_changes(before: dict[str, str]) -> list[str]:
    names = {name for name, _ in before.items() ^ os.environ.items()} - {"PYTEST_CURRENT_TEST"}
    for name in names:
        os.environ.pop(name, None)
        os.environ.update({name: before[name]} if name in before else {})
    return [f"environment variable {name}" for name in sorted(names)]
