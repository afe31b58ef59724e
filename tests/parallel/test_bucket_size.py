"""The size of buckets: chosen by a measurement, alike on all ranks, without a trace in the gradients."""

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


def chosen(rank: int, seconds: dict) -> int:
    return DistributedDataParallel(wide()).bucket_bytes_cap


def test_all_ranks_choose_alike(monkeypatch):
    times = {0: (1e-3, 2e-3), 1: (3e-3, 1e-3), 2: (2e-3, 2e-3)}  # of a short and of a long all-reduce, by rank
    monkeypatch.setattr(bucket_size, "_seconds", lambda comm, array: times[comm.rank][array.size > 1])
    total = sum(p.numel() * 4 for p in wide().parameters())
    assert run_ranks(3, chosen, args=(times,)) == [best_cap(total, 3e-3, MB / 2e-3)] * 3


@pytest.mark.parametrize("kind", ["threads", "processes", "tcp"])
def test_it_is_measured(kind):
    first, *others = run_ranks(2, chosen, kind, args=({},))
    assert MB <= first <= 25 * MB
    assert others == [first]


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
