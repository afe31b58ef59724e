"""The guards around every test are tested too: each leak is named, and a late test fails."""

import multiprocessing
import os
import subprocess
import sys
import threading
from multiprocessing import shared_memory
from pathlib import Path

import pytest
from disttorch.comm import testing

import leaks

HANGING = """
import threading, pytest
@pytest.mark.deadline(0.2)
def test_hangs():
    threading.Event().wait(30)
"""


@pytest.fixture(autouse=True)
def settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "SETTLE", 0.0)


def test_nothing_left_is_nothing_said() -> None:
    with leaks.check_leaks():
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()


def test_thread_is_named() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, args=(10,), name="straggler")
    with pytest.raises(AssertionError, match="thread straggler"), leaks.check_leaks():
        thread.start()
    stop.set()
    thread.join()


def test_child_and_orphan_are_named() -> None:
    wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with pytest.raises(AssertionError, match=r"child process \d+"), leaks.check_leaks():
        child = subprocess.Popen(wait, stdin=subprocess.PIPE)
    child.communicate()
    read, write = os.pipe()
    with pytest.raises(AssertionError, match=r"orphan process \d+ .*import sys"), leaks.check_leaks():
        subprocess.run(["sh", "-c", 'exec 3<&0; "$@" <&3 &', "sh", *wait], stdin=read, check=True)
    os.close(read)
    os.close(write)  # ends the orphan


def test_segment_is_named() -> None:
    with pytest.raises(AssertionError, match="/dev/shm/"), leaks.check_leaks():
        segment = shared_memory.SharedMemory(create=True, size=8)
    segment.close()
    segment.unlink()


def test_semaphore_is_named() -> None:
    with pytest.raises(AssertionError, match=r"/dev/shm/sem\."), leaks.check_leaks():
        lock = multiprocessing.get_context("spawn").Lock()  # with "fork" its name goes at once
    del lock


def test_environment_is_named_and_put_back() -> None:
    with pytest.raises(AssertionError, match="environment variable LEFT_BEHIND"), leaks.check_leaks():
        os.environ["LEFT_BEHIND"] = "1"
    assert "LEFT_BEHIND" not in os.environ


def test_a_late_test_fails_with_the_stacks(tmp_path: Path) -> None:
    here = Path(__file__).parent
    for name in ("conftest.py", "leaks.py"):
        (tmp_path / name).write_text((here / name).read_text())
    (tmp_path / "test_it.py").write_text(HANGING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert run.returncode == 1
    assert "deadline of 0.2 s passed" in run.stdout
    assert "in test_hangs" in run.stdout  # a frame of the stack
