"""`disttorch inspect` and SIGUSR1: what the ranks of a running job are doing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from launching import LIMIT, environment, launch, launching, pids_in, wait_for, write

STUCK = """
import os, sys, time
import disttorch.distributed as dist
def say():
    with open(f"{sys.argv[1]}/{os.environ['RANK']}.pid", "w") as file: file.write(f"{os.getpid()}\\n")
def never_comes():
    while not os.path.exists(f"{sys.argv[1]}/go"): time.sleep(0.01)
dist.init_process_group()
say()
if dist.get_rank() == 1: never_comes()
dist.barrier()
dist.destroy_process_group()
print("done")
"""


def inspect(*args):
    return subprocess.run(
        [sys.executable, "-c", "from disttorch.launcher.cli import main; main()", "inspect", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment(),
    )


def blocks_of(text):
    """The lines about each rank."""
    found = {}
    for line in text.splitlines():
        if line.startswith("rank "):
            rank = int(line.split()[1])
        if line.startswith(("rank ", "  ")):
            found.setdefault(rank, []).append(line)
    return {rank: "\n".join(lines) for rank, lines in found.items()}


def until_rank_0_waits(job):
    """What inspect says once rank 0 is in the barrier."""

    def waiting():
        done = inspect(job.pid)
        return done.returncode == 0 and "in barrier()" in blocks_of(done.stdout).get(0, "") and done.stdout

    return wait_for(waiting, "rank 0 in its barrier")


def test_the_rank_that_does_not_come_is_seen(tmp_path):
    with launching("--nproc-per-node", 2, write(tmp_path, STUCK), tmp_path) as job:
        pids_in(tmp_path, 2)
        text = until_rank_0_waits(job)
        assert text.startswith(f"launcher {job.pid}: {tmp_path}/script.py {tmp_path}\n")
        ranks = blocks_of(text)
        assert f"in barrier() at {tmp_path}/script.py:11" in ranks[0].splitlines()[0]
        assert ranks[1].splitlines()[0].endswith("in no collective")
        assert "in never_comes" in ranks[1]
        assert f'File "{tmp_path}/script.py", line 11 in <module>' in ranks[0]
        assert "bootstrap.py" not in text
        assert f"launcher {job.pid}: " in inspect().stdout  # without a number, all jobs
        assert len(blocks_of(inspect(job.pid).stdout)) == 2  # the second time as well
        (tmp_path / "go").touch()
        out, errors = job.communicate(timeout=20)
        assert job.returncode == 0, errors  # the job has not been disturbed
        assert sorted(out.splitlines()) == ["[rank0]: done", "[rank1]: done"]
        assert errors == ""


def test_the_launcher_prints_it_on_sigusr1(tmp_path):
    with launching("--nproc-per-node", 2, write(tmp_path, STUCK), tmp_path) as job:
        pids_in(tmp_path, 2)
        until_rank_0_waits(job)
        os.kill(job.pid, signal.SIGUSR1)
        lines = []
        while not any("in never_comes" in line for line in lines):
            line = job.stderr.readline()
            assert line, "the launcher has ended"
            lines.append(line)
        (tmp_path / "go").touch()
        job.communicate(timeout=20)
        assert job.returncode == 0
        assert any(line.startswith("rank 0 ") and "in barrier()" in line for line in lines)


def test_a_rank_that_is_busy_in_native_code_shows_its_stack(tmp_path):
    script = write(
        tmp_path,
        """
import ctypes, os, sys
with open(f"{sys.argv[1]}/0.pid", "w") as file: file.write(f"{os.getpid()}\\n")
def busy():
    ctypes.PyDLL(None).pause()  # holds the interpreter until a signal comes
    ctypes.PyDLL(None).sleep(1000)
busy()
""",
    )
    with launching("--nproc-per-node", 1, script, tmp_path) as job:
        (pid,) = pids_in(tmp_path, 1)
        wait_for(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S", "its sleep")
        done = inspect(job.pid)
        assert "in busy" in done.stdout, done.stdout + done.stderr
        job.terminate()
        assert job.wait(20) == 128 + signal.SIGTERM


def test_a_program_with_a_handler_of_its_own_for_sigusr1_is_left_alone(tmp_path):
    script = write(
        tmp_path,
        """
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))
with open(f"{sys.argv[1]}/0.pid", "w") as file: file.write(f"{os.getpid()}\\n")
while not os.path.exists(f"{sys.argv[1]}/go"): time.sleep(0.01)
""",
    )
    with launching(script, tmp_path) as job:
        pids_in(tmp_path, 1)
        assert "rank 0" in inspect(job.pid).stdout
        (tmp_path / "go").touch()
        assert job.wait(20) == 0


def test_a_program_without_python_is_not_signalled(tmp_path):
    with launching("--no-python", "sleep", "1000") as job:
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children")
        commands = lambda: [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()]  # noqa: E731
        wait_for(lambda: b"sleep\0001000\0" in commands(), "its worker")
        assert inspect(job.pid).returncode == 2
        assert job.poll() is None
        job.terminate()
        assert job.wait(20) == 128 + signal.SIGTERM


def test_no_such_job():
    done = inspect(os.getpid())
    assert done.returncode == 2
    assert done.stderr == f"disttorch: inspect: process {os.getpid()} is no launcher of yours with Python workers\n"
    assert inspect("seven").returncode == 2


def test_a_finished_job_leaves_nothing(tmp_path):
    assert launch("--log-dir", tmp_path / "logs", write(tmp_path, "print(1)")).returncode == 0
    assert not list((tmp_path / "logs").rglob("*.inspect"))
