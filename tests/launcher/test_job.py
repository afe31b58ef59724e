"""Jobs that run to their end: the workers' world, the ways to name a target, output, failures, restarts."""

import json
import os
import pty
import shutil
import signal
import subprocess
import time

import pytest

from launching import COMMAND, environment, launch, launching, write


def lines(done) -> list[str]:
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def test_the_environment_of_workers(tmp_path):
    script = write(
        tmp_path, f"import json, os; json.dump(dict(os.environ), open(f'{tmp_path}/' + os.environ['RANK'], 'w'))"
    )
    job = launch("--nproc-per-node", 2, "--role", "trainer", "--rdzv-id", "job7", "--max-restarts", 1, script)
    assert job.returncode == 0, job.stderr
    worlds = [json.loads((tmp_path / rank).read_text()) for rank in "01"]
    for rank, world in enumerate(worlds):
        expected = {
            "RANK": f"{rank}",
            "LOCAL_RANK": f"{rank}",
            "ROLE_RANK": f"{rank}",
            "GROUP_RANK": "0",
            "ROLE_NAME": "trainer",
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "GROUP_WORLD_SIZE": "1",
            "ROLE_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "TORCHELASTIC_RESTART_COUNT": "0",
            "TORCHELASTIC_MAX_RESTARTS": "1",
            "TORCHELASTIC_RUN_ID": "job7",
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // 2)),
        }
        assert {name: world.get(name) for name in expected} == expected
        assert world["TORCHELASTIC_ERROR_FILE"].endswith(f"{rank}/error.json")
    assert worlds[0]["MASTER_PORT"] == worlds[1]["MASTER_PORT"] != "0"
    assert worlds[0]["DISTTORCH_JOB_SECRET"] == worlds[1]["DISTTORCH_JOB_SECRET"] != ""


def test_the_users_threads_are_kept(tmp_path):
    script = write(tmp_path, "import os; print(os.environ['OMP_NUM_THREADS'])")
    assert lines(launch(script, OMP_NUM_THREADS="7")) == ["7"]


def test_workers_reach_the_launchers_store(tmp_path):
    script = write(
        tmp_path,
        """
import os
from disttorch.comm import StoreClient
store = StoreClient(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=10)
rank = os.environ["RANK"]
store.set(rank, f"from {rank}".encode())
print(store.get(str(1 - int(rank))).decode())
store.close()
""",
    )
    assert lines(launch("--nproc-per-node", 2, script)) == ["[rank0]: from 1", "[rank1]: from 0"]


MAIN = """
import sys, pickle, multiprocessing, __main__
class Thing: pass
def double(x): return 2 * x
if __name__ == "__main__":
    import neighbour
    assert pickle.loads(pickle.dumps(Thing())).__class__ is Thing is __main__.Thing
    assert "launcher" not in sys.path[0], sys.path
    print(__file__ == neighbour.__file__.replace("neighbour", "script"), sys.argv[0] == sys.argv[2], __package__)
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        print(pool.map(double, [21]))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_script_runs_as_under_python(tmp_path, method):
    write(tmp_path, "", "neighbour.py")
    script = write(tmp_path, MAIN)
    assert lines(launch(script, method, script)) == ["True True None", "[42]"]


def test_modules_folders_and_programs(tmp_path):
    (tmp_path / "package").mkdir()
    write(tmp_path / "package", "", "__init__.py")
    write(tmp_path / "package", "import sys; print(__package__, sys.argv[1:])", "tool.py")
    write(tmp_path / "package", "import sys; print('folder', sys.argv[1:])", "__main__.py")
    assert lines(launch("-m", "package.tool", "-x", cwd=tmp_path)) == ["package ['-x']"]
    assert lines(launch("package", "-x", cwd=tmp_path)) == ["folder ['-x']"]
    done = launch("--no-python", "--nproc-per-node", 2, "sh", "-c", "echo $RANK of $WORLD_SIZE")
    assert lines(done) == ["[rank0]: 0 of 2", "[rank1]: 1 of 2"]


def test_only_rank_0_reads_what_is_typed(tmp_path):
    script = write(tmp_path, "import sys; print(repr(sys.stdin.read()))")
    done = subprocess.run(
        [*COMMAND, "--nproc-per-node", "2", script],
        input="typed",
        capture_output=True,
        text=True,
        env=environment(),
        timeout=30,
    )
    assert lines(done) == ["[rank0]: 'typed'", "[rank1]: ''"]


NOISE = """
import os, sys
rank = os.environ["RANK"]
for i in range(2000):
    sys.stdout.write(f"{rank} line {i} ")
    sys.stdout.flush()
    sys.stdout.write("x" * (i % 300) + "\\n")
