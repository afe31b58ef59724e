"""Which failure was the cause, and how it is told."""

import signal

import pytest
from disttorch.launcher.failure import Failure, Raised, read_raised, report, root_cause


def raised(timestamp: float, consequence: bool = False) -> Raised:
    return Raised(
        "ValueError", "bad\nvery bad", "Traceback (most recent call last):\nValueError: bad", timestamp, consequence
    )


def failure(rank: int, noticed: float, exit_code: int = 1, raised: Raised | None = None, stack: str = "") -> Failure:
    return Failure(rank, rank % 2, rank // 2, "host", 1000 + rank, exit_code, noticed, raised, stack)


@pytest.mark.parametrize(
    ("failures", "rank"),
    [
        ([failure(0, 2.0), failure(1, 1.0)], 1),
        ([failure(0, 2.0, raised=raised(0.5)), failure(1, 1.0)], 0),
        ([failure(0, 0.9, raised=raised(0.5, consequence=True)), failure(1, 1.0, -9)], 1),
        ([failure(0, 0.9, raised=raised(0.8, consequence=True)), failure(1, 1.0, raised=raised(0.7, True))], 1),
    ],
)
def test_root_cause(failures, rank):
    assert root_cause(failures).rank == rank


def test_a_report_tells_all_that_is_known():
    text = report([failure(3, 5.0, raised=raised(4.0)), failure(1, 6.25, -signal.SIGKILL)], "train.py --lr 1")
    for part in (
        "rank 3 ended with exit code 1 (ValueError: bad)",
        "rank       3 (local rank 1 on node 1, host)",
        "pid        1003",
        "exit code  1",
        "train.py --lr 1",
        "    Traceback (most recent call last):\n    ValueError: bad",
        "also       rank 1 was ended by signal SIGKILL 2.25 s later",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (-signal.SIGKILL, "signal     SIGKILL (9): killed from outside", 137),
        (-signal.SIGSEGV, "signal     SIGSEGV (11): a crash in native code", 139),
        (-signal.SIGUSR1, "signal     SIGUSR1 (10)\n", 138),
        (-50, "signal     50 (50)\n", 178),  # a real-time signal: no name
        (7, "exit code  7", 7),
    ],
)
def test_how_it_ended(code, text, status):
    ended = failure(0, 1.0, code)
    assert text in report([ended], "x.py")
    assert ended.exit_status == status


def test_a_failure_travels_between_nodes():
    for sent in (failure(1, 2.0, raised=raised(1.0)), failure(0, 2.0, -9, stack="stack")):
        assert Failure.from_bytes(sent.to_bytes()) == sent


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"timestamp": 1}',
        '{"message": {"message": 2, "extraInfo": {"py_callstack": 3, "timestamp": "x"}}}',
    ],
)
def test_a_broken_error_file_is_none(tmp_path, text):
    (tmp_path / "error.json").write_text(text)
    assert read_raised(tmp_path / "error.json") is None
    assert read_raised(tmp_path / "missing.json") is None
