"""DataLoader in the main process and with workers: batches, order, errors, and nothing left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict, namedtuple

import numpy as np
import pytest

import disttorch as torch
from data.samples import N, Squares
from disttorch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    get_worker_info,
    workers,
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
Point = namedtuple("Point", "x y")


class Failing(Squares):
    def __getitem__(self, i):
        if i == 5:
            raise ValueError("no such picture")
        return super().__getitem__(i)


class Dying(Squares):
    def __getitem__(self, i):
        if i == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(i)


class Slow(Squares):
    def __getitem__(self, i):
        time.sleep(30)


class Seeds(Dataset):
    """What a worker knows of itself, and its random numbers."""

    def __getitem__(self, i):
        import random

        info = get_worker_info()
        assert repr(info).startswith(f"WorkerInfo(id={info.id}, num_workers=2, seed={info.seed}, dataset=")
        with pytest.raises(AttributeError, match="cannot assign to field 'id'"):
            info.id = 3
        return info.id, info.seed, torch.initial_seed(), random.random(), np.random.rand(), torch.rand(()).item()

    def __len__(self):
        return 4


class Stream(IterableDataset):
    """0 to n - 1, shared out among the workers unevenly: worker 0 has the first five."""

    def __init__(self, n=N):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        if info is None:
            return iter(range(self.n))
        return iter(range(5) if info.id == 0 else range(5, self.n))


def values(loader):
    return [(x._data[:, 0, 0, 0].tolist(), y.tolist()) for x, y in loader]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_in_order(workers):
    loader = DataLoader(Squares(), batch_size=4, num_workers=workers)
    want = [([float(i) for i in part], [i * i for i in part]) for part in np.array_split(range(N), [4, 8, 12, 16, 20])]
    for _ in range(2):
        assert values(loader) == want
    assert len(loader) == 6
    assert len(DataLoader(Squares(), batch_size=4, drop_last=True)) == 5


def test_workers_keep_processes_when_asked():
    loader = DataLoader(Squares(), batch_size=4, num_workers=2, persistent_workers=True)
    first = values(loader)
    pids = {link.process.pid for link in loader._iterator._workers.links}
    next(iter(loader))  # an iteration that is given up
    assert values(loader) == first
    assert {link.process.pid for link in loader._iterator._workers.links} == pids
    loader._iterator._workers.stop()


def test_batches_stay_as_they_are_while_others_come():
    batches = list(DataLoader(Squares(400), batch_size=2, num_workers=1))  # more than there are blocks
    for i, (x, y) in enumerate(batches):
        assert x._data[:, 0, 0, 0].tolist() == [2 * i, 2 * i + 1]
        x.add_(1)  # the memory is ours
        assert y.tolist() == [(2 * i) ** 2, (2 * i + 1) ** 2]


def test_memory_of_dropped_batches_is_used_again():
    loader = DataLoader(Squares(200), batch_size=2, num_workers=1)
    iteration = iter(loader)
    for _ in iteration:
        pass
    made = len(iteration._workers.links) and len(iteration._workers.links[0].borrowed.memories)
    assert made <= 8


def test_spawned_workers():
    loader = DataLoader(Squares(), batch_size=8, num_workers=1, multiprocessing_context="spawn")
    assert values(loader)[0] == ([float(i) for i in range(8)], [i * i for i in range(8)])


def test_tensor_dataset_takes_rows_at_once():
    x, y = torch.arange(24.0).reshape(8, 3), torch.arange(8)
    loader = DataLoader(Subset(TensorDataset(x, y), [7, 1, 4]), batch_size=2)
    (a, b), (c, d) = loader
    assert a.tolist() == [[21, 22, 23], [3, 4, 5]]
    assert b.tolist() == [7, 1]
    assert (c.tolist(), d.tolist()) == ([[12, 13, 14]], [4])
    a.zero_()
    assert x[7].tolist() == [21, 22, 23]


def test_seeds_of_workers():
    torch.manual_seed(7)
    base = int(torch.empty((), dtype=torch.int64).random_().item())
    torch.manual_seed(7)
    rows = [tuple(row) for row in DataLoader(Seeds(), batch_size=None, num_workers=2)]
    assert [row[0] for row in rows] == [0, 1, 0, 1]
    assert [row[1] for row in rows] == [base, base + 1] * 2
    assert all(row[1] == row[2] for row in rows)
    assert len({row[3:] for row in rows}) == 4
    torch.manual_seed(7)
    assert [tuple(row) for row in DataLoader(Seeds(), batch_size=None, num_workers=2)] == rows
    assert get_worker_info() is None


def init(worker):
    get_worker_info().dataset.n = 100 + worker


def test_worker_init_fn_changes_the_workers_copy():
    class Size(Squares):
        def __getitem__(self, i):
            return self.n

    loader = DataLoader(Size(4), num_workers=2, worker_init_fn=init)
    assert [b.item() for b in loader] == [100, 101, 100, 101]


@pytest.mark.parametrize("in_order", [True, False])
def test_iterable_dataset_shared_out(in_order):
    assert [b.tolist() for b in DataLoader(Stream(7), batch_size=3)] == [[0, 1, 2], [3, 4, 5], [6]]
    loader = DataLoader(Stream(), batch_size=2, num_workers=2, in_order=in_order)
    for _ in range(2):
        found = [b.tolist() for b in loader]
        if in_order:
            assert found[:4] == [[0, 1], [5, 6], [2, 3], [7, 8]]
        assert sorted(i for b in found for i in b) == list(range(N))
    kept = DataLoader(Stream(), batch_size=2, num_workers=2, persistent_workers=True)
    for _ in range(2):
        assert sorted(i for b in kept for i in b.tolist()) == list(range(N))
    kept._iterator._workers.stop()
    assert len(list(DataLoader(Stream(7), batch_size=3, drop_last=True))) == 2


def test_any_order():
    loader = DataLoader(Squares(), batch_size=4, num_workers=2, in_order=False)
    assert sorted(i for x, _ in values(loader) for i in x) == list(range(N))


def test_worker_error_comes_with_its_traceback():
    loader = DataLoader(Failing(), batch_size=4, num_workers=2)
    with pytest.raises(ValueError, match=r"Caught ValueError in DataLoader worker process 1\.") as caught:
        list(loader)
    text = str(caught.value)
    assert "Original Traceback (most recent call last):" in text
    assert 'raise ValueError("no such picture")' in text


def unhappy(worker):
    raise KeyError("init")


def test_error_in_worker_init_fn():
    with pytest.raises(KeyError, match="Caught KeyError in DataLoader worker process 0"):
        list(DataLoader(Squares(), num_workers=1, worker_init_fn=unhappy))


def test_error_of_a_kind_that_is_not_made_of_one_text():
    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(a, b)

    class Raising(Squares):
        def __getitem__(self, i):
            raise Odd(1, 2)

    with pytest.raises(RuntimeError, match="Caught Odd in DataLoader worker process 0"):
        list(DataLoader(Raising(), num_workers=1))


def test_killed_worker_is_noticed():
    loader = DataLoader(Dying(), batch_size=4, num_workers=2)
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"):
        list(loader)
    assert multiprocessing.active_children() == []


def test_timeout(monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 0.1)  # the worker sleeps: it will be terminated
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.2 seconds"):
        next(iter(DataLoader(Slow(), num_workers=1, timeout=0.2)))
    assert multiprocessing.active_children() == []


@pytest.mark.deadline(20)
def test_workers_end_though_younger_processes_have_inherited_their_connections(monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 1000)
    first, second = (iter(DataLoader(Squares(), num_workers=2, multiprocessing_context="fork")) for _ in range(2))
    first._shutdown_workers()
    assert len(multiprocessing.active_children()) == 2
    second._shutdown_workers()


def test_given_up_iteration_leaves_no_process():
    for _ in DataLoader(Squares(), batch_size=4, num_workers=2):
        break
    assert multiprocessing.active_children() == []


SCRIPT = """
import os, sys, time
import disttorch as torch
from disttorch.utils.data import DataLoader, Dataset
class Big(Dataset):
    def __getitem__(self, i): return torch.zeros(256, 256)
    def __len__(self): return 10**6
