"""From indices to a batch."""

from collections.abc import Callable

from ...autograd.variable import wrap
from ...devices import CPU
from . import collate
from .dataset import IterableDataset, Subset, TensorDataset


def fetcher(dataset, auto_collation: bool, collate_fn: Callable, drop_last: bool) -> Callable:
    """A function that makes a batch of what the index sampler gave; StopIteration when an iterable dataset ends."""
    if isinstance(dataset, IterableDataset):
        return _from_iterable(iter(dataset), auto_collation, collate_fn, drop_last)
    if not auto_collation:
        return lambda index: collate_fn(dataset[index])
    if collate_fn is collate.default_collate:
        return lambda indices: _rows(dataset, indices) or collate_fn(_samples(dataset, indices))
    return lambda indices: collate_fn(_samples(dataset, indices))


def _samples(dataset, indices: list) -> list:
    many = getattr(dataset, "__getitems__", None)
    return many(indices) if many is not None else [dataset[i] for i in indices]


def _rows(dataset, indices: list) -> list | None:
    """The batch of a TensorDataset (or of a subset of one) taken from each tensor at once; None for other datasets."""
    while type(dataset) is Subset:
        dataset, indices = dataset.dataset, [dataset.indices[i] for i in indices]
    if type(dataset) is not TensorDataset or any(t.requires_grad or t.device is not CPU for t in dataset.tensors):
        return None
    batch = []
    for t in dataset.tensors:
        memory = None
        if collate.make_batch_memory is not None:
            memory = collate.make_batch_memory((len(indices), *t._data.shape[1:]), t._data.dtype)
        batch.append(wrap(t._data.take(indices, 0, out=memory)))
    return batch


def _from_iterable(samples, auto_collation: bool, collate_fn: Callable, drop_last: bool) -> Callable:
    if not auto_collation:
        return lambda _: collate_fn(next(samples))

    def fetch(indices):
        batch = [sample for _, sample in zip(indices, samples, strict=False)]
        if not batch or (drop_last and len(batch) < len(indices)):
            raise StopIteration
        return collate_fn(batch)

    return fetch
