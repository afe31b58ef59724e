"""Work shared among threads, and the loops of OpenBLAS that optimizers and checks use."""

import threading

import numpy as np
import pytest

from disttorch.kernels import blas
from disttorch.kernels.threads import share


def test_share_calls_each_item_once(two_threads):
    done, who = [], set()

    def call(i, j):
        who.add(threading.get_ident())
        done.append((i, j))

    items = [(i, -i) for i in range(100)]
    share(call, items)
    assert sorted(done) == sorted(items)
    assert len(who) <= 2


def test_share_raises_what_a_call_raised(two_threads):
    def call(i):
        if i == 3:
            raise ZeroDivisionError(f"item {i}")

    with pytest.raises(ZeroDivisionError, match="item 3"):
        share(call, [(i,) for i in range(10)])


def test_share_keeps_the_callers_floating_point_errors(two_threads):
    ones, zeros = np.ones(1 << 16, np.float32), np.zeros(1 << 16, np.float32)
    with np.errstate(divide="ignore"):
        share(lambda a, b: a / b, [(ones, zeros)] * 8)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        share(lambda a, b: a / b, [(ones, zeros)] * 8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_is_finite_finds_one_bad_element_in_any_layout(value):
    x = np.ones((2, 5, 3, 7), np.float32)
    for layout in (x, np.moveaxis(x, -1, 1), x[:, :, ::2], x.transpose(3, 1, 2, 0)):
        assert blas.is_finite(layout)
        bad = layout.copy(order="K")
        bad[-1, -1, -1, -1] = value
        assert not blas.is_finite(bad)