iteration = iter(DataLoader(Big(), batch_size=4, num_workers=2))
next(iteration)
print(*[link.process.pid for link in iteration._workers.links], flush=True)
if sys.argv[1] == "exit": sys.exit()
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", ["kill", "terminate", "exit"])
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_left_when_the_main_process_ends(end):
    program = subprocess.Popen([sys.executable, "-c", SCRIPT, end], stdout=subprocess.PIPE, text=True)
    with program:
        pids = [int(p) for p in program.stdout.readline().split()]
        assert len(pids) == 2
        if end != "exit":
            getattr(program, end)()
        program.wait(20)
    limit = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def test_objects_of_all_kinds_pass_from_workers():
    big = np.arange(6000.0)

    def collate(batch):
        return {
            "point": Point(torch.ones(40, 40), "text"),
            "array": big,
            "turned": torch.arange(6000).reshape(60, 100).t(),
            "half": torch.ones(3000, dtype=torch.bfloat16),
            "none": None,
            "indices": batch,
        }

    (found,) = DataLoader(range(3), batch_size=3, num_workers=1, collate_fn=collate)
    assert found["point"].x.sum().item() == 1600
    assert found["point"].y == "text"
    assert np.array_equal(found["array"], big)
    assert found["turned"].shape == (100, 60)
    assert found["turned"][1, 2].item() == 201
    assert found["half"].dtype is torch.bfloat16
    assert found["half"].float().sum().item() == 3000
    assert (found["none"], found["indices"]) == (None, [0, 1, 2])


