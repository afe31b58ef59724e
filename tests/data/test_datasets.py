"""Datasets, samplers and collation, with PyTorch's random orders recorded from PyTorch 2.13."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import disttorch as torch
from disttorch.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)

Pair = namedtuple("Pair", "a b")

# Recorded from PyTorch 2.13 after manual_seed(5).
SPLIT = [[1, 4, 9, 6, 3], [5, 0, 2], [8, 7]]
RANDOM = [5, 3, 0, 7, 4, 1, 6, 2]
REPLACED = [5, 4, 3, 2, 4]
LONGER = [1, 0, 2, 0, 1, 2, 1]
SUBSET = [9, 6, 5, 7]
WEIGHTED = [2, 1, 1, 1, 1, 2]
UNREPLACED = [1, 2, 0]
EPOCH_0 = [4, 7, 2, 1]
EPOCH_1 = [5, 2, 7, 1]


class Numbers(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


# -- datasets ---------------------------------------------------------------------------------------------------------
def test_tensor_dataset():
    data = TensorDataset(torch.arange(6).reshape(3, 2), torch.tensor([7, 8, 9]))
    assert len(data) == 3
    x, y = data[1]
    assert (x.tolist(), y.item()) == ([2, 3], 8)
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(torch.ones(3), torch.ones(2))


def test_concat_and_chain():
    joined = TensorDataset(torch.arange(3)) + TensorDataset(torch.arange(10, 12))
    assert isinstance(joined, ConcatDataset)
    assert [x.item() for (x,) in (joined[i] for i in range(len(joined)))] == [0, 1, 2, 10, 11]
    assert joined[-1][0].item() == 11
    with pytest.raises(ValueError, match="absolute value of index should not exceed dataset length"):
        joined[-6]
    chain = Numbers(2) + Numbers(3)
    assert isinstance(chain, ChainDataset)
    assert (list(chain), len(chain)) == ([0, 1, 0, 1, 2], 5)
    with pytest.raises(AssertionError, match="ChainDataset only supports IterableDataset"):
        list(ChainDataset([[1]]))
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Numbers(2)])
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        ConcatDataset([])
    with pytest.raises(NotImplementedError):
        Dataset()[0]


def test_stack_dataset():
    stacked = StackDataset([1, 2, 3], "abc")
    assert (stacked[1], len(stacked)) == ((2, "b"), 3)
    assert stacked.__getitems__([2, 0]) == [(3, "c"), (1, "a")]
    named = StackDataset(x=[1, 2], y="ab")
    assert named[0] == {"x": 1, "y": "a"}
    assert named.__getitems__([1]) == [{"x": 2, "y": "b"}]
    for args, kwargs, text in (
        ([[1]], {"a": [1]}, "both types"),
        ([], {}, "At least one"),
        ([[1], [1, 2]], {}, "Size mismatch"),
    ):
        with pytest.raises(ValueError, match=text):
            StackDataset(*args, **kwargs)


def test_subset_asks_its_own_getitem():
    class Doubled(Subset):
        def __getitem__(self, i):
            return 2 * super().__getitem__(i)

    assert Doubled(range(10), [3, 4]).__getitems__([1, 0]) == [8, 6]
    assert Subset(range(10), [3, 4]).__getitems__([1, 0]) == [4, 3]


def test_random_split():
    torch.manual_seed(5)
    parts = random_split(range(10), [0.5, 0.3, 0.2])
    assert [list(p.indices) for p in parts] == SPLIT
    parts = random_split(range(7), [0.5, 0.5], generator=torch.Generator().manual_seed(1))
    assert [len(p) for p in parts] == [4, 3]
    with pytest.raises(ValueError, match="Sum of input lengths does not equal"):
        random_split(range(10), [3, 3])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        random_split(range(10), [-0.5, 1.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(range(1), [0.5, 0.5])


# -- samplers ---------------------------------------------------------------------------------------------------------
def order(sampler):
    torch.manual_seed(5)
    return list(sampler)


def test_orders_are_pytorchs():
    assert order(RandomSampler(range(8))) == RANDOM
    assert order(RandomSampler(range(8), replacement=True, num_samples=5)) == REPLACED
    assert order(RandomSampler(range(3), num_samples=7)) == LONGER
    assert order(SubsetRandomSampler([5, 6, 7, 9])) == SUBSET
    assert order(WeightedRandomSampler([0.1, 0.5, 0.4], 6)) == WEIGHTED
    assert order(WeightedRandomSampler([0.1, 0.5, 0.4], 3, replacement=False)) == UNREPLACED
    generator = torch.Generator().manual_seed(3)
    sampler = RandomSampler(range(20), generator=generator)
    assert list(sampler) != list(sampler)


def test_batch_sampler():
    assert list(BatchSampler(SequentialSampler(range(5)), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(SequentialSampler(range(5)), 2, True)) == [[0, 1], [2, 3]]
    assert [len(BatchSampler(range(5), 2, drop)) for drop in (False, True)] == [3, 2]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: RandomSampler(range(3), replacement=1),
            "replacement should be a boolean value, but got replacement=1",
        ),
        (lambda: RandomSampler(range(3), num_samples=0), "num_samples should be a positive integer value"),
        (lambda: RandomSampler([]), "num_samples should be a positive integer value, but got num_samples=0"),
        (
            lambda: WeightedRandomSampler([[1.0]], 2),
            r"weights should be a 1d sequence but given weights have shape \(1, 1\)",
        ),
        (lambda: BatchSampler(range(3), 2, 1), "drop_last should be a boolean value, but got drop_last=1"),
    ],
)
def test_wrong_sampler_settings(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()


@pytest.mark.parametrize("length", [12, 13, 2, 0])
@pytest.mark.parametrize("drop_last", [False, True])
def test_distributed_sampler_shares_out(length, drop_last):
    shares = [list(DistributedSampler(range(length), 4, rank, drop_last=drop_last)) for rank in range(4)]
    sizes = {len(s) for s in shares}
    assert sizes == {length // 4 if drop_last else -(-length // 4)}
    seen = [i for s in shares for i in s]
    assert set(seen) <= set(range(length))
    if not drop_last:
        assert set(seen) == set(range(length))
    else:
        assert len(set(seen)) == len(seen)


def test_distributed_sampler_orders():
    sampler = DistributedSampler(range(8), 2, 0)
    first, second = list(sampler), list(sampler)  # nobody says which epoch: every iteration is one
    assert (first, second) == (EPOCH_0, EPOCH_1)
    told = DistributedSampler(range(8), 2, 0)
    told.set_epoch(1)
    assert (list(told), list(told)) == (EPOCH_1, EPOCH_1)
    told.set_epoch(0)
    assert list(told) == EPOCH_0
    assert list(DistributedSampler(range(5), 2, 1, shuffle=False)) == [1, 3, 0]
    with pytest.raises(ValueError, match=r"Invalid rank 2, rank should be in the interval \[0, 1\]"):
        DistributedSampler(range(5), 2, 2)


# -- collation --------------------------------------------------------------------------------------------------------
def test_numbers_and_tensors():
    assert default_collate([1, 2]).dtype is torch.int64
    assert default_collate([1.5, 2.5]).dtype is torch.float64
    assert default_collate([True, False]).tolist() == [True, False]
    assert default_collate([np.float32(1), np.float32(2)]).dtype is torch.float32
    assert default_collate([np.ones((2, 3)), np.zeros((2, 3))]).shape == (2, 2, 3)
    assert default_collate([torch.ones(2, 3), torch.zeros(2, 3)]).tolist() == [[[1.0] * 3] * 2, [[0.0] * 3] * 2]
    assert default_collate([torch.tensor(1), torch.tensor(2)]).tolist() == [1, 2]
    x = torch.ones(2, requires_grad=True)
    default_collate([x, x]).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_structures():
    assert default_collate([("a", 1), ("b", 2)])[0] == ("a", "b")
    assert default_collate([{"x": 1, "y": "s"}, {"x": 2, "y": "t"}])["x"].tolist() == [1, 2]
    found = default_collate([Pair(1, [2, 3]), Pair(4, [5, 6])])
    assert isinstance(found, Pair)
    assert [t.tolist() for t in found.b] == [[2, 5], [3, 6]]
    ordered = default_collate([OrderedDict(a=1), OrderedDict(a=2)])
    assert isinstance(ordered, OrderedDict)
    assert default_collate([b"x", b"y"]) == [b"x", b"y"]


def test_what_cannot_be_collated():
    with pytest.raises(
        TypeError, match="default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found"
    ):
        default_collate([object(), object()])
    with pytest.raises(TypeError, match="found <U1"):
        default_collate([np.array(["a"]), np.array(["b"])])
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        default_collate([[1, 2], [3]])
    with pytest.raises(
        RuntimeError, match=r"stack expects each tensor to be equal size, but got \[3\] at entry 0 and \[4\] at entry 1"
    ):
        default_collate([torch.ones(3), torch.ones(4)])


def test_convert():
    found = default_convert({"a": np.ones(2), "b": (1, "x"), "c": [np.float32(2)], "d": Pair(np.array(["s"]), None)})
    assert isinstance(found["a"], torch.Tensor)
    assert found["b"] == [1, "x"]
    assert found["c"][0].item() == 2
    assert isinstance(found["d"], Pair)
    assert isinstance(found["d"].a, np.ndarray)
