import threading

import pytest

import disttorch as torch
from disttorch.kernels.subnormals import flush_subnormals

pytestmark = pytest.mark.skipif(not flush_subnormals(False), reason="x86-64 with glibc")
TINY = 1e-40  # subnormal in float32


@pytest.fixture
def flushed(two_threads):
    tiny = torch.full((2048, 1024), TINY)
    assert (tiny + tiny).count_nonzero() == tiny.numel()  # the threads that are to be told exist
    assert torch.set_flush_denormal(True) is True
    yield tiny
    assert torch.set_flush_denormal(False) is True


def test_every_thread_flushes(flushed):
    weights = torch.ones(1024, 8)
    assert (flushed + flushed).count_nonzero() == 0  # large enough for two threads
    assert (flushed @ weights).count_nonzero() == 0
    assert (flushed * 2).count_nonzero() == 0
    counts = []
    thread = threading.Thread(target=lambda: counts.append((flushed * 2).count_nonzero().item()))
    thread.start()
    thread.join(10)
    assert counts == [0]


def test_it_ends(flushed):
    torch.set_flush_denormal(False)
    assert (flushed + flushed).count_nonzero() == flushed.numel()
    assert (flushed @ torch.ones(1024, 8)).count_nonzero() == 2048 * 8


def test_what_is_no_bool_is_refused():
    with pytest.raises(RuntimeError, match="flush_denormal expects a bool, but got int"):
        torch.set_flush_denormal(1)
