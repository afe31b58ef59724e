"""Persistent all-reduces: whoever computes reduces, with the bits and the errors of any other all_reduce."""

import gc
import os
import weakref

import ml_dtypes
import numpy as np
import pytest
from disttorch.comm.board import _allocated, _part
from disttorch.comm.testing import Died, run_ranks

from disttorch import comm
from disttorch.kernels.blas import address

KINDS = ["threads", "processes"]
SIZES = [1, 70, 0, 100_003]


def numbers(rank, index, dtype, step):
    return np.random.default_rng([rank, index, step]).standard_normal(SIZES[index]).astype(dtype)


def made(group, sizes=SIZES, dtype=np.float32, op="sum"):
    """Arrays in one block of shared memory, and their persistent all-reduce."""
    block, at, arrays = group.allocate(sum(sizes), dtype), 0, []
    for size in sizes:
        arrays.append(block[at : at + size])
        at += size
    return arrays, group.all_reduce_init(arrays, op)


def rounds(group, dtype, op):
    """Whether three rounds give what `all_reduce` does."""
    arrays, persistent = made(group, dtype=dtype, op=op)
    same = []
    for step in range(3):
        wanted = []
        for index, array in enumerate(arrays):
            array[...] = numbers(group.rank, index, dtype, step)
            wanted.append(array.copy())
            persistent.start(index)
            if (group.rank + index + step) % 2:
                persistent.progress()
        persistent.wait()
        for array, plain in zip(arrays, wanted, strict=True):
            group.all_reduce(plain, op)
            same.append(array.tobytes() == plain.tobytes())
    return same


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int32])
def test_the_bits_of_any_all_reduce(n, dtype, kind):
    op = "max" if dtype is np.int32 else "avg"
    assert run_ranks(n, rounds, kind, args=(dtype, op)) == [[True] * 12] * n


def early(group):
    """What the arrays hold before anybody waits: the first is started by all, the second by all but the last rank."""
    arrays, persistent = made(group, [1000, 1000])
    for array in arrays:
        array[...] = 1
    persistent.start(0)
    if group.rank < group.size - 1:
        persistent.start(1)
    group.barrier()
    persistent.progress()
    group.barrier()
    found = [set(array.tolist()) for array in arrays]
    if group.rank == group.size - 1:
        persistent.start(1)
    persistent.wait()
    return [*found, set(arrays[1].tolist())]


@pytest.mark.parametrize("kind", KINDS)
def test_what_all_have_started_is_reduced_before_the_end(kind):
    assert run_ranks(2, early, kind) == [[{2}, {1}, {2}]] * 2


def test_other_collectives_may_come_between():
    assert run_ranks(2, between, "processes") == [(3, 2)] * 2


def between(group):
    (array,), persistent = made(group, [10])
    array[...] = group.rank + 1
    persistent.start(0)
    ones = np.ones(5)
    group.all_reduce(ones)
    persistent.wait()
    return array[0], ones[0]


def test_arrays_of_a_thread_stay_while_others_may_look():
    blocks = [None, None]

    def body(group):
        arrays, persistent = made(group, [10])
        blocks[group.rank] = weakref.ref(arrays[0].base)
        group.barrier()
        if group.rank:
            persistent.start(0)
        del arrays
        if group.rank == 0:
            del persistent
        group.barrier()
        found = blocks[0]() is not None
        group.barrier()
        return found

    assert run_ranks(2, body) == [True, True]
    gc.collect()
    assert [block() for block in blocks] == [None, None]


def refused(group, own):
    return group.all_reduce_init([np.zeros(100) if own else group.allocate(100)]) is None


@pytest.mark.parametrize(("kind", "own"), [("threads", True), ("tcp", False), ("processes", True)])
def test_none_where_arrays_are_not_seen(kind, own):
    assert run_ranks(2, refused, kind, args=(own,)) == [True, True]


def error_of(call, *args):
    with pytest.raises(comm.CommError) as info:
        call(*args)
    return type(info.value).__name__, str(info.value)


def different_sizes(group):
    return error_of(made, group, [10, 10 + group.rank])


def test_different_arrays():
    for name, text in run_ranks(2, different_sizes, "processes"):
        assert name == "CollectiveMismatch"
        assert "rank 0: all_reduce_init of arrays of [64, 40, 40] bytes" in text
        assert "rank 1: all_reduce_init of arrays of [64, 40, 44] bytes" in text


def other_call(group):
    _, persistent = made(group, [10, 20])
    persistent.start(0)
    if group.rank:
        return error_of(group.barrier)
    persistent.start(1)
    return error_of(persistent.wait)


def test_another_call_of_one_rank():
    for name, text in run_ranks(2, other_call, "processes"):
        assert name == "CollectiveMismatch"
        assert "rank 0: all_reduce_wait(float32[30], op=sum) at " in text
        assert "rank 1: barrier() at " in text
        assert text.count(os.path.basename(__file__)) == 2


def given_up(group):
    _, persistent = made(group, [10, 20])
    if group.rank:
        persistent.start(0)  # and then something went wrong there alone
    persistent.start(0)
    persistent.start(1)
    return error_of(persistent.wait)


def test_a_round_that_one_rank_has_given_up():
    first, second = run_ranks(2, given_up, "processes")
    assert {first[0], second[0]} == {"CollectiveMismatch"}
    assert "a rank has given up a round of all-reduces" in first[1]
    assert "rank 1: all_reduce_wait(float32[30], op=sum) at " in first[1]
    assert first[1].splitlines()[2].endswith("having started 4 arrays")


def dying(group):
    _, persistent = made(group, [10])
    persistent.start(0)
    if group.rank:
        os._exit(3)
    return error_of(persistent.wait)


def test_a_rank_that_dies():
    (name, text), died = run_ranks(2, dying, "processes", may_die=[1], heartbeat_limit=1.0)
    assert (name, died.exitcode) == ("PeerLost", 3)
    assert isinstance(died, Died)
    assert "rank 1" in text


def test_no_arrays():
    def body(group):
        with pytest.raises(ValueError, match="arrays must hold at least one array, got none"):
            group.all_reduce_init([])

    run_ranks(2, body)


def test_a_part_of_what_a_thread_has_allocated_is_found_whole():
    block = np.zeros(64, np.uint8)
    start = address(block)
    _allocated[start] = block
    part = _part(start + 8, 56)
    assert (address(part), part.nbytes) == (start + 8, 56)
    assert _part(start, 65) is None
    assert _part(start - 1, 8) is None
    assert _part(start + 60, 5) is None
