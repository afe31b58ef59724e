import numpy as np
import pytest

from disttorch.kernels.portable import segments
from disttorch.kernels.portable.segments import KEPT, RecentSegments, find_segments

PLACES = np.array([3, 0, 3, 1, 3, 3, 3, 1])


@pytest.fixture
def recent():
    return RecentSegments()


def test_segments():
    found = find_segments(np, PLACES, 5)
    assert found.places.tolist() == [3, 1, 0]
    assert [layer.tolist() for layer in found.layers] == [[0, 3, 1], [2, 7]]
    assert [rows.tolist() for rows in found.rest] == [[4, 5, 6]]


@pytest.mark.parametrize("empty", [False, True])
def test_sums(empty):
    target = np.zeros((5, 2)) if empty else np.arange(10.0).reshape(5, 2)
    rows = np.arange(16.0).reshape(8, 2) ** 2
    expected = target.copy()
    np.add.at(expected, PLACES, rows)
    find_segments(np, PLACES, 5).add_to(target, rows, empty)
    np.testing.assert_array_equal(target, expected)


def test_the_same_indices_are_known_again(recent):
    assert recent(np, PLACES, 5) is recent(np, PLACES.copy(), 5)
    assert recent(np, PLACES, 5) is not recent(np, PLACES, 70_000)


def test_indices_that_were_written_to_are_others(recent):
    indices = PLACES.copy()
    recent(np, indices, 5)
    indices[:] = 2
    assert recent(np, indices, 5).places.tolist() == [2]


def test_few_are_kept(recent, monkeypatch):
    first = recent(np, np.array([0]), 9)
    for k in range(1, KEPT):
        recent(np, np.array([k]), 9)
    assert recent(np, np.array([0]), 9) is first  # which makes it the last one that was used
    recent(np, np.array([KEPT]), 9)
    assert recent(np, np.array([0]), 9) is first
    assert len(recent._recent) == KEPT
    monkeypatch.setattr(segments, "LONGEST", 3)
    assert recent(np, np.arange(4), 9) is not recent(np, np.arange(4), 9)
