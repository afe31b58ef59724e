"""Real launches for tests: tiny scripts, a hard limit on each, and a look at what is left of them."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LIMIT = 30.0  # seconds that any one launch may take
COMMAND = [sys.executable, "-m", "disttorch.launcher"]


def write(folder: Path, text: str, name: str = "script.py") -> str:
    """A script in `folder`; its path."""
    path = folder / name
    path.write_text(text)
    return str(path)


def environment(**changes: str) -> dict[str, str]:
    """The environment without what steers a launch, and with `changes`."""
    steering = ("CUDA_VISIBLE_DEVICES", "DISTTORCH_SIM_DEVICES", "DISTTORCH_JOB_SECRET", "OMP_NUM_THREADS")
    return {name: value for name, value in os.environ.items() if name not in steering} | changes


def launch(*args: object, cwd: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `disttorch run ARGS` to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        capture_output=True,
        cwd=cwd,
        env=environment(**changes),
        timeout=LIMIT,
        encoding="utf-8",
        errors="surrogateescape",
        stdin=subprocess.DEVNULL,
    )


def free_port() -> int:
    """A port of 127.0.0.1 that nothing has, below those that the system hands out to whoever asks for any.

    Drawn without the seed that every test sets: tests that run at the same time would all get the same one.
    """
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


@contextmanager
def launching(*args: object, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A launch that goes on; it is killed in the end if it still does."""
    with subprocess.Popen(
        [*COMMAND, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_for(condition, what: str, seconds: float = LIMIT):
    """The condition's first true value; AssertionError after `seconds`."""
    limit = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < limit, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
    return value


def pids_in(folder: Path, count: int) -> list[int]:
    """The process numbers that `count` scripts have written into files of `folder`, one each, named by anything."""

    def written() -> list[int] | None:
        found = [int(text) for path in folder.glob("*.pid") if (text := path.read_text()).endswith("\n")]
        return found if len(found) == count else None

    return wait_for(written, f"{count} processes that say who they are")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_gone(pids: list[int]) -> None:
    wait_for(lambda: not any(map(alive, pids)), f"the end of {[pid for pid in pids if alive(pid)]}", seconds=5)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
