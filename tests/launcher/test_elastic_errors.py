"""torch.distributed.elastic.multiprocessing.errors: error files, and the error that tells of failed workers."""

import json
import os
import signal

import pytest
from disttorch.launcher.failure import read_raised

from disttorch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ErrorHandler,
    ProcessFailure,
    get_error_handler,
    record,
)


@pytest.fixture
def error_file(tmp_path, monkeypatch):
    path = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
    return path


def failing(handler=None):
    def fail():
        raise ValueError("bad: very")

    return record(fail, handler)


def test_the_file_has_torchruns_form_and_the_launcher_reads_it(error_file):
    with pytest.raises(ValueError, match="bad"):
        failing()()
    told = json.loads(error_file.read_text())["message"]
    assert told["message"] == "ValueError: bad: very"
    assert told["extraInfo"]["py_callstack"].endswith("ValueError: bad: very\n")
    assert int(told["extraInfo"]["timestamp"]) > 0
    raised = read_raised(error_file)
    assert (raised.type, raised.message, raised.consequence) == ("ValueError", "bad: very", False)


def test_a_handler_of_ones_own(error_file):
    class Handler(ErrorHandler):
        def record_exception(self, e):
            error_file.write_text(repr(e))

    with pytest.raises(ValueError, match="bad"):
        failing(Handler())()
    assert error_file.read_text() == "ValueError('bad: very')"
    assert type(get_error_handler()) is ErrorHandler


def test_system_exit(error_file):
    assert record(lambda: exit(0))() is None
    with pytest.raises(SystemExit):
        record(lambda: exit(2))()
    assert not error_file.exists()


def test_a_failure_reads_its_file(error_file):
    ErrorHandler().record_exception(KeyError("x"))
    failure = ProcessFailure(local_rank=1, pid=7, exitcode=1, error_file=str(error_file))
    assert failure.message["message"] == "KeyError: 'x'"
    assert str(failure.timestamp) == failure.message["extraInfo"]["timestamp"]
    error_file.write_text('{"message": "plain", "timestamp": "10"}')
    failure = ProcessFailure(local_rank=1, pid=7, exitcode=1, error_file=str(error_file))
    assert (failure.message, failure.timestamp) == ("plain", 10)
    error_file.write_text('{"unknown": 1}')
    with pytest.raises(KeyError):
        ProcessFailure(local_rank=1, pid=7, exitcode=1, error_file=str(error_file))


def test_a_failure_without_a_file():
    killed = ProcessFailure(local_rank=0, pid=7, exitcode=-signal.SIGSEGV, error_file="missing.json")
    assert killed.message == "Signal 11 (SIGSEGV) received by PID 7"
    ended = ProcessFailure(local_rank=0, pid=7, exitcode=138, error_file="missing.json")
    assert (ended.signal_name(), ended.error_file) == ("<N/A>", "<N/A>")
    assert ended.message.startswith("To enable traceback see")


def test_the_first_failure_becomes_that_of_the_process(error_file, tmp_path):
    child = tmp_path / "child.json"
    child.write_text(json.dumps({"message": {"message": "first", "extraInfo": {"timestamp": "5"}}}))
    late = ProcessFailure(local_rank=0, pid=7, exitcode=-9, error_file="missing.json")
    first = ProcessFailure(local_rank=1, pid=8, exitcode=3, error_file=str(child))

    @record
    def parent(*failures):
        raise ChildFailedError("train.py", dict(enumerate(failures)))

    with pytest.raises(ChildFailedError) as caught:
        parent(late, first)
    assert caught.value.get_first_failure() == (1, first)
    text = str(caught.value)
    assert (
        text.index("rank      : 0") < text.index("Root Cause (first observed failure):") < text.index("rank      : 1")
    )
    assert "train.py FAILED" in text
    assert "exitcode  : -9 (pid: 7)  (SIGKILL)" in text
    assert json.loads(error_file.read_text())["message"]["errorCode"] == 3
    os.remove(error_file)
    with pytest.raises(ChildFailedError):
        parent(late)
    assert not error_file.exists()
