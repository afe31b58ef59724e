"""DataLoader: batches of a dataset, made here or in worker processes."""

import math
import multiprocessing
import warnings
from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import Generic, TypeVar

from ... import cores
from ...devices import device_count
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .fetch import fetcher
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, random_seed

T = TypeVar("T")
FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")  # after construction


class _InfiniteConstantSampler(Sampler):
    """What an iterable dataset has for a sampler: it takes no index."""

    def __iter__(self):
        while True:
            yield None


class DataLoader(Generic[T]):
    """Iterates over the batches of a dataset, as often as you like.

    dataset          samples by index, or an IterableDataset
    batch_size       samples of a batch; None: the samples themselves, one by one
    shuffle          a new random order at each iteration
    sampler          the order of indices instead; batch_sampler: lists of indices, instead of the four above and
                     drop_last
    num_workers      processes that make the batches; 0: they are made here. The order is the same for any number
    collate_fn       from a list of samples to a batch (default_collate)
    pin_memory       call `pin_memory()` of each batch
    drop_last        leave out a last batch that is too short
    timeout          seconds to wait for a batch from a worker; 0: as long as it takes
    worker_init_fn   called with the worker's id in each worker, after its seeds have been set
    multiprocessing_context  "fork" (Linux), "spawn" or a context
    generator        of the order and of the workers' seeds; None: the default one
    prefetch_factor  batches that each worker makes in advance (2)
    persistent_workers  keep the processes from one iteration to the next
    in_order         False: batches as they come from the workers

    A worker's exception is raised here with its traceback in the text; RuntimeError if a worker process has died or
    takes longer than `timeout`. ValueError and TypeError for options that do not fit, in PyTorch's words.
    """

    def __init__(
        self,
        dataset: Dataset[T],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler | Iterable | None = None,
        num_workers: int = 0,
        collate_fn: Callable | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable | None = None,
        multiprocessing_context=None,
        generator=None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.worker_init_fn, self.generator, self.in_order = worker_init_fn, generator, in_order
        self.multiprocessing_context = multiprocessing_context
        self.persistent_workers = persistent_workers

        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        _check_batching(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if sampler is None:
            sampler = _usual_sampler(dataset, shuffle, generator)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self._said_length: int | None = None  # what `len` said of an iterable dataset
        self._iterator = None
        if num_workers:
            _warn_of_many(num_workers)
        self._initialized = True

    @property
    def multiprocessing_context(self):
        """The context that starts the worker processes; None: the system's usual one."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context):
        if context is not None:
            if not self.num_workers:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
                    f"num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                methods = multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError(
                        f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                        f"multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string specifying the start "
                    f"method, but got multiprocessing_context={context}"
                )
        self._context = context

    def __setattr__(self, name, value):
        if name in FIXED and self.__dict__.get("_initialized"):
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        object.__setattr__(self, name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.batch_sampler if self._auto_collation else self.sampler

    def __iter__(self):
        if not self.num_workers:
            return _SingleProcessDataLoaderIter(self)
        if not self.persistent_workers:
            return _MultiProcessingDataLoaderIter(self)
        if self._iterator is None:
            self._iterator = _MultiProcessingDataLoaderIter(self)
        else:
            self._iterator._reset(self)
        return self._iterator

    def __len__(self) -> int:
        if not self._iterable:
            return len(self._index_sampler)
        length = self._said_length = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else math.ceil(length / self.batch_size)


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers):
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable "
            "multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_batching(batch_size, shuffle, sampler, batch_sampler, drop_last) -> None:
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
    if batch_sampler is None and batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")


def _usual_sampler(dataset, shuffle, generator):
    if isinstance(dataset, IterableDataset):
        return _InfiniteConstantSampler()
    return RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)


def _check_iterable(shuffle, sampler, batch_sampler):
    for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )


def _warn_of_many(num_workers: int):
    cpus = cores.available()
    if num_workers > cpus:
        warnings.warn(
            f"This DataLoader will create {num_workers} worker processes in total. Our suggested max number of worker "
            f"in current system is {cpus}, which is smaller than what this DataLoader is going to create. Please be "
            "aware that excessive worker creation might get DataLoader running slow or even freeze, lower the worker "
            "number to avoid potential slowness/freeze if necessary.",
            stacklevel=3,
        )


class _BaseDataLoaderIter:
    """One pass over the batches."""

    def __init__(self, loader: DataLoader):
        self._indices = iter(loader._index_sampler)
        self._base_seed = random_seed(loader.generator)
        self._loader, self._count = loader, 0
        self._said_length = loader._said_length
        self._length = loader._index_sampler
        self._pins = loader.pin_memory and device_count() > 0
        if loader.pin_memory and not self._pins:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be "
                "used.",
                stacklevel=3,
            )

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._length)

    def __next__(self):
        batch = self._next()
        if self._pins:
            from .workers import pinned

            batch = pinned(batch)
        self._count += 1
        if self._said_length is not None and self._count > self._said_length:
            self._warn_of_length()
        return batch

    next = __next__  # older programs call it

    def _warn_of_length(self):
        text = (
            f"Length of IterableDataset {self._loader.dataset} was reported to be {self._said_length}(when accessing "
            f"len(dataloader)), but {self._count} samples have been fetched. "
        )
        if self._loader.num_workers:
            text += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
            )
        warnings.warn(text, stacklevel=3)


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Batches made in this process."""

    def __init__(self, loader: DataLoader):
        super().__init__(loader)
        self._fetch = fetcher(loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)

    def _next(self):
        return self._fetch(next(self._indices))


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Batches made by worker processes, which end with this object."""

    def __init__(self, loader: DataLoader):
        from .workers import Workers

        super().__init__(loader)
        self._workers = Workers(loader, self._base_seed)
        self._workers.start(self._indices)

    def _next(self):
        try:
            return self._workers.next()
        except StopIteration:
            if not self._loader.persistent_workers:
                self._shutdown_workers()
            raise

    def _shutdown_workers(self):
        """End the processes; Lightning calls it."""
        self._workers.stop()

    def _reset(self, loader: DataLoader):
        """Begin again with the same processes."""
        self._indices, self._count, self._said_length = iter(loader._index_sampler), 0, loader._said_length
        self._workers.again(self._indices)
