"""Reductions of arrays, and the one pass in which two arrays become their sum or average."""

import numpy as np
import pytest
from disttorch.comm import reduction
from disttorch.comm.testing import run_ranks

SIZE = 300_007  # elements: several blocks, and no multiple of anything
ODD = [np.inf, -np.inf, np.nan, -np.nan, 0.0, -0.0, 1e-30, 3.0]


def numbers(rank, dtype, size=SIZE):
    array = np.random.default_rng(rank).standard_normal(size).astype(dtype)
    array[:64] = np.repeat(ODD, 8) if rank else np.tile(ODD, 8)
    return array


@pytest.fixture(params=[True, False], ids=["blas", "numpy"])
def blas(request, monkeypatch):
    """With the BLAS that NumPy brings, if it has what we want, and without."""
    reduction._rotation.cache_clear()
    if not request.param:
        monkeypatch.setattr(reduction, "openblas", lambda *arguments: None)
    yield
    reduction._rotation.cache_clear()


@pytest.mark.parametrize(
    "dtype, op",
    [(np.int64, "sum"), *((d, op) for d in (np.float32, np.float64, np.complex64) for op in ("sum", "avg"))],
)
def test_two_arrays_into_both(blas, dtype, op):
    with np.errstate(all="ignore"):
        pair = [numbers(rank, np.float64).astype(dtype) for rank in range(2)]
        expected = pair[0] + pair[1]
        if op == "avg":
            expected = expected / dtype(2)
    reduction.reduce_into(pair, pair, op)
    assert pair[0].tobytes() == pair[1].tobytes() == expected.tobytes()


@pytest.mark.parametrize("n", [2, 3, 4])
def test_averages_by_powers_of_two_are_those_of_a_division(n):
    arrays = [numbers(rank, np.float32) for rank in range(n)]
    with np.errstate(all="ignore"):
        expected = np.divide(sum(arrays[1:], arrays[0]), n)
    out = np.empty_like(arrays[0])
    reduction.reduce_into([out], arrays, "avg")
    np.testing.assert_array_equal(out, expected)


def reduce_shared(group, dtype, op):
    array = group.allocate(SIZE, dtype)
    array[...] = numbers(group.rank, dtype)
    group.all_reduce(array, op)
    plain = numbers(group.rank, dtype)
    group.all_reduce(plain, op)
    return array.tobytes(), plain.tobytes()


@pytest.mark.parametrize("op", ["sum", "avg"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_all_reduce_of_shared_and_plain_memory(kind, dtype, op):
    results = run_ranks(2, reduce_shared, kind, args=(dtype, op))
    with np.errstate(all="ignore"):
        expected = (numbers(0, dtype) + numbers(1, dtype)) * dtype(0.5 if op == "avg" else 1)
    assert {bits for found in results for bits in found} == {expected.tobytes()}