@pytest.fixture
def a_device():
    torch.devices.simulate(1)
    yield
    torch.devices.simulate(None)


def test_pin_memory_reaches_into_batches(a_device):
    class Pinnable:
        pinned = False

        def pin_memory(self):
            self.pinned = True
            return self

    loader = DataLoader(range(2), pin_memory=True, collate_fn=lambda b: {"a": [Pinnable()], "t": torch.ones(1)})
    assert all(b["a"][0].pinned for b in loader)


def test_pinned_batches_keep_their_classes(a_device):
    batch = defaultdict(list, a=torch.ones(1))
    (pinned,) = DataLoader([0], pin_memory=True, collate_fn=lambda _: batch)
    assert (type(pinned), pinned.default_factory, pinned["a"].item()) == (defaultdict, list, 1)


@pytest.mark.parametrize("n", [3, 30_000])  # in the message, in shared memory
def test_batches_of_workers_have_the_dtypes_that_kernels_look_for(n):
    loader = DataLoader([torch.ones(n)] * 2, batch_size=2, num_workers=1)
    (batch,) = loader
    assert batch._data.dtype is torch.ones(1)._data.dtype


def test_pin_memory_without_a_device_is_told_of():
    with pytest.warns(UserWarning, match="no accelerator is found, then device pinned memory won't be used"):
        assert len(list(DataLoader(range(2), pin_memory=True))) == 2


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"num_workers": -1}, ValueError, "num_workers option should be non-negative"),
        ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor option could only be specified in multiprocessing"),
        ({"persistent_workers": True}, ValueError, "persistent_workers option needs num_workers > 0"),
        ({"sampler": [1], "shuffle": True}, ValueError, "sampler option is mutually exclusive with shuffle"),
        ({"batch_sampler": [[1]], "drop_last": True}, ValueError, "batch_sampler option is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, ValueError, "batch_size=None option disables auto-batching"),
        ({"batch_size": 0}, ValueError, "batch_size should be a positive integer value, but got batch_size=0"),
        ({"multiprocessing_context": "spawn"}, ValueError, "can only be used with multi-process loading"),
        ({"num_workers": 1, "multiprocessing_context": "x"}, ValueError, "should specify a valid start method"),
        ({"num_workers": 1, "multiprocessing_context": 3}, TypeError, "should be a valid context object"),
    ],
)
def test_wrong_options(kwargs, error, text):
    with pytest.raises(error, match=text):
        DataLoader(range(4), **kwargs)


def test_iterable_dataset_takes_no_sampler():
    with pytest.raises(ValueError, match="expected unspecified shuffle option, but got shuffle=True"):
        DataLoader(Stream(), shuffle=True)
    with pytest.raises(ValueError, match="expected unspecified sampler option"):
        DataLoader(Stream(), sampler=[1])


def test_attributes_are_fixed():
    loader = DataLoader(range(4))
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 3


def test_many_workers_are_warned_of():
    with pytest.warns(UserWarning, match="This DataLoader will create 1000 worker processes"):
        DataLoader(range(4), num_workers=1000)


def test_wrong_length_is_warned_of():
    class Short(Stream):
        def __len__(self):
            return 2

    loader = DataLoader(Short(4), batch_size=1)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="was reported to be 2"):
        list(loader)
