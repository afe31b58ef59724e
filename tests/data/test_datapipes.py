"""torch.utils.data.datapipes, as far as it is there."""

import pytest

from disttorch.utils.data import DataLoader, IterableDataset
from disttorch.utils.data.datapipes.iter import Shuffler
from disttorch.utils.data.datapipes.iter.combinatorics import ShufflerIterDataPipe


class Numbers(IterableDataset):
    def __iter__(self):
        return iter(range(20))


def test_a_shuffled_stream():
    pipe = ShufflerIterDataPipe(Numbers(), buffer_size=8)
    first, again, other = (list(pipe.set_seed(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(first) == sorted(other) == list(range(20))
    assert all(place >= value - 8 for place, value in enumerate(first))  # nothing comes before it is in the buffer
    assert list(pipe.set_shuffle(False)) == list(range(20))
    assert [len(batch) for batch in DataLoader(pipe, batch_size=8)] == [8, 8, 4]


def test_what_it_refuses():
    with pytest.raises(ValueError, match="larger than 0"):
        Shuffler([], buffer_size=0)
    with pytest.raises(NotImplementedError, match="unbatch_level"):
        Shuffler([], unbatch_level=1)
