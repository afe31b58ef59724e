"""Every collective against NumPy, on every kind of ranks, for awkward sizes and every kind of dtype."""

import functools

import ml_dtypes
import numpy as np
import pytest
from disttorch.comm.testing import run_ranks

SIZES = [0, 1, 2, 7, 1000, 300_003]  # the last is longer than a staging area, and than a message
DTYPES = ["float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool", "complex64"]
KINDS = ["threads", "processes", "tcp"]
OPS = {
    "sum": np.add,
    "product": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "band": np.bitwise_and,
    "bor": np.bitwise_or,
    "bxor": np.bitwise_xor,
}


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@functools.lru_cache(maxsize=200)
def data(rank, size, name, seed=0):
    """The same numbers for a rank wherever they are made."""
    values = np.random.default_rng([rank, size, seed]).integers(-3, 5, size)
    values = (values + 0.5 if name.startswith(("float", "bfloat", "complex")) else abs(values)).astype(dtype_of(name))
    values.flags.writeable = False
    return values


def reduced(arrays, op):
    """The reduction in rank order; half types through float32."""
    wide = arrays[0].dtype.itemsize == 2 and arrays[0].dtype.kind in "fV"
    total = arrays[0].astype(np.float32) if wide else arrays[0].copy()
    for array in arrays[1:]:
        total = OPS["sum" if op == "avg" else op](total, array.astype(total.dtype))
    return (total / len(arrays) if op == "avg" else total).astype(arrays[0].dtype)


def equal(got, wanted):
    np.testing.assert_array_equal(got.view(np.uint8), wanted.view(np.uint8))


def every_collective(group, size, name):
    """Run all collectives for one size and dtype and compare with NumPy."""
    n, me = group.size, group.rank
    mine = data(me, size, name)
    everyone = [data(rank, size, name) for rank in range(n)]
    empty = [np.empty_like(mine) for _ in range(n)]

    for make in (np.empty, group.allocate):
        array = make(size, mine.dtype)
        array[...] = mine
        group.all_reduce(array)
        equal(array, reduced(everyone, "sum"))
        array[...] = mine
        group.broadcast(array, n - 1)
        equal(array, everyone[-1])
        array[...] = mine
        group.reduce(array, 0, "max" if name != "complex64" else "sum")
        equal(array, reduced(everyone, "max" if name != "complex64" else "sum") if me == 0 else mine)
        array[...] = mine
        outs = [make(size, mine.dtype) for _ in range(n)]
        group.all_gather(outs, array)
        for out, wanted in zip(outs, everyone, strict=True):
            equal(out, wanted)
        group.gather(array, outs if me == n - 1 else None, n - 1)
        stacked = make((n, size), mine.dtype)
        for rank in range(n):
            stacked[rank] = data(me, size, name, seed=rank)
        group.scatter(array, list(stacked) if me == 0 else None, 0)
        equal(array, data(0, size, name, seed=me))
        group.reduce_scatter(array, list(stacked))
        equal(array, reduced([data(rank, size, name, seed=me) for rank in range(n)], "sum"))
        group.all_to_all(empty, list(stacked))
        for rank, out in enumerate(empty):
            equal(out, data(rank, size, name, seed=me))
    group.barrier()


def all_sizes(group):
    for size in SIZES:
        every_collective(group, size, "float32")


def all_dtypes(group):
    for name in DTYPES:
        every_collective(group, 5, name)
        every_collective(group, 20_011, name)


def all_ops(group):
    for op in ("sum", "product", "min", "max", "band", "bor", "bxor", "avg", "prod"):
        names = ("int32", "bool") if op[0] == "b" else ("float32", "bfloat16", "int32", "uint8")
        for name in names:
            for size in (3, 50_001):
                array = data(group.rank, size, name).copy()
                group.all_reduce(array, op)
                everyone = [data(rank, size, name) for rank in range(group.size)]
                equal(array, reduced(everyone, "product" if op == "prod" else op))


