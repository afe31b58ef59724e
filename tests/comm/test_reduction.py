"""Reductions of arrays, and the one pass in which two arrays become their sum or average."""

import itertools
import time

import numpy as np
import pytest
from disttorch.comm import reduction
from disttorch.comm.direct import bounds, fair_bounds
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
    ("dtype", "op"),
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


@pytest.mark.parametrize("n", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 63, 64, 6400, SIZE])
def test_who_calls_at_the_same_time_gets_as_much(n, count):
    assert fair_bounds(count, [12345] * n, 1_000_000) == bounds(count, n)


@pytest.mark.parametrize(
    ("made", "shares"),
    [
        ([0, 0], [50, 50]),
        ([0, 20], [60, 40]),
        ([20, 0], [40, 60]),
        ([0, 100], [100, 0]),
        ([500, 0], [0, 100]),
        ([0, 10, 20], [43, 33, 23]),
        ([0, 10, 900], [55, 45, 0]),
        ([900, 0, 900], [0, 100, 0]),
    ],
)
def test_who_calls_first_gets_more(made, shares):
    """A unit of time is a million nanoseconds, in which one rank reduces a hundredth."""
    cuts = fair_bounds(6400 * 100, [(7 + moment) * 1_000_000 for moment in made], 100 * 1_000_000)
    assert [round((high - low) / 6400) for low, high in itertools.pairwise(cuts)] == shares
    assert cuts[0] == 0
    assert cuts[-1] == 6400 * 100


def test_parts_that_do_not_come_out_even_cover_all():
    random = np.random.default_rng(0)
    for _ in range(300):
        count, made = int(random.integers(1, 10**6)), random.integers(1, 10**9, random.integers(1, 9)).tolist()
        cuts = fair_bounds(count, made, int(random.integers(1, 10**9)))
        assert cuts == sorted(cuts)
        assert (cuts[0], cuts[-1]) == (0, count)


def reduce_late(group, seconds):
    """Rank 1 calls later than the others, who are in the operation already."""
    array = group.allocate(SIZE)
    array[...] = numbers(group.rank, np.float32)
    time.sleep(seconds if group.rank == 1 else 0.0)
    group.all_reduce(array, "avg", async_op=True).wait()
    return array.tobytes()


@pytest.mark.parametrize("kind", ["threads", "processes"])
@pytest.mark.parametrize("n", [2, 3])
def test_the_bits_do_not_depend_on_who_comes_late(kind, n):
    found = [run_ranks(n, reduce_late, kind, args=(seconds,)) for seconds in (0.0, 0.0001, 0.05)]
    assert len({bits for results in found for bits in results}) == 1


def test_whole_numbers_are_divided_without_the_fraction():
    for dtype in (np.int8, np.int64, np.uint8):
        array = np.array([7, 6, 1, 0], dtype)
        reduction.divide(array, 3)
        assert array.tolist() == [2, 2, 0, 0]
    array = np.array([-7, -6, -1, -(2**63)])
    reduction.divide(array, 4)
    assert array.tolist() == [-1, -1, 0, -(2**61)]
