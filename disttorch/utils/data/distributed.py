"""DistributedSampler: each rank's share of a dataset."""

import math
from collections.abc import Sized

from ...ops import randperm
from ...random import Generator
from .sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index from `rank` on, of an order that all ranks share.

    num_replicas and rank are those of the default process group unless given. shuffle: the order is random, drawn from
    `seed` + epoch. All ranks get equally many: some indices twice, or with `drop_last` the last ones left out.

    `set_epoch(epoch)` before each epoch gives it another order. A script that never calls it is not left with the same
    order for ever: then each iteration counts as an epoch.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        if num_replicas is None or rank is None:
            from ... import distributed

            num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
            rank = distributed.get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        self._told = False  # the script calls set_epoch
        self._iterations = 0
        self._length = length = len(dataset)  # of what is shared out
        self.num_samples = length // num_replicas if drop_last else math.ceil(length / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self):
        if not self._told:
            self.epoch = self._iterations
        self._iterations += 1
        length = self._length
        if self.shuffle:
            order = randperm(length, generator=Generator().manual_seed(self.seed + self.epoch)).tolist()
        else:
            order = list(range(length))
        if self.drop_last:
            order = order[: self.total_size]
        elif order:
            order = (order * math.ceil(self.total_size / length))[: self.total_size]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self):
        return self.num_samples

    def set_epoch(self, epoch: int):
        """The order of the next iterations is that of `epoch`."""
        self.epoch, self._told = epoch, True
