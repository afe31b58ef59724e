"""ElasticDistributedSampler: each rank's share of what is left of an epoch."""

from collections.abc import Iterator, Sized

from .....utils.data.distributed import DistributedSampler


class ElasticDistributedSampler(DistributedSampler):
    """A DistributedSampler of the dataset's samples from `start_index` on, for a job that goes on with other ranks in
    the middle of an epoch. ValueError for a start behind the last sample.
    """

    def __init__(self, dataset: Sized, num_replicas: int | None = None, rank: int | None = None, start_index: int = 0):
        if start_index >= len(dataset):
            raise ValueError(f"Start index {start_index} should be less than dataset size {len(dataset)}")
        super().__init__(range(len(dataset) - start_index), num_replicas, rank)
        self.dataset, self.start_index = dataset, start_index

    def __iter__(self) -> Iterator[int]:
        return (self.start_index + index for index in super().__iter__())
