"""Streams in another order."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

from ...dataset import IterableDataset


class ShufflerIterDataPipe(IterableDataset):
    """The samples of `datapipe`, each drawn at random from the next `buffer_size` ones.

    Raises ValueError unless buffer_size is positive. Without `set_seed` each pass has another order.
    """

    def __init__(self, datapipe: Iterable, *, buffer_size: int = 10000, unbatch_level: int = 0):
        if buffer_size <= 0:
            raise ValueError("buffer_size should be larger than 0")
        if unbatch_level:
            raise NotImplementedError(f"unbatch_level must be 0, got {unbatch_level}: take batches apart first")
        self.datapipe, self.buffer_size = datapipe, buffer_size
        self._enabled, self._seed = True, None

    def set_shuffle(self, shuffle: bool = True) -> "ShufflerIterDataPipe":
        """Whether to shuffle at all."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed: int) -> "ShufflerIterDataPipe":
        """The order of the next pass follows from `seed`."""
        self._seed = seed
        return self

    def __iter__(self) -> Iterator[Any]:
        if not self._enabled:
            yield from self.datapipe
            return
        seed, self._seed = self._seed, None
        source, buffer = random.Random(seed), []
        for sample in self.datapipe:
            if len(buffer) == self.buffer_size:
                place = source.randrange(self.buffer_size)
                yield buffer[place]
                buffer[place] = sample
            else:
                buffer.append(sample)
        source.shuffle(buffer)
        yield from buffer

    def __len__(self) -> int:
        return len(self.datapipe)  # type: ignore[arg-type]
