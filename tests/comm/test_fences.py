"""Processors that reorder writes: which fences stand there, and that collectives and messages work with them."""

import threading

import numpy as np
import pytest
from disttorch.comm import fences
from disttorch.comm.testing import run_ranks


@pytest.fixture
def weak(monkeypatch):
    monkeypatch.setattr(fences, "WEAK", True)


class Counted:
    """A lock that counts how often it is taken."""

    def __init__(self):
        self._lock, self.taken = threading.Lock(), 0

    def __enter__(self):
        self._lock.acquire()
        self.taken += 1

    def __exit__(self, *exc):
        self._lock.release()


@pytest.mark.parametrize(("is_weak", "taken"), [(True, 2), (False, 1)])
def test_a_fence(monkeypatch, is_weak, taken):
    """One atomic instruction is one on x86; elsewhere a lock has to be taken again after it was released."""
    monkeypatch.setattr(fences, "WEAK", is_weak)
    monkeypatch.setattr(fences.clock, "Lock", Counted)
    fence = fences.Fence()
    fence()
    assert fence._lock.taken == taken
    assert isinstance(fences.light_fence(), fences.Fence) == is_weak


def work(group):
    """Collectives, short and long, in shared memory and elsewhere, and messages."""
    shared = group.allocate(3000, np.float32)
    results = []
    for array in (np.ones(3, np.float32), np.ones(100_000, np.float32), shared):
        array[...] = group.rank + 1
        group.all_reduce(array)
        results.append(float(array.sum()) / array.size)
    for size in (10, 2_000_000):
        got = np.zeros(size)
        sending = group.isend(np.full(size, float(group.rank)), (group.rank + 1) % group.size)
        group.recv(got, (group.rank - 1) % group.size)
        sending.wait()
        results.append(float(got.mean()))
    return results


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_ranks_on_such_a_processor(weak, kind):
    results = run_ranks(3, work, kind, timeout=60)
    assert results == [[6.0, 6.0, 6.0, float((rank - 1) % 3), float((rank - 1) % 3)] for rank in range(3)]
