"""Ending whole sessions of processes, and a small process that does it should the launcher itself be killed.

A worker leads a session of its own, so everything that it started (data-loading workers, shells, helpers) is found and
ended with it. The reaper holds the other end of a pipe from the launcher: when that closes without a word, the launcher
has died, and the reaper ends the sessions and removes the files that the launcher would have.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

TERM_GRACE = 0.3  # seconds for what a worker leaves running to end of itself: Python's resource tracker, for one, which
# removes the semaphores in /dev/shm once all others have ended


def members(sessions: Iterable[int]) -> list[int]:
    """The living processes of these sessions."""
    wanted, found = set(sessions), []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, _parent, _group, session = file.read().rpartition(b")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue  # gone meanwhile
            if int(session) in wanted and state not in (b"Z", b"X"):
                found.append(int(name))
    return found


def send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # gone meanwhile


def end_sessions(sessions: Iterable[int]) -> None:
    """End every process of these sessions, whose leaders have ended: asked first, killed after TERM_GRACE seconds."""
    sessions = list(sessions)
    limit = time.monotonic() + TERM_GRACE
    asked: set[int] = set()
    while left := members(sessions):
        if time.monotonic() >= limit:
            send(left, signal.SIGKILL)
        else:
            send(set(left) - asked, signal.SIGTERM)
            asked.update(left)
        time.sleep(0.005)


def remove(paths: Iterable[str]) -> None:
    """Remove these files and folders, as far as they are still there."""
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.exists(path):
            os.unlink(path)


class Reaper:
    """The launcher's side: start the process, tell it what it would have to end and remove, release it."""

    def __init__(self) -> None:
        import subprocess  # here, since the process itself has no use for it

        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    def watch_session(self, session: int) -> None:
        self._tell(f"session {session}")

    def forget_session(self, session: int) -> None:
        self._tell(f"ended {session}")

    def watch_path(self, path: os.PathLike[str]) -> None:
        self._tell(f"path {os.fspath(path)}")

    def release(self) -> None:
        """All is cleaned up: the reaper has nothing to do."""
        self._tell("done")
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{line}\n".encode())
        except BrokenPipeError:
            return  # somebody killed the reaper: the launcher still cleans up after itself


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # what ends the launcher must not end the one who cleans up after it
    sessions: set[int] = set()
    paths: list[str] = []
    for line in sys.stdin:
        word, _, value = line.rstrip("\n").partition(" ")
        if word == "session":
            sessions.add(int(value))
        elif word == "ended":
            sessions.discard(int(value))
        elif word == "path":
            paths.append(value)
        elif word == "done":
            return
    send((pid for pid in members(sessions) if pid in sessions), signal.SIGKILL)
    end_sessions(sessions)
    remove(paths)


if __name__ == "__main__":
    main()
