"""The board's waits."""

from types import SimpleNamespace

import pytest
from disttorch.comm import clock
from disttorch.comm.board import Board


@pytest.mark.parametrize(("cost", "looks"), [(1, 8), (4, 2), (9, 0)])
def test_looks_before_sleep(monkeypatch, cost, looks):
    """A rank looks first at once, fewer times if its looks take long, then after giving way to others of its core."""
    given = []
    monkeypatch.setattr(clock, "give_way", lambda: given.append(len(turns)))
    turns = []
    for _ in Board.looks(SimpleNamespace(_spins=8, _yields=3), cost):
        turns.append(len(given))
    assert turns == [0] * looks + [1, 2, 3]
    assert given == [looks, looks + 1, looks + 2]
