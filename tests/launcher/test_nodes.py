"""Several nodes, all on this machine: each has a launcher of its own, and they meet over TCP."""

import signal
import socket
import threading

import pytest
from disttorch.comm import StoreClient, StoreTimeout
from disttorch.comm.liveness import HEARTBEAT_LIMIT
from disttorch.launcher import rendezvous
from disttorch.launcher.config import LaunchConfig
from disttorch.launcher.errors import RendezvousError, UsageError
from disttorch.launcher.rendezvous import REACTION, Rendezvous

from launching import assert_gone, free_port, launch, launching, pids_in, wait_for, write

SHOW = "import os; print(*(os.environ[n] for n in 'RANK LOCAL_RANK GROUP_RANK WORLD_SIZE LOCAL_WORLD_SIZE'.split()))"
SLEEP = """
import os, sys, time
with open(f"{sys.argv[1]}/{os.environ['RANK']}.pid", "w") as file: file.write(f"{os.getpid()}\\n")
time.sleep(1000)
"""


@pytest.fixture
def port():
    return free_port()


def launch_all(*commands: list[object]):
    """Run several launches side by side."""
    done = [None] * len(commands)

    def run(i: int) -> None:
        done[i] = launch(*commands[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(commands))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def test_nodes_by_number(tmp_path, port):
    script = write(tmp_path, SHOW)
    nodes = [
        ["--nnodes", 2, "--node-rank", n, "--master-port", port, "--nproc-per-node", 2 - n, script] for n in (1, 0)
    ]
    second, first = launch_all(*nodes)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert sorted(first.stdout.splitlines()) == ["[rank0]: 0 0 0 3 2", "[rank1]: 1 1 0 3 2"]
    assert second.stdout.splitlines() == ["[rank2]: 2 0 1 3 1"]


def test_nodes_by_arrival(tmp_path, port):
    script = write(tmp_path, SHOW)
    node = ["--nnodes", 2, "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", script]
    done = launch_all(node, node)
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    assert sorted(one.stdout for one in done) == ["[rank0]: 0 0 0 2 1\n", "[rank1]: 1 0 1 2 1\n"]


def test_a_port_that_is_free_again_serves_nodes_by_arrival(tmp_path, port):
    script = write(tmp_path, SHOW)
    node = ["--nnodes", 2, "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", script]
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        threading.Timer(1.5, other.close).start()
        done = launch_all(node, node)
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr


@pytest.mark.parametrize("listening", [False, True])
def test_a_port_of_another_program_is_named(port, monkeypatch, listening):
    monkeypatch.setattr(rendezvous, "ANSWER", 0.3)
    config = LaunchConfig("train.py", nnodes=2, node_rank=None, master_port=port)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        if listening:
            other.listen()
        said = "no launcher of this user's: choose another port" if listening else "cannot be had: Address already in"
        with pytest.raises((RendezvousError, UsageError), match=f"{port}.*{said}"):
            Rendezvous(config, lambda: False).open()


def test_a_failure_ends_all_nodes_and_restarts_all(tmp_path, port):
    script = write(
        tmp_path,
        """
import os, sys, time
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    if os.environ["RANK"] == "1": raise ValueError("only once")
    time.sleep(1000)
print("second try")
""",
    )
    nodes = [["--nnodes", 2, "--node-rank", n, "--master-port", port, "--max-restarts", 1, script] for n in (0, 1)]
    for rank, done in enumerate(launch_all(*nodes)):
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"[rank{rank}]: second try\n"
        assert "disttorch: rank 1 ended with exit code 1 (ValueError: only once)" in done.stderr


@pytest.mark.parametrize(
    ("end", "said"),
    [(signal.SIGINT, "disttorch: node 1 was stopped by SIGINT"), (signal.SIGKILL, "disttorch: node 1 is lost")],
)
def test_the_end_of_one_node_ends_the_others(tmp_path, port, monkeypatch, end, said):
    monkeypatch.setenv("DISTTORCH_HEARTBEAT_LIMIT", "2")
    script = write(tmp_path, SLEEP)
    args = ["--nnodes", 2, "--master-port", port, "--nproc-per-node", 1]
    with launching(*args, "--node-rank", 0, script, tmp_path) as first:
        with launching(*args, "--node-rank", 1, script, tmp_path) as second:
            pids = pids_in(tmp_path, 2)
            second.send_signal(end)
            second.communicate(timeout=20)
        _, errors = first.communicate(timeout=20)
        assert errors.startswith(said), errors
        assert first.returncode == 1
    assert_gone(pids)
    if end == signal.SIGKILL:
        silent = float(errors.partition("silent for ")[2].partition(" s")[0])
        assert 1.75 <= silent < HEARTBEAT_LIMIT - REACTION, errors  # what is set, not what is usual


def test_a_failure_here_is_told_though_the_other_node_is_lost(tmp_path, port):
    fail = "while not os.path.exists(f'{sys.argv[1]}/fail'): time.sleep(0.01)\nraise ValueError('rank 1 is gone')"
    script = write(tmp_path, SLEEP.replace("time.sleep(1000)", fail))
    args = ["--nnodes", 2, "--master-port", port, "--nproc-per-node", 1, "--shutdown-timeout", 0.5]
    with launching(*args, "--node-rank", 0, script, tmp_path) as first:
        with launching(*args, "--node-rank", 1, script, tmp_path) as second:
            pids = pids_in(tmp_path, 2)
            second.kill()
            second.communicate(timeout=20)
        (tmp_path / "fail").touch()
        _, errors = first.communicate(timeout=20)
        assert first.returncode == 1
    report, _, end = errors.rpartition("disttorch: ")
    assert "disttorch: rank 0 ended with exit code 1 (ValueError: rank 1 is gone)" in report
    assert end.startswith("node(s) 1 did not stop"), end
    assert_gone(pids)


def test_a_node_number_can_be_taken_once(tmp_path, port):
    script = write(tmp_path, SLEEP)
    args = ["--nnodes", 3, "--master-port", port, "--node-rank"]
    with (
        launching(*args, 0, script) as first,
        launching(*args, 1, script) as second,
        launching(*args, 1, script) as third,
    ):
        refused = wait_for(lambda: [job for job in (second, third) if job.poll() is not None], "one to be refused")
        first.terminate()
        said = {job: job.communicate(timeout=20)[1] for job in (first, second, third)}
    assert [job.returncode for job in refused] == [2]
    assert "--node-rank 1 is taken by another launcher" in said[refused[0]]


@pytest.mark.parametrize("rank", [0, 1])
def test_nodes_are_not_waited_for_after_an_interrupt(tmp_path, port, scratch, rank):
    with launching("--nnodes", 2, "--master-port", port, "--node-rank", rank, write(tmp_path, SLEEP)) as job:
        wait_for(lambda: list(scratch.iterdir()), "the launcher to be at work")
        job.send_signal(signal.SIGINT)
        _, errors = job.communicate(timeout=20)
    assert errors == "disttorch: stopped by SIGINT\n"
    assert job.returncode == 128 + signal.SIGINT


def test_another_secret_is_no_way_in(tmp_path, port, scratch, monkeypatch):
    script = write(tmp_path, SLEEP)
    with launching("--nnodes", 2, "--master-port", port, "--node-rank", 0, script, tmp_path) as first:
        wait_for(lambda: list(scratch.glob("*.key")), "the store to be served")
        with pytest.raises(StoreTimeout):
            StoreClient("127.0.0.1", port, timeout=1.0, secret=b"0123456789abcdef")
        monkeypatch.setattr(rendezvous, "ANSWER", 0.3)
        monkeypatch.setenv("DISTTORCH_JOB_SECRET", "0123456789abcdef")
        config = LaunchConfig("train.py", nnodes=2, node_rank=1, master_port=port)
        said = "does not accept this machine's DISTTORCH_JOB_SECRET: is it the same on node 0"
        with pytest.raises(RendezvousError, match=said):
            Rendezvous(config, lambda: False).open()
        first.terminate()
        first.communicate(timeout=20)


def test_a_node_that_does_not_come_is_named(tmp_path, port):
    done = launch("--nnodes", 2, "--master-port", port, "--rdzv-conf", "join_timeout=1", write(tmp_path, SLEEP))
    assert done.returncode == 1
    assert done.stderr == "disttorch: node(s) 1 did not join within 1 s\n"
