"""However a job ends, nothing of it is left: workers, their children, temporary files."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from launching import alive, assert_gone, kill, launch, launching, pids_in, wait_for, write

# Each rank says who it is, and starts a child that ignores polite signals.
FAMILY = """
import os, signal, subprocess, sys, time
folder, rank = sys.argv[1], os.environ["RANK"]
child = subprocess.Popen([sys.executable, "-S", "-c",
    "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; print(flush=True); time.sleep(1000)"],
    stdout=subprocess.PIPE)
child.stdout.readline()
for name, pid in ((rank, os.getpid()), ("child" + rank, child.pid)):
    with open(f"{folder}/{name}.pid", "w") as file: file.write(f"{pid}\\n")
time.sleep(1000)
"""


SLEEP = """
import os, sys, time
with open(f"{sys.argv[1]}/{os.environ['RANK']}.pid", "w") as file: file.write(f"{os.getpid()}\\n")
time.sleep(1000)
"""


@pytest.fixture
def family(tmp_path):
    """A running job of two workers with a child each: the launcher, and all four processes by name."""
    with launching("--nproc-per-node", 2, write(tmp_path, FAMILY), tmp_path) as job:
        pids_in(tmp_path, 4)
        yield job, {path.stem: int(path.read_text()) for path in tmp_path.glob("*.pid")}


def test_a_killed_worker_ends_the_job(family):
    job, pids = family
    kill(pids["1"])
    _, errors = job.communicate(timeout=20)
    assert job.returncode == 128 + signal.SIGKILL
    assert "disttorch: rank 1 was ended by signal SIGKILL" in errors
    assert f"pid        {pids['1']}\n" in errors
    assert_gone(list(pids.values()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_launcher_ends_everything(family, number):
    job, pids = family
    os.kill(job.pid, number)
    _, errors = job.communicate(timeout=20)
    assert job.returncode == 128 + number
    assert errors == f"disttorch: stopped by {number.name}\n"
    assert_gone(list(pids.values()))


def test_a_killed_launcher_takes_everything_along(family, scratch):
    job, pids = family
    assert list(scratch.iterdir())
    kill(job.pid)
    job.communicate(timeout=20)
    assert_gone(list(pids.values()))
    wait_for(lambda: not list(scratch.iterdir()), "the temporary files to go", seconds=5)


QUEUE = """
import multiprocessing, os, sys, time
def wait(event): event.wait()
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    event = context.Event()
    context.Process(target=wait, args=(event,)).start()
    with open(f"{sys.argv[1]}/{os.environ['RANK']}.name", "w") as file:
        file.write(f"sem.{event._flag._semlock.name[1:]}\\n")
    time.sleep(1000)
"""


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="semaphores are files on Linux")
def test_a_killed_launcher_leaves_no_semaphores(tmp_path, scratch):
    """Those of a program's multiprocessing queues and locks: whoever would remove them is given the time."""
    with launching(write(tmp_path, QUEUE), tmp_path) as job:
        name = tmp_path / "0.name"
        wait_for(lambda: name.exists() and name.read_text().endswith("\n"), "the semaphore")
        semaphore = Path("/dev/shm", name.read_text().strip())
        assert semaphore.exists()
        kill(job.pid)
        wait_for(lambda: not semaphore.exists(), "the semaphore to go", seconds=5)
        wait_for(lambda: not list(scratch.iterdir()), "the temporary files to go", seconds=5)


def test_without_the_reaper_workers_die_with_the_launcher(tmp_path, scratch):
    """The kernel sees to that. Files remain then: nobody is left who knows of them."""
    with launching("--nproc-per-node", 2, write(tmp_path, SLEEP), tmp_path) as job:
        pids = pids_in(tmp_path, 2)
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        (reaper,) = {int(pid) for pid in children} - set(pids)
        kill(reaper)
        wait_for(lambda: not alive(reaper), "the reaper's end")
        kill(job.pid)
        job.communicate(timeout=20)
        assert_gone(pids)
    for folder in scratch.iterdir():
        shutil.rmtree(folder)


