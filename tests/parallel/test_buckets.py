"""The plan of buckets, as tables."""

import pytest

import disttorch
import disttorch.distributed as dist
from disttorch.nn.parallel.buckets import Item, offsets, plan_buckets, plan_in_order

MB = 1 << 20


@pytest.mark.parametrize(
    ("sizes", "cap", "first", "plan"),
    [
        ([], 25, 1, []),
        ([1], 25, 1, [[0]]),
        ([1, 1, 1], 25, 1, [[2], [1, 0]]),  # the first bucket is small
        ([10, 10, 10], 15, 100, [[2, 1], [0]]),  # never larger than the cap says
        ([100, 1, 1], 2, 2, [[2, 1], [0]]),  # a large parameter alone
        ([1, 1, 1, 1], 100, 100, [[3, 2, 1, 0]]),
    ],
)
def test_one_kind(sizes, cap, first, plan):
    assert plan_buckets([Item(s, "float32") for s in sizes], cap, first) == plan


def test_kinds_do_not_mix_and_keep_the_order_of_their_opening():
    items = [Item(4, "a"), Item(4, "b"), Item(4, "a"), Item(4, "b")]
    assert plan_buckets(items, 100, 100) == [[3, 1], [2, 0]]


def test_every_parameter_is_in_exactly_one_bucket():
    items = [Item(n * 1000 % 77777, "ab"[n % 2]) for n in range(200)]
    flat = [i for bucket in plan_buckets(items, MB) for i in bucket]
    assert sorted(flat) == list(range(200))


def test_a_cap_must_be_positive():
    with pytest.raises(ValueError, match="caps=0"):
        plan_buckets([], 0)


def test_offsets_are_aligned():
    assert offsets([3, 16, 1], 16) == ([0, 16, 32], 48)
    assert offsets([], 16) == ([], 0)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_a_plan_in_the_order_of_arrival(order):
    items = [Item(1, "float32")] * 4
    assert plan_in_order(items, order, 2) == [order[:2], order[2:]]


def test_kinds_do_not_mix_in_the_order_of_arrival_either():
    items = [Item(4, "a"), Item(4, "b"), Item(4, "a")]
    assert plan_in_order(items, [0, 1, 2], 100) == [[0, 2], [1]]


def test_a_cap_for_each_bucket():
    items = [Item(1, "float32")] * 8
    assert plan_buckets(items, [1, 2, 3]) == [[7], [6, 5], [4, 3, 2], [1, 0]]
    with pytest.raises(ValueError, match=r"caps=\[2, 0\]"):
        plan_buckets(items, [2, 0])


def test_tensors_by_dtype_as_pytorchs_reducer_plans_them():
    tensors = [disttorch.empty(n, dtype=t) for n, t in [(50, disttorch.float32), (25, disttorch.float64)] * 3]
    plan = dist._compute_bucket_assignment_by_size
    assert plan(tensors, [400]) == ([[0, 2], [1, 3], [4], [5]], [400] * 4)
    assert plan(tensors, [200, 400]) == ([[0], [1], [2, 4], [3, 5]], [200, 200, 400, 400])
    assert plan(tensors[:1] * 3, [400], [False, True, False], [5, 6, 7])[0] == [[5, 7], [6]]
