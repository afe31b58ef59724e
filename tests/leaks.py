"""What a test left behind: threads, processes, ZeroMQ sockets, shared-memory segments, environment variables."""

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import zmq

SETTLE = 2.0  # seconds that things which have been told to stop may take
PROC, SHM = Path("/proc"), Path("/dev/shm")

# Processes started below this one carry this in their environment, so orphans are known too.
RUN = f"DISTTORCH_TEST_RUN={os.getpid()}"
os.environ.update([RUN.split("=")])

_sockets: "weakref.WeakSet[zmq.Socket]" = weakref.WeakSet()
_socket_init = zmq.Socket.__init__


def _remember(self: zmq.Socket, *args: object, **options: object) -> None:
    _socket_init(self, *args, **options)
    _sockets.add(self)


zmq.Socket.__init__ = _remember


@contextmanager
def check_leaks() -> Iterator[None]:
    """Raise AssertionError, naming everything, when the block leaves more behind than it found."""
    pids, segments, environment = _pids(), _segments(), dict(os.environ)
    things = _threads() | _open_sockets()
    yield
    changed = _environment_changes(environment)
    os.environ.clear()
    os.environ.update(environment)

    def left() -> list[str]:
        in_process = sorted(name for _, name in (_threads() | _open_sockets()) - things)
        return in_process + _processes(_pids() - pids) + _own_segments(_segments() - segments)

    limit = time.monotonic() + SETTLE
    while (rest := left()) and time.monotonic() < limit:
        time.sleep(0.02)
    if rest or changed:
        raise AssertionError("left behind: " + "; ".join(rest + changed))


def _threads() -> set[tuple[int, str]]:
    return {(id(thread), f"thread {thread.name!r}") for thread in threading.enumerate()}


def _open_sockets() -> set[tuple[int, str]]:
    return {(id(socket), f"socket {socket!r}") for socket in list(_sockets) if not socket.closed}


def _pids() -> set[int]:
    return {int(name) for name in os.listdir(PROC) if name.isdigit()} if PROC.is_dir() else set()


def _segments() -> set[str]:
    return set(os.listdir(SHM)) if SHM.is_dir() else set()


def _processes(pids: set[int]) -> list[str]:
    """Those of the processes that come from this test run and are not dead already."""
    helpers = {resource_tracker._resource_tracker._pid, forkserver._forkserver._forkserver_pid}  # one a run, shared
    found = []
    for pid in sorted(pids - helpers):
        try:
            state, parent = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[:2]
            environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
            command = (PROC / str(pid) / "cmdline").read_text().replace("\0", " ").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone meanwhile, or somebody else's
        if state != "Z" and (int(parent) == os.getpid() or RUN.encode() in environment):
            found.append(f"process {pid} ({command})")
    return found


def _own_segments(names: set[str]) -> list[str]:
    """Those of the shared-memory segments that no process outside this test run has mapped."""
    return [f"shared memory /dev/shm/{name}" for name in sorted(names - _mapped_by_others(names))]


def _mapped_by_others(names: set[str]) -> set[str]:
    if not names:
        return set()
    mapped = set()
    for pid in _pids() - {os.getpid()}:
        try:
            maps = (PROC / str(pid) / "maps").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        mapped |= {name for name in names if f"{SHM}/{name}" in maps}
    return mapped


def _environment_changes(before: dict[str, str]) -> list[str]:
    names = {name for name, _ in before.items() ^ os.environ.items()} - {"PYTEST_CURRENT_TEST"}
    return [f"environment variable {name}" for name in sorted(names)]
