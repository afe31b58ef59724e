"""The digits example as a user runs it: alone, under the launcher, on simulated devices; and a worker killed midway."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launching import environment, kill, launch, launching

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_digits.py"
LINE = re.compile(r"epoch +(\d+): loss (\d\.\d{4}), test accuracy (\d+\.\d)%")


def figures(output: str) -> list[tuple[str, ...]]:
    return LINE.findall(output)


def alone(*args: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLE, *args],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(**changes),
        check=False,
    )


def workers_of(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(pid) for pid in children]


@pytest.mark.slow
@pytest.mark.deadline(120)
def test_the_same_losses_alone_on_workers_and_on_devices():
    one = {"OMP_NUM_THREADS": "1"}  # four workers and a pool of two threads each would only wait for one another
    expected = figures(alone("--epochs", "2", **one).stdout)
    assert len(expected) == 2
    for workers in (1, 2, 4):
        assert figures(launch("--nproc-per-node", workers, EXAMPLE, "--epochs", 2, **one).stdout) == expected
    assert figures(alone("--epochs", "2", "--data-parallel", DISTTORCH_SIM_DEVICES="4", **one).stdout) == expected


@pytest.mark.slow
@pytest.mark.deadline(120)
def test_two_workers_reach_97_percent():
    last = figures(launch("--nproc-per-node", 2, EXAMPLE).stdout)[-1]
    assert last[0] == "14"
    assert float(last[2]) >= 97


@pytest.mark.slow
def test_a_killed_worker_ends_the_job_and_is_named():
    with launching("--nproc-per-node", "2", str(EXAMPLE), "--epochs", "1000") as job:
        while not LINE.search(job.stdout.readline()):
            assert job.poll() is None, job.stderr.read()
        victim = next(pid for pid in workers_of(job.pid) if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())

        kill(victim)
        _, report = job.communicate(timeout=20)

    assert job.returncode == 128 + signal.SIGKILL
    assert "rank 1" in report
    assert "SIGKILL" in report


def test_a_batch_that_cannot_be_shared_is_refused():
    done = launch("--nproc-per-node", 2, EXAMPLE, "--batch-size", 7)
    assert done.returncode == 2
    assert "--batch-size 7 cannot be shared by 2 workers" in done.stdout + done.stderr