LEAVING = """
import atexit, os, sys, time
on_its_way = f"{sys.argv[1]}/on_its_way"
def linger():
    open(on_its_way, "w").close()
    time.sleep(1000)
if os.environ["RANK"] == "0":
    atexit.register(linger)
    sys.exit(2)
while not os.path.exists(on_its_way): time.sleep(0.01)
sys.exit(3)
"""


def test_the_first_failure_counts_though_a_signal_met_it_on_its_way_out(tmp_path):
    done = launch("--nproc-per-node", 2, write(tmp_path, LEAVING), tmp_path)
    assert done.returncode == 2
    assert "disttorch: rank 0 ended with exit code 2 (SystemExit: 2)\n" in done.stderr
    assert "also       rank 1 ended with exit code 3" in done.stderr


STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
signal.signal(signal.SIGINT, lambda *_: print("not yet", flush=True))
with open(f"{sys.argv[1]}/{os.environ['RANK']}.pid", "w") as file: file.write(f"{os.getpid()}\\n")
while True: time.sleep(1)
"""


def test_a_worker_that_will_not_stop_is_killed(tmp_path):
    with launching("--nproc-per-node", 2, "--shutdown-timeout", 0.3, write(tmp_path, STUBBORN), tmp_path) as job:
        pids = pids_in(tmp_path, 2)
        job.terminate()
        out, _ = job.communicate(timeout=20)
        assert job.returncode == 128 + signal.SIGTERM
        assert sorted(out.splitlines()) == ["[rank0]: not yet", "[rank1]: not yet"]
        assert_gone(pids)


def test_a_second_interrupt_does_not_wait(tmp_path):
    with launching("--nproc-per-node", 2, "--shutdown-timeout", 1000, write(tmp_path, STUBBORN), tmp_path) as job:
        pids = pids_in(tmp_path, 2)
        job.send_signal(signal.SIGINT)
        assert [job.stdout.readline()[7:] for _ in range(2)] == [": not yet\n"] * 2
        job.send_signal(signal.SIGINT)
        assert job.wait(20) == 128 + signal.SIGINT
        assert_gone(pids)


def test_an_interrupt_lets_workers_finish_their_business(tmp_path):
    script = write(
        tmp_path,
        """
import os, sys, time
try:
    with open(f"{sys.argv[1]}/{os.environ['RANK']}.pid", "w") as file: file.write(f"{os.getpid()}\\n")
    time.sleep(1000)
finally:
    print("saved")
""",
    )
    with launching("--nproc-per-node", 2, script, tmp_path) as job:
        pids_in(tmp_path, 2)
        job.send_signal(signal.SIGINT)
        out, errors = job.communicate(timeout=20)
        assert sorted(out.splitlines()) == ["[rank0]: saved", "[rank1]: saved"]
        assert errors == "disttorch: stopped by SIGINT\n"


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path):
    script = write(
        tmp_path,
        """
import os, time
with open(f"{os.environ['RANK']}.pid", "w") as file: file.write(f"{os.getpid()}\\n")
while not os.path.exists("go"): time.sleep(0.01)
print("done")
""",
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with launching("--nproc-per-node", 2, script, cwd=tmp_path) as job:
            pids_in(tmp_path, 2)
            job.send_signal(signal.SIGHUP)
            (tmp_path / "go").touch()
            out, _ = job.communicate(timeout=20)
            assert job.returncode == 0
            assert out.count("done") == 2
    finally:
        signal.signal(signal.SIGHUP, before)


STOPS = """
import os, signal
from disttorch import comm
store = comm.StoreClient(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
group = comm.connect(store, int(os.environ["RANK"]), 2)
group.barrier()
if group.rank == 1:
    os.kill(os.getpid(), signal.SIGSTOP)
group.barrier()
"""


def test_a_stopped_worker_is_known_to_be_stopped(tmp_path):
    """The launcher says so before the others would merely miss its heartbeat."""
    done = launch("--nproc-per-node", 2, write(tmp_path, STOPS))
    assert done.returncode == 1
    assert "PeerLost: rank 1 on host" in done.stderr
    assert "it has been stopped by a signal for 3.2 s" in done.stderr