"""


def test_lines_of_noisy_workers_stay_whole_and_in_order(tmp_path):
    done = launch("--nproc-per-node", 4, write(tmp_path, NOISE))
    assert done.returncode == 0, done.stderr
    seen = {rank: [] for rank in range(4)}
    for line in done.stdout.splitlines():
        prefix, rank, word, number, *rest = line.split(" ")
        assert (prefix, word) == (f"[rank{rank}]:", "line")
        assert "".join(rest) == "x" * (int(number) % 300)
        seen[int(rank)].append(int(number))
    assert all(numbers == list(range(2000)) for numbers in seen.values())


def test_stdout_and_stderr_keep_their_order_on_one_console(tmp_path):
    script = write(
        tmp_path,
        "import sys\nfor i in range(200):\n print('out', i)\n print('err', i, file=sys.stderr)\nprint(end='last')",
    )
    command = [*COMMAND, "--nproc-per-node", "2", script]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), timeout=30
    )
    expected = [f"{stream} {i}" for i in range(200) for stream in ("out", "err")] + ["last"]
    for rank in range(2):
        prefix = f"[rank{rank}]: "
        assert [line.removeprefix(prefix) for line in done.stdout.splitlines() if line.startswith(prefix)] == expected


def test_big_output_and_binary_junk(tmp_path):
    script = write(
        tmp_path,
        """
import os, sys
sys.stdout.buffer.write(bytes(range(256)) * 100 + b"\\n")
sys.stdout.flush()
for _ in range(200): print("y" * 50_000)
""",
    )
    done = launch("--nproc-per-node", 2, script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("y" * 50_000 + "\n") == 400


def test_a_child_that_keeps_the_pipe_does_not_keep_the_launcher(tmp_path):
    script = write(tmp_path, "import subprocess; subprocess.Popen(['sleep', '1000']); print('done')")
    assert lines(launch("--nproc-per-node", 2, script)) == ["[rank0]: done", "[rank1]: done"]


def test_log_files(tmp_path):
    script = write(tmp_path, "import os, sys; print('out'); print('err', file=sys.stderr)")
    logs = tmp_path / "logs"
    args = ["--nproc-per-node", 2, "--log-dir", logs, "--rdzv-id", "job7", "-r", "0:2", "-t", "1:1"]
    done = launch(*args, "--local-ranks-filter", "0,1", script)
    assert lines(done) == ["[rank0]: out", "[rank1]: out"]
    assert done.stderr == "[rank1]: err\n"
    (job,) = logs.iterdir()
    assert job.name.startswith("job7_")
    found = {str(path.relative_to(job)): path.read_text() for path in job.rglob("*") if path.is_file()}
    assert found == {"attempt_0/0/stderr.log": "err\n", "attempt_0/1/stdout.log": "out\n"}


def test_log_files_without_a_folder_are_told_of(tmp_path, scratch):
    done = launch("--nproc-per-node", 2, "-r", "3", write(tmp_path, "print('out')"))
    (folder,) = scratch.iterdir()
    assert (done.stdout, done.stderr) == ("", f"disttorch: the workers' log files are in {folder}\n")
    shutil.rmtree(folder)


def test_a_worker_that_left_its_folder_finds_its_error_file(tmp_path):
    script = write(tmp_path, "import os; os.chdir('/'); raise ValueError('lost')")
    done = launch("--log-dir", "logs", script, cwd=tmp_path)
    assert "disttorch: rank 0 ended with exit code 1 (ValueError: lost)\n" in done.stderr
    assert len(list(tmp_path.glob("logs/*/attempt_0/0/error.json"))) == 1


def test_shown_ranks(tmp_path):
    script = write(tmp_path, "import os; print('hello')")
    assert lines(launch("--nproc-per-node", 3, "--local-ranks-filter", "0,2", script)) == [
        "[rank0]: hello",
        "[rank2]: hello",
    ]


FAIL = """
import os, sys, time
def step(): raise ValueError("loss is nan")
if os.environ["RANK"] == "1": step()
time.sleep(1000)
"""


def test_the_first_failure_stops_the_rest_and_is_shown(tmp_path):
    done = launch("--nproc-per-node", 3, write(tmp_path, FAIL), "--lr", "9")
    assert done.returncode == 1
    story = done.stderr.partition("\n\n")[2]
    assert story.startswith("disttorch: rank 1 ended with exit code 1 (ValueError: loss is nan)\n")
    assert "script.py --lr 9\n" in story
    assert 'script.py", line 3, in step\n' in story
    assert "ValueError: loss is nan\n" in story
    assert "bootstrap" not in done.stderr
    assert "also" not in story


@pytest.mark.parametrize(
    ("code", "status", "parts"),
    [
        ("sys.exit(7)", 7, ["exit code  7"]),
        ("sys.exit('no data')", 1, ["exit code  1", "no data"]),
        ("os.kill(os.getpid(), 9)", 137, ["signal     SIGKILL (9)"]),
        ("os.abort()", 134, ["signal     SIGABRT (6)", "script.py", "line 3 in <module>"]),
        ("import ctypes; ctypes.string_at(0)", 139, ["signal     SIGSEGV (11)", "line 3 in <module>"]),
        ("os._exit(3)", 3, ["exit code  3"]),
        ("syntax error here", 1, ["SyntaxError", "script.py"]),
    ],
)
def test_ways_to_fail(tmp_path, code, status, parts):
    script = write(tmp_path, f"import os, sys, time\nif os.environ['RANK'] == '0':\n    {code}\ntime.sleep(1000)")
    done = launch("--nproc-per-node", 2, script)
    assert done.returncode == status, done.stderr
    for part in ["disttorch: rank ", *parts]:
        assert part in done.stderr


def test_a_rank_that_only_lost_its_peer_is_not_the_cause(tmp_path):
    script = write(
        tmp_path,
        """