def uneven(group):
    """Rank r sends r + p + 1 elements to rank p."""
    me, n = group.rank, group.size
    inputs = [np.full(me + peer + 1, 10 * me + peer, np.int32) for peer in range(n)]
    outputs = [np.zeros(peer + me + 1, np.int32) for peer in range(n)]
    group.all_to_all(outputs, inputs)
    for peer, out in enumerate(outputs):
        equal(out, np.full(peer + me + 1, 10 * peer + me, np.int32))


def objects(group):
    n, me = group.size, group.rank
    assert group.all_gather_object({"rank": me, "text": "x" * 1000 * me}) == [
        {"rank": rank, "text": "x" * 1000 * rank} for rank in range(n)
    ]
    assert group.broadcast_object([me, None, b"bytes", 1.5], 1) == [1, None, b"bytes", 1.5]
    assert group.gather_object(me, 1) == (list(range(n)) if me == 1 else None)
    with pytest.raises(TypeError, match="cannot be sent"):
        group.all_gather_object(object())
    if me == 0:
        group.send_object({"a": [1, 2]}, 1, tag=3)
    if me == 1:
        assert group.recv_object(tag=3) == ({"a": [1, 2]}, 0)


def asynchronous(group):
    arrays = [np.full(1000 * i + 1, float(group.rank)) for i in range(8)]
    works = [group.all_reduce(array, async_op=True) for array in arrays]
    total = np.full(3, 1.0)
    group.all_reduce(total)  # behind the others
    assert all(work.is_completed() for work in works)
    for work, array in zip(works, arrays, strict=True):
        assert work.wait()
        assert work.exception() is None
        equal(array, np.full_like(array, sum(range(group.size))))
    equal(total, np.full(3, float(group.size)))


def points(group):
    me, n = group.rank, group.size
    for size in (0, 1, 1000, 600_000):
        out, into = np.full(size, me, np.float32), np.empty(size, np.float32)
        receive = group.irecv(into, (me - 1) % n)
        send = group.isend(out, (me + 1) % n)
        receive.wait()
        send.wait()
        equal(into, np.full(size, (me - 1) % n, np.float32))
    if me == 0:
        for tag in (5, 4):
            group.send(np.array([tag]), 1, tag)
    if me == 1:
        got = np.zeros(1, np.int64)
        for tag in (4, 5):
            assert group.recv(got, None, tag) == 0
            assert got[0] == tag
    group.barrier()


def splits(group):
    everyone = group.split(list(range(group.size)))
    pair = group.split([1, 0])
    alone = group.split([0])
    total = np.ones(2)
    everyone.all_reduce(total)
    equal(total, np.full(2, float(group.size)))
    assert (pair is None) == (group.rank > 1)
    assert (alone is None) == (group.rank > 0)
    if pair is not None:
        assert pair.rank == 1 - group.rank
        total = np.full(1, float(group.rank))
        pair.broadcast(total, 0)
        assert total[0] == 1
    if alone is not None:
        alone.all_reduce(total)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize(
    "body", [all_sizes, all_dtypes, all_ops, uneven, objects, asynchronous, points, splits], ids=lambda f: f.__name__
)
def test_ranks(kind, n, body):
    run_ranks(n, body, kind)


@pytest.mark.parametrize("n", [1, 9])
def test_one_rank_and_many(n):
    run_ranks(n, all_dtypes)


def bits(group):
    """Sums whose value depends on the order of the terms."""
    digests = []
    for size in (5, 1000, 300_000):
        array = (np.random.default_rng(group.rank).standard_normal(size) * 10.0 ** (group.rank * 3)).astype(np.float32)
        group.all_reduce(array)
        digests.append(array.tobytes())
    return digests


@pytest.mark.parametrize("kind", KINDS)
def test_all_ranks_and_runs_get_the_same_bits(kind):
    first = run_ranks(4, bits, kind)
    assert all(digest == first[0] for digest in first)
    assert run_ranks(4, bits, kind) == first
