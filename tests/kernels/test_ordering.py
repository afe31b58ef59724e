import ml_dtypes
import numpy as np
import pytest

from disttorch.kernels.portable.ordering import first, kth, order

DTYPES = ["f4", "f8", "f2", ml_dtypes.bfloat16, "i1", "u1", "i2", "i4", "i8", "?"]
SHAPES = [(9, 4), (40, 50), (3, 700), (2000,), (10, 11, 12)]


def stable(a, dim, descending):
    """Places in order by Python's sort, NaN above all."""

    def places(line):
        keys = [(v != v, 0 if v != v else v) for v in line.tolist()]
        if descending:
            keys = [(not missing, -v) for missing, v in keys]
        return sorted(range(len(keys)), key=keys.__getitem__)

    return np.apply_along_axis(places, dim, a.astype(float) if a.dtype.kind == "V" else a)


def arrays(rng, shape, dtype):
    """Random numbers with equal ones among them, and, of floats, all that is special; also laid out the other way."""
    a = rng.standard_normal(shape) * 9
    a = (np.abs(a) if np.dtype(dtype).kind == "u" else a).astype(dtype)
    if a.dtype.kind in "fV":
        for value in (np.nan, np.inf, -np.inf, 0.0, -0.0):
            a.flat[rng.integers(0, a.size, 4)] = value
        a.flat[-1] = np.copysign(np.nan, -1)
    yield a
    yield a.swapaxes(0, -1)
    if a.dtype == np.int64:
        yield a * (1 << 58)
    if a.dtype.kind == "i":
        yield np.where(a < 0, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_equal_elements_stay_in_order(rng, shape, dtype):
    for a in arrays(rng, shape, dtype):
        for dim in range(a.ndim):
            for descending in (False, True):
                wanted = stable(a, dim, descending)
                np.testing.assert_array_equal(order(a, dim, descending), wanted)
                np.testing.assert_array_equal(order(a, dim - a.ndim, descending), wanted)
            k = a.shape[dim] // 3
            np.testing.assert_array_equal(kth(a, dim, k), np.take(stable(a, dim, False), [k], axis=dim))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("descending", [False, True])
def test_the_first_of_an_order(rng, shape, dtype, descending):
    for a in arrays(rng, shape, dtype):
        for dim in range(a.ndim):
            ranked = np.take_along_axis(a, stable(a, dim, descending), dim)
            for k in {0, 1, 2, a.shape[dim] - 1, a.shape[dim]}:
                at = first(a, dim, k, descending)
                assert at.shape == (*a.shape[:dim], k, *a.shape[dim + 1 :])
                found, wanted = np.take_along_axis(a, at, dim), np.take(ranked, range(k), axis=dim)
                np.testing.assert_array_equal(found.astype(float), wanted.astype(float))