import atexit, os, time
from disttorch.comm.errors import PeerLost
if os.environ["RANK"] == "0":
    atexit.register(time.sleep, 1000)  # it says why it failed, but the other one's end is seen first
    try:
        raise PeerLost(1, "host", reason="it is gone")
    except PeerLost as error:
        raise RuntimeError("the step failed") from error
while not os.path.exists(os.environ["TORCHELASTIC_ERROR_FILE"].replace("/1/", "/0/")): time.sleep(0.01)
os.kill(os.getpid(), 9)
""",
    )
    done = launch("--nproc-per-node", 2, script)
    assert done.returncode == 137
    assert "disttorch: rank 1 was ended by signal SIGKILL\n" in done.stderr
    assert "also       rank 0 ended with exit code 1" in done.stderr
    assert "RuntimeError: the step failed" in done.stderr


def test_restarts(tmp_path):
    script = write(
        tmp_path,
        """
import os, sys, time
count = os.environ["TORCHELASTIC_RESTART_COUNT"]
print("attempt", count)
if os.environ["RANK"] == "1" and count != "2": sys.exit(5)
if count != "2": time.sleep(1000)
""",
    )
    done = launch("--nproc-per-node", 2, "--max-restarts", 2, script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count("[rank1]: attempt 2") == 1
    assert "disttorch: starting all workers again (2 of 2)\n" in done.stderr
    done = launch("--nproc-per-node", 2, "--max-restarts", 1, script)
    assert done.returncode == 5


def test_a_reader_that_leaves_ends_the_job(tmp_path):
    script = write(tmp_path, "while True: print('y' * 1000)")
    with launching("--nproc-per-node", 2, script) as job:
        assert job.stdout.readline().endswith("y\n")
        job.stdout.close()
        assert job.wait(10) == 128 + signal.SIGPIPE


def test_a_slow_reader_loses_nothing(tmp_path):
    script = write(tmp_path, "for i in range(20000): print(i, 'z' * 100)")  # more than pipes and the launcher hold
    with launching("--nproc-per-node", 2, script) as job:
        time.sleep(0.5)
        text = job.stdout.read()
        assert job.wait(10) == 0
    assert text.count("z\n") == 40000


def test_a_progress_bar_stays_in_its_line_on_a_terminal(tmp_path):
    script = write(
        tmp_path,
        """
import os, sys
if os.environ["RANK"] == "0":
    for i in range(3): print(f"\\r{i}/2", end="", file=sys.stderr, flush=True); sys.stdin.readline()
    print(file=sys.stderr)
""",
    )
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "--nproc-per-node", "2", script],
        stdin=subprocess.PIPE,
        stdout=follower,
        stderr=follower,
        env=environment(TERM="xterm"),
    ) as job:
        os.close(follower)
        screen = b""
        for i in range(3):
            while f"{i}/2".encode() not in screen:
                screen += os.read(leader, 4096)
            job.stdin.write(b"next\n")
            job.stdin.flush()
        assert job.wait(20) == 0
    try:
        while True:
            screen += os.read(leader, 4096)
    except OSError:
        os.close(leader)  # EIO: the other side is closed
    clear, rank = b"\r\x1b[2K", b"\x1b[36m[rank0]:\x1b[0m "
    assert screen == b"".join(
        [clear + rank + b"0/2", clear + rank + b"1/2", clear + rank + b"2/2", clear + rank + b"2/2\r\n"]
    )


def test_as_torch(tmp_path):
    script = write(tmp_path, "import torch, torch.nn; print(torch.__name__, torch.nn.__name__)")
    done = launch("--as-torch", "--nproc-per-node", 2, script)
    assert lines(done) == [f"[rank{rank}]: disttorch disttorch.nn" for rank in range(2)]
