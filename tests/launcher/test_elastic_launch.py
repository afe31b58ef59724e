"""torch.distributed.launcher: jobs started from a program."""

import os
import signal
import sys
import threading

import pytest

from disttorch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from disttorch.distributed.elastic.multiprocessing.errors import ChildFailedError
from disttorch.distributed.launcher.api import LaunchConfig, _get_entrypoint_name, elastic_launch
from launched import fail, on_second_try, summed
from launching import pids_in

METHODS = pytest.mark.parametrize("start_method", ["spawn", "fork"])


def config(**fields):
    return LaunchConfig(**{"min_nodes": 1, "max_nodes": 1, "nproc_per_node": 2, "max_restarts": 0, **fields})


@METHODS
def test_what_a_function_returns(start_method):
    returned = elastic_launch(config(start_method=start_method), summed)(10)
    assert {rank: total.item() for rank, total in returned.items()} == {0: 21, 1: 21}


@METHODS
def test_a_restart(start_method, tmp_path):
    assert elastic_launch(config(start_method=start_method, max_restarts=1), on_second_try)(tmp_path) == {0: 1, 1: 1}


@METHODS
def test_a_failure_is_told(start_method):
    with pytest.raises(ChildFailedError, match="fail FAILED") as caught:
        elastic_launch(config(start_method=start_method), fail)()
    rank, failure = caught.value.get_first_failure()
    assert (rank, failure.local_rank, failure.exitcode) == (1, 1, 1)
    assert "ValueError: a worker's own words" in str(caught.value)


@pytest.mark.parametrize("flags", [(), ("-u",)])
def test_a_script(tmp_path, flags):
    script = tmp_path / "touch.py"
    script.write_text("import os, sys; open(os.path.join(sys.argv[1], os.environ['RANK']), 'w')")
    (tmp_path / "ranks").mkdir()
    assert elastic_launch(config(), sys.executable)(*flags, str(script), str(tmp_path / "ranks")) == {}
    assert sorted(os.listdir(tmp_path / "ranks")) == ["0", "1"]


def test_a_program_and_its_logs(tmp_path):
    logs = DefaultLogsSpecs(log_dir=str(tmp_path), redirects={1: Std.OUT})
    elastic_launch(config(run_id="job", logs_specs=logs), "sh")("-c", "echo $ROLE_NAME $TORCHELASTIC_RUN_ID")
    [log] = tmp_path.glob("job_*/attempt_0/1/stdout.log")
    assert log.read_text() == "default_role job\n"


def test_a_signal_ends_the_job(tmp_path):
    def send():
        pids_in(tmp_path, 2)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(SignalException) as caught:
        elastic_launch(config(shutdown_timeout=1), "sh")("-c", f"echo $$ > {tmp_path}/$RANK.pid; exec sleep 30")
    assert caught.value.sigval == signal.SIGTERM
    sender.join()


@pytest.mark.parametrize(
    ("fields", "entrypoint", "text"),
    [
        ({"max_nodes": 2}, "true", "min_nodes must be max_nodes"),
        ({"min_nodes": 2, "max_nodes": 2}, "true", "rdzv_backend must be 'static' or 'c10d' .* got 'etcd'"),
        ({"min_nodes": 2, "max_nodes": 2, "rdzv_backend": "c10d"}, "true", "rdzv_endpoint must be HOST:PORT"),
        ({"rdzv_backend": "static", "rdzv_endpoint": "localhost"}, "true", "port is missing in endpoint: localhost"),
        ({"shutdown_timeout": -1}, "true", "shutdown_timeout must be non-negative, got -1"),
        ({}, None, "entrypoint must be a function or a program's name, got None"),
        ({}, "no-such-program", "no such program: no-such-program"),
    ],
)
def test_what_cannot_be_launched(fields, entrypoint, text):
    with pytest.raises(ValueError, match=text):
        elastic_launch(config(**fields), entrypoint)()


def test_the_entrypoints_name():
    assert _get_entrypoint_name(summed, []) == "summed"
    assert _get_entrypoint_name(sys.executable, ["-u", "train.py"]) == "train.py"
    assert _get_entrypoint_name(sys.executable, ["-u"]) == ""
    assert _get_entrypoint_name("bash", []) == "bash"
    assert _get_entrypoint_name(None, []) == ""
