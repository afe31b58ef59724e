"""The size of buckets: chosen by a measurement, alike on all ranks, without a trace in the gradients."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.nn.parallel import DistributedDataParallel, bucket_size
from disttorch.nn.parallel.bucket_size import best_cap

MB = 1 << 20


@pytest.mark.parametrize(
    ("total", "latency", "bandwidth", "cap"),
    [
        (100 * MB, 1e-4, 1e9, int((100 * MB * 1e5) ** 0.5)),
        (100 * MB, 1e-9, 1e9, MB),  # many buckets cost nothing
        (100 * MB, 1.0, 1e9, 25 * MB),  # never so large that nothing overlaps
        (100 * MB, 0.0, 1e9, MB),
    ],
)
def test_the_best_size(total, latency, bandwidth, cap):
    assert best_cap(total, latency, bandwidth) == cap


def test_the_best_size_delays_least():
    total, latency, bandwidth = 64 * MB, 2e-4, 2e9

    def delay(cap):
        return cap / bandwidth + latency * total / cap

    best = best_cap(total, latency, bandwidth)
    assert MB < best < 25 * MB
    assert delay(best) < min(delay(best * 0.8), delay(best * 1.25))


def wide() -> nn.Module:
    """1.5 MiB of parameters."""
    return nn.Sequential(nn.Linear(256, 512), nn.Tanh(), nn.Linear(512, 512))


def chosen(rank: int) -> int:
    return DistributedDataParallel(wide()).bucket_bytes_cap


def test_all_ranks_choose_alike(monkeypatch):
    monkeypatch.setattr(bucket_size, "_crowded", lambda comm: False)
    times = {0: (1e-3, 2e-3), 1: (3e-3, 1e-3), 2: (2e-3, 2e-3)}  # of a short and of a long all-reduce, by rank
    monkeypatch.setattr(bucket_size, "_seconds", lambda comm, array: times[comm.rank][array.size > 1])
    total = sum(p.numel() * 4 for p in wide().parameters())
    assert run_ranks(3, chosen) == [best_cap(total, 3e-3, MB / 2e-3)] * 3


def chosen_with_room(rank: int) -> int:
    bucket_size._crowded = lambda comm: False  # this process is the rank's own
    return DistributedDataParallel(wide()).bucket_bytes_cap


@pytest.mark.parametrize("kind", ["processes", "tcp"])
def test_it_is_measured(kind):
    first, *others = run_ranks(2, chosen_with_room, kind)
    assert MB <= first <= 25 * MB
    assert others == [first]


def chosen_in_a_crowd(rank: int) -> int:
    bucket_size._crowded = lambda comm: comm.rank == 1  # this process is the rank's own
    bucket_size._seconds = None
    return chosen(rank)


@pytest.mark.parametrize(("kind", "cap"), [("processes", MB), ("tcp", 25 * MB)])
def test_one_crowded_host_decides(kind, cap):
    assert run_ranks(3, chosen_in_a_crowd, kind) == [cap] * 3


@pytest.mark.parametrize(("threads", "crowded"), [(1, False), (2, False), (3, True)])
def test_a_host_is_crowded_if_ranks_compute_on_all_cores(monkeypatch, threads, crowded):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(bucket_size, "get_num_threads", lambda: threads)
    comm = SimpleNamespace(hosts=("a", "b", "a"), rank=2)
    assert bucket_size._crowded(comm) == crowded
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})  # two cores for each rank alone
    assert bucket_size._crowded(comm) == (threads >= 2)


def settings(rank: int) -> list:
    small = nn.Linear(4, 4)
    return [
        DistributedDataParallel(small).bucket_bytes_cap,
        DistributedDataParallel(wide(), bucket_cap_mb=3).bucket_bytes_cap,
        DistributedDataParallel(wide(), bucket_cap_mb=0.5).bucket_bytes_cap,
    ]


def test_what_the_user_says_holds_and_small_models_are_not_measured(monkeypatch):
    monkeypatch.setattr(bucket_size, "_seconds", None)
    assert run_ranks(2, settings) == [[25 * MB, 3 * MB, MB // 2]] * 2


def gradients(cap: float | None) -> list:
    rank = dist.get_rank()
    model = DistributedDataParallel(wide(), bucket_cap_mb=cap)
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(torch.from_numpy(np.random.default_rng(i).standard_normal(p.shape).astype(np.float32)) * 0.05)
    for step in range(2):
        x = np.random.default_rng(10 * step + rank).standard_normal((4, 256)).astype(np.float32)
        model.zero_grad()
        model(torch.from_numpy(x)).square().mean().backward()
    return [p.grad.numpy().copy() for p in model.parameters()]


def compared(rank: int) -> None:
    wanted = gradients(25.0)
    assert any(g.any() for g in wanted)
    for cap in (None, 0.01, 0.3):
        for mine, whole in zip(gradients(cap), wanted, strict=True):
            np.testing.assert_array_equal(mine, whole)


@pytest.mark.parametrize("kind", ["threads", "processes", "tcp"])
def test_the_gradients_bits_do_not_depend_on_it(kind):
    run_ranks(3, compared, kind)
