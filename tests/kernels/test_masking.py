"""Elements chosen by a mask, beside NumPy's `where`: few and many, of any dtype, in any layout."""

import ml_dtypes
import numpy as np
import pytest

from disttorch.kernels.portable.masking import BRIEF, chosen, kept

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.int64, np.uint8, np.bool_, np.complex64]
SHAPES = [(), (0,), (5,), (3, 4), (2, 0, 3), (BRIEF + 1,), (4, BRIEF)]


def _drawn(rng, shape, dtype):
    x = np.asarray(rng.normal(size=shape) * 10)
    x = (np.abs(x) if np.dtype(dtype).kind == "u" else x).astype(dtype)
    if x.size and x.dtype.kind == "f":
        x.reshape(-1)[:3] = [np.inf, np.nan, -0.0][: x.size]
    return x


def _same(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.strides == b.strides
    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_as_where(shape, dtype):
    rng = np.random.default_rng(0)
    x, y, mask = _drawn(rng, shape, dtype), _drawn(rng, shape, dtype), np.asarray(rng.normal(size=shape) > 0)
    zero, two = np.zeros((), dtype), np.asarray(2, dtype)
    for a in (x, two):
        for b in (y, two):
            _same(chosen(mask, a, b), np.where(mask, a, b))
    _same(kept(x, mask), np.where(mask, x, zero))
    _same(kept(x, x), np.where(x, x, zero))


@pytest.mark.parametrize("size", [3, BRIEF])
def test_other_layouts_broadcasting_and_dtypes(size):
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=(2, size, 4)).astype(np.float32).transpose(0, 2, 1) for _ in range(2))
    mask = rng.normal(size=x.shape) > 0
    assert np.array_equal(chosen(mask, x, y), np.where(mask, x, y))
    assert np.array_equal(kept(x, mask), np.where(mask, x, 0))
    assert np.array_equal(chosen(mask[:, :1], x, y), np.where(mask[:, :1], x, y))
    assert np.array_equal(kept(x[:1], mask), np.where(mask, x[:1], 0))
    wide = chosen(mask, x.astype(np.float64), y)
    assert wide.dtype == np.float64
    assert np.array_equal(wide, np.where(mask, x, y))


def test_nothing_that_is_given_changes():
    x, y, mask = np.ones(4), np.zeros(4), np.array([True, False, True, False])
    chosen(mask, x, y)
    kept(x, mask)
    assert x.tolist() == [1] * 4
    assert y.tolist() == [0] * 4
