"""spawn: processes started and waited for, and the first failure reported."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import disttorch
import spawned
from disttorch import multiprocessing as mp


def test_spawn_runs_the_function_with_its_index():
    t = disttorch.full((3,), -1).share_memory_()
    assert mp.spawn(spawned.write_index, (t, 10), nprocs=3) is None
    assert t.tolist() == [0, 10, 20]


def fail(i, kind):
    if i == 1:
        {"raise": raise_error, "exit": lambda: sys.exit(7), "kill": lambda: os.kill(os.getpid(), signal.SIGKILL)}[
            kind
        ]()
    time.sleep(60)


def raise_error():
    raise ValueError("no such thing" + "!" * 100_000)  # more than a pipe holds


def test_an_exception_is_raised_with_its_traceback():
    with pytest.raises(mp.ProcessRaisedException) as caught:
        mp.start_processes(fail, ("raise",), nprocs=3, start_method="fork")
    assert caught.value.error_index == 1
    text = str(caught.value)
    assert text.startswith("\n\n-- Process 1 terminated with the following error:\nTraceback")
    assert "ValueError: no such thing!" in text
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.error_index, again.error_pid, str(again)) == (1, caught.value.error_pid, text)


def test_an_exit_status_is_reported():
    with pytest.raises(mp.ProcessExitedException, match=r"^process 1 terminated with exit code 7$") as caught:
        mp.start_processes(fail, ("exit",), nprocs=2, start_method="fork")
    assert caught.value.exit_code == 7


def test_a_signal_is_reported():
    with pytest.raises(mp.ProcessExitedException, match=r"^process 1 terminated with signal SIGKILL$") as caught:
        mp.start_processes(fail, ("kill",), nprocs=2, start_method="fork")
    assert (caught.value.signal_name, caught.value.exit_code) == ("SIGKILL", -9)
    assert pickle.loads(pickle.dumps(caught.value)).signal_name == "SIGKILL"


def wait_for(i, event):
    event.wait()


def test_without_join_the_caller_waits():
    context = mp.get_context("fork")
    event = context.Event()
    started = mp.start_processes(wait_for, (event,), nprocs=2, join=False, start_method="fork")
    assert started.join(timeout=0.05) is False
    assert len(set(started.pids())) == 2
    event.set()
    while not started.join():
        pass
    assert started.join() is True


def ignore_terminate(i, ignored):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if i == 0:
        ignored.wait()
        sys.exit(3)
    ignored.set()
    time.sleep(60)


def test_a_process_that_does_not_end_is_killed():
    ignored = mp.get_context("fork").Event()
    started = mp.start_processes(ignore_terminate, (ignored,), nprocs=2, join=False, start_method="fork")
    with pytest.raises(mp.ProcessExitedException):
        started.join(grace_period=0.2)
    assert started.processes[1].exitcode == -signal.SIGKILL


def test_no_processes_is_refused():
    with pytest.raises(ValueError, match="nprocs must be at least 1, got 0"):
        mp.spawn(spawned.write_index, nprocs=0)


@pytest.mark.parametrize("interrupts", ["default_int_handler", "SIG_IGN"])
def test_the_processes_end_with_the_one_that_started_them(tmp_path, interrupts):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, signal, time
            import disttorch.multiprocessing as mp

            signal.signal(signal.SIGINT, signal.{interrupts})

            def sleep(i, folder):
                open(f"{{folder}}/{{os.getpid()}}.pid", "w").close()
                time.sleep(60)

            if __name__ == "__main__":
                mp.start_processes(sleep, (os.path.dirname(__file__),), nprocs=2, start_method="fork")
            """
        )
    )
    parent = subprocess.Popen([sys.executable, script])
    while len(found := list(tmp_path.glob("*.pid"))) < 2:
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    for path in found:
        while os.path.exists(f"/proc/{path.stem}"):
            time.sleep(0.02)


def test_children_answer_import_torch_too(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import torch
            import torch.multiprocessing as mp
            from torch import nn

            def work(i, model, out):
                out[i] = len(torch.__name__) + model.weight.numel()

            if __name__ == "__main__":
                out = torch.zeros(2).share_memory_()
                mp.spawn(work, (nn.Linear(2, 3).share_memory(), out), nprocs=2)
                print(out.tolist(), torch.__name__)
            """
        )
    )
    command = [sys.executable, "-m", "disttorch.launcher", "--as-torch", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=tmp_path, check=False)
    assert done.stdout.strip() == "[15.0, 15.0] disttorch", done.stderr
