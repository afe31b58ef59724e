"""Errors: they survive pickling, and a rank's last words name the first cause."""

import pickle

import pytest
from disttorch.comm.errors import (
    CollectiveMismatch,
    DeadlineExceeded,
    GroupClosed,
    PeerLost,
    RanksMissing,
    departed,
    last_words,
)


@pytest.mark.parametrize(
    "error",
    [
        PeerLost(1, "host", 2.5, "barrier() at x.py:3", "it was killed"),
        CollectiveMismatch({0: "a", 1: "b"}, "they differ"),
        DeadlineExceeded("meeting", 3.0, ("rank 1",), "timeout"),
        RanksMissing(0, 0, 0.3, (1, 2)),
    ],
)
def test_pickled(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_who_gives_up_because_of_a_lost_rank_names_that_rank():
    lost = PeerLost(1, "far", 2.5, "barrier() at x.py:3", "it was killed: SIGKILL")
    told = departed(0, last_words(lost))
    assert isinstance(told, PeerLost)
    assert told.args == lost.args


def test_what_was_learnt_of_a_lost_rank_later_is_passed_on():
    """Whoever notices the end of a process adds what it knows of the rank's last operation."""
    lost = PeerLost(1, "far", 0.0, "", "its process ended")
    lost.last_op = "barrier() at x.py:3"
    assert departed(0, last_words(lost)).last_op == "barrier() at x.py:3"


@pytest.mark.parametrize("words", ["PeerLost: nonsense", "PeerLost: 1\x1fa\x1fb", "ValueError: no"])
def test_other_last_words_name_who_left(words):
    told = departed(3, words)
    assert isinstance(told, PeerLost)
    assert told.rank == 3
    assert "it gave up: " in told.reason


def test_leaving_without_words():
    assert isinstance(departed(2, ""), GroupClosed)
    assert isinstance(departed(2, "CollectiveMismatch: they differ"), CollectiveMismatch)


def test_a_rank_that_left_is_passed_on():
    told = departed(0, last_words(departed(2, "")))
    assert isinstance(told, GroupClosed)
    assert "rank 2 closed the group" in str(told)
