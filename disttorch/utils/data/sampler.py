"""Samplers: in which order a DataLoader asks for samples. Random orders are PyTorch's for the same seed."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Generic, TypeVar

from ... import dtypes
from ...ops import as_tensor, empty, multinomial, randint, randperm
from ...random import Generator

T = TypeVar("T", covariant=True)
CHUNK = 32  # indices drawn at a time with replacement, PyTorch's number


class Sampler(Generic[T]):
    """Base of samplers: an iterable of indices, or of lists of indices."""

    def __init__(self, data_source=None):
        pass

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError


def _positive(num_samples):
    if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
        raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")


class SequentialSampler(Sampler[int]):
    """All indices in order."""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order; with `replacement` each is drawn from all. num_samples None: as many as there are.

    Without a generator a new one is seeded from the default one at each iteration.
    """

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator=None):
        self.data_source, self.replacement, self._num_samples = data_source, replacement, num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        _positive(self.num_samples)

    @property
    def num_samples(self) -> int:
        """The length of the data source, which may have changed, unless a number was given."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self):
        generator = self.generator
        if generator is None:
            generator = Generator().manual_seed(random_seed())
        n, wanted = len(self.data_source), self.num_samples
        if self.replacement:
            for _ in range(wanted // CHUNK):
                yield from randint(n, (CHUNK,), generator=generator).tolist()
            yield from randint(n, (wanted % CHUNK,), generator=generator).tolist()
        else:
            for _ in range(wanted // n):
                yield from randperm(n, generator=generator).tolist()
            yield from randperm(n, generator=generator).tolist()[: wanted % n]

    def __len__(self):
        return self.num_samples


def random_seed(generator=None) -> int:
    """A random 64-bit integer, drawn as PyTorch draws the seeds of loaders and samplers."""
    return int(empty((), dtype=dtypes.int64).random_(generator=generator).item())


class SubsetRandomSampler(Sampler[int]):
    """The indices given, in random order."""

    def __init__(self, indices: Sequence[int], generator=None):
        self.indices, self.generator = indices, generator

    def __iter__(self):
        for i in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices from 0 to len(weights) - 1 with probabilities in proportion to the weights."""

    def __init__(self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator=None):
        _positive(num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = as_tensor(weights, dtype=dtypes.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self):
        drawn = multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from iter(drawn.tolist())

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; the last one may be shorter unless `drop_last`."""

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self):
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self):
        extra = 0 if self.drop_last else self.batch_size - 1
        return (len(self.sampler) + extra) // self.batch_size
