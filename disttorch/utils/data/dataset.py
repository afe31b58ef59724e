"""Datasets: samples by index or one after another, and datasets made of others."""

import bisect
import math
import warnings
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from ...autograd.variable import Tensor
from ...ops import randperm
from ...random import default_generator

T = TypeVar("T")


class Dataset(Generic[T]):
    """Samples by index: a subclass defines `__getitem__`, and `__len__` unless samplers can do without.

    `__getitems__(indices)`, if there, gives the list of samples of a whole batch at once.
    """

    def __getitem__(self, index) -> T:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: "Dataset[T]") -> "ConcatDataset[T]":
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T], Iterable[T]):
    """Samples one after another: a subclass defines `__iter__`.

    Every worker process of a DataLoader iterates its own copy: `get_worker_info()` tells which part is its.
    """

    def __add__(self, other: Dataset[T]):
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is the tuple of the i-th rows of tensors with equally many rows."""

    def __init__(self, *tensors: Tensor):
        if any(t.size(0) != tensors[0].size(0) for t in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index):
        return tuple(t[index] for t in self.tensors)

    def __len__(self):
        return self.tensors[0].size(0)


class StackDataset(Dataset):
    """Sample i is the tuple (or dictionary, for keywords) of the i-th samples of datasets of one length."""

    def __init__(self, *args: Dataset, **kwargs: Dataset):
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or``dict``- (via ``kwargs``) like input/output, but both "
                "types are given."
            )
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets = args or kwargs
        self._length = len(self._parts()[0])
        if any(len(d) != self._length for d in self._parts()):
            raise ValueError("Size mismatch between datasets")

    def _parts(self) -> list:
        return list(self.datasets.values()) if isinstance(self.datasets, dict) else list(self.datasets)

    def _joined(self, parts):
        return dict(zip(self.datasets, parts, strict=True)) if isinstance(self.datasets, dict) else tuple(parts)

    def __getitem__(self, index):
        return self._joined([d[index] for d in self._parts()])

    def __getitems__(self, indices: list):
        columns = []
        for dataset in self._parts():
            many = getattr(dataset, "__getitems__", None)
            items = many(indices) if many is not None else [dataset[i] for i in indices]
            if len(items) != len(indices):
                raise ValueError(f"Nested dataset's output size mismatch. Expected {len(indices)}, got {len(items)}")
            columns.append(items)
        return [self._joined(parts) for parts in zip(*columns, strict=True)]

    def __len__(self):
        return self._length


class ConcatDataset(Dataset[T]):
    """Datasets one after another, by index."""

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = list(accumulate(map(len, self.datasets)))

    def __len__(self):
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx):
        if idx < 0:
            if -idx > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            idx += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, idx)
        return self.datasets[which][idx - self.cumulative_sizes[which - 1] if which else idx]


class ChainDataset(IterableDataset):
    """Iterable datasets one after another."""

    def __init__(self, datasets: Iterable[Dataset]):
        super().__init__()
        self.datasets = datasets

    def _checked(self):
        for d in self.datasets:
            if not isinstance(d, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield d

    def __iter__(self):
        for d in self._checked():
            yield from d

    def __len__(self):
        return sum(len(d) for d in self._checked())


class Subset(Dataset[T]):
    """The samples of a dataset at the indices given."""

    def __init__(self, dataset: Dataset[T], indices: Sequence[int]):
        self.dataset, self.indices = dataset, indices

    def __init_subclass__(cls, **kwargs):
        """Batches come from `__getitems__`: a subclass that changes single samples alone would be passed by."""
        super().__init_subclass__(**kwargs)
        if "__getitem__" in cls.__dict__ and "__getitems__" not in cls.__dict__:
            cls.__getitems__ = _one_by_one

    def __getitem__(self, idx):
        return self.dataset[[self.indices[i] for i in idx] if isinstance(idx, list) else self.indices[idx]]

    def __getitems__(self, indices: list[int]) -> list[T]:
        mine = [self.indices[i] for i in indices]
        many = getattr(self.dataset, "__getitems__", None)
        return many(mine) if many is not None else [self.dataset[i] for i in mine]

    def __len__(self):
        return len(self.indices)


def _one_by_one(self, indices: list[int]) -> list:
    return [self[i] for i in indices]


def random_split(dataset: Dataset[T], lengths: Sequence[int | float], generator=default_generator) -> list[Subset[T]]:
    """The dataset in random parts of `lengths`, which sum to its length, or are fractions that sum to 1.

    What fractions leave over goes one by one to the first parts. ValueError for lengths of another sum.
    """
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        lengths = _from_fractions(len(dataset), lengths)
    if sum(lengths) != len(dataset):
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = randperm(sum(lengths), generator=generator).tolist()
    return [
        Subset(dataset, order[end - length : end]) for end, length in zip(accumulate(lengths), lengths, strict=True)
    ]


def _from_fractions(total: int, fractions: Sequence[float]) -> list[int]:
    for i, f in enumerate(fractions):
        if not 0 <= f <= 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1")
    lengths = [math.floor(total * f) for f in fractions]
    for i in range(total - sum(lengths)):
        lengths[i % len(lengths)] += 1
    for i, length in enumerate(lengths):
        if length == 0:
            warnings.warn(f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=3)
    return lengths
