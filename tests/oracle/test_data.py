"""The orders of our loaders and samplers beside PyTorch's, from the same seeds, and the random state that they
leave.
"""

import numpy as np
import pytest

import disttorch
import disttorch.utils.data as ours

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.data")

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore:This DataLoader will create")]  # on one core

X = np.arange(103 * 12, dtype=np.float32).reshape(103, 3, 4)
LOADERS = [
    {"batch_size": 7},
    {"batch_size": 8, "shuffle": True},
    {"batch_size": 8, "shuffle": True, "drop_last": True},
    {"batch_size": None, "shuffle": True},
    {"batch_size": 8, "shuffle": True, "num_workers": 2},
    {"batch_size": 8, "shuffle": True, "num_workers": 2, "persistent_workers": True},
    {"batch_size": 200, "shuffle": True, "num_workers": 1, "prefetch_factor": 3},
]


def batches(lib, data, options):
    lib.manual_seed(3)
    loader = data.DataLoader(data.TensorDataset(lib.from_numpy(X), lib.arange(103)), **options)
    found = [[t.tolist() for t in batch] for _ in range(2) for batch in loader]
    found.append(lib.rand(3).tolist())
    if loader._iterator is not None:
        del loader._iterator
    return found


@pytest.mark.parametrize("options", LOADERS, ids=str)
def test_loaders(options):
    assert batches(disttorch, ours, options) == batches(torch, theirs, options)


SAMPLERS = [
    lambda d: d.RandomSampler(range(50), replacement=True, num_samples=70),
    lambda d: d.RandomSampler(range(50), num_samples=120),
    lambda d: d.SubsetRandomSampler([4, 5, 6, 7, 9]),
    lambda d: d.WeightedRandomSampler([0.1, 0.5, 0.4], 30),
    lambda d: d.WeightedRandomSampler([0.1, 0.5, 0.4, 3], 3, replacement=False),
    lambda d: d.BatchSampler(d.RandomSampler(range(10)), 3, False),
    lambda d: [list(s.indices) for s in d.random_split(range(103), [0.5, 0.3, 0.2])],
    lambda d: d.distributed.DistributedSampler(range(103), 4, 3, seed=5),
    lambda d: d.distributed.DistributedSampler(range(103), 4, 3, seed=5, drop_last=True),
    lambda d: d.distributed.DistributedSampler(range(2), 4, 3, shuffle=False),
]


@pytest.mark.parametrize("make", SAMPLERS)
def test_samplers(make):
    from torch.utils.data import distributed  # noqa: F401

    disttorch.manual_seed(5)
    torch.manual_seed(5)
    assert list(make(ours)) == list(make(theirs))
    assert disttorch.rand(()).item() == torch.rand(()).item()


BREAKING = [
    "ValueError('hm')",
    "KeyError('k')",
    "StopIteration()",
    "OSError(2, 'gone')",
    "UnicodeDecodeError('utf8', b'a', 0, 1, 'r')",
]


class Breaking:
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 3:
            raise eval(self.error)
        return index


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", BREAKING)
def test_errors_of_datasets(error, workers):
    found = []
    for data in (ours, theirs):
        batches, told = [], []
        iterator = iter(data.DataLoader(Breaking(error), 2, num_workers=workers))
        try:
            for batch in iterator:
                batches.append(batch.tolist())
        except Exception as e:
            told = [type(e).__name__, str(e).splitlines()[:1]]
        if workers:
            iterator._shutdown_workers()  # left to the garbage collector, PyTorch's take five seconds each
        found.append((batches, told))
    assert found[0] == found[1]


def test_where_programs_look_for_collate():
    from disttorch.utils.data._utils.collate import default_collate
    from disttorch.utils.data.dataloader import default_collate as again

    assert default_collate is again is ours.default_collate
