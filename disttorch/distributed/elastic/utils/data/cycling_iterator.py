"""CyclingIterator: several epochs as one iterator."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class CyclingIterator(Generic[T]):
    """The elements of generator_fn(epoch) for the epochs from `start_epoch` to n - 1, one after another."""

    def __init__(self, n: int, generator_fn: Callable[[int], Iterator[T]], start_epoch: int = 0):
        self._elements = (element for epoch in range(start_epoch, n) for element in generator_fn(epoch))

    def __iter__(self) -> "CyclingIterator[T]":
        return self

    def __next__(self) -> T:
        return next(self._elements)
