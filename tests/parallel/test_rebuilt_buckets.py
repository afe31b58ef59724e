"""After the first backward buckets follow the order in which gradients arrived, and nothing else changes."""

import numpy as np
import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.nn.parallel import DistributedDataParallel

FLOATS = 4096  # a layer's weight is 64 KiB


class Backwards(nn.Module):
    """Its layers are used in the opposite order of their registration."""

    def __init__(self, rank: int = 0, extra: bool = False):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 64, bias=False) for _ in range(4)])
        self.extra = nn.Linear(64, 64, bias=False) if extra else None
        with torch.no_grad():
            for i, p in enumerate(self.parameters()):
                p.copy_(torch.from_numpy(np.random.default_rng(i).standard_normal((64, 64)).astype(np.float32)) * 0.1)

    def forward(self, x):
        for layer in reversed(self.layers):
            x = layer(x).tanh()
        return x


def batch(rank: int, step: int = 0):
    return torch.from_numpy(np.random.default_rng(100 * step + rank).standard_normal((3, 64)).astype(np.float32))


def plans(model) -> list:
    return [bucket.indices for bucket in model.reducer.buckets]


def rebuilt(rank: int):
    model = DistributedDataParallel(Backwards(), bucket_cap_mb=2 * FLOATS * 4 / 2**20)
    seen = [plans(model)]
    single = Backwards()
    for step in range(3):
        model.zero_grad()
        model(batch(rank, step)).sum().backward()
        seen.append(plans(model))
        single.zero_grad()
        for r in range(dist.get_world_size()):
            (single(batch(r, step)).sum() / dist.get_world_size()).backward()
        for mine, whole in zip(model.module.parameters(), single.parameters(), strict=True):
            np.testing.assert_allclose(mine.grad.numpy(), whole.grad.numpy(), rtol=1e-5, atol=1e-6)
            assert any(np.shares_memory(mine.grad._data, bucket.memory) for bucket in model.reducer.buckets)
    return seen


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_the_order_of_arrival_becomes_the_plan(kind):
    for seen in run_ranks(2, rebuilt, kind):
        assert seen == [[[3, 2], [1, 0]], *[[[0, 1], [2, 3]]] * 3]


class Either(Backwards):
    """Rank 1 uses its layers in another order: the ranks' gradients arrive in different orders."""

    def __init__(self, rank: int):
        super().__init__()
        self.rank = rank

    def forward(self, x):
        for layer in self.layers if self.rank else reversed(self.layers):
            x = layer(x).tanh()
        return x


def different_orders(rank: int):
    model = DistributedDataParallel(Either(rank), bucket_cap_mb=FLOATS * 4 / 2**20)
    for step in range(2):
        model.zero_grad()
        model(batch(rank, step)).sum().backward()
    return plans(model), [p.grad.numpy().copy() for p in model.module.parameters()]


def test_rank_0_decides():
    (plan, gradients), (other_plan, other_gradients) = run_ranks(2, different_orders)
    assert plan == other_plan == [[0], [1], [2], [3]]
    for mine, theirs in zip(gradients, other_gradients, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def kept_gradients(rank: int):
    """Accumulation across the change, and a parameter that nobody uses and that holds a gradient."""
    model = DistributedDataParallel(Backwards(extra=True), bucket_cap_mb=0.02, find_unused_parameters=True)
    held = torch.full((64, 64), 7.0)
    model.module.extra.weight.grad = held
    model(batch(rank)).sum().backward()
    once = [layer.weight.grad.numpy().copy() for layer in model.module.layers]
    model(batch(rank)).sum().backward()
    for before, layer in zip(once, model.module.layers, strict=True):
        np.testing.assert_allclose(layer.weight.grad.numpy(), 2 * before, rtol=1e-5, atol=1e-6)
    return model.module.extra.weight.grad.numpy().min().item(), plans(model)


def test_gradients_outlive_the_change():
    for smallest, plan in run_ranks(2, kept_gradients):
        assert smallest == 7.0
        assert [i for bucket in plan for i in bucket] == [0, 1, 2, 3, 4]


def after_no_sync(rank: int):
    model = DistributedDataParallel(Backwards(), bucket_cap_mb=FLOATS * 4 / 2**20)
    with model.no_sync():
        model(batch(rank)).sum().backward()
    first = plans(model)
    model(batch(rank)).sum().backward()
    return first, plans(model)


def test_only_a_synchronised_backward_counts():
    for first, then in run_ranks(2, after_no_sync):
        assert first == [[3], [2], [1], [0]]
        assert then == [[0], [1], [2], [3]]


def with_a_hook(rank: int):
    from disttorch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    model = DistributedDataParallel(Backwards(), bucket_cap_mb=FLOATS * 4 / 2**20)
    model.register_comm_hook(None, allreduce_hook)
    model(batch(rank)).sum().backward()
    return plans(model)


def test_a_hook_keeps_its_buckets():
    assert run_ranks(2, with_a_hook) == [[[3], [2], [1], [0]]] * 2


def uneven(rank: int):
    """Rank 0 has no batch at all; the unused parameters are looked for as well."""
    model = DistributedDataParallel(Backwards(), bucket_cap_mb=FLOATS * 4 / 2**20, find_unused_parameters=True)
    with model.join():
        for step in range(2 * rank):
            model.zero_grad()
            model(batch(rank, step)).sum().backward()
    return plans(model)


def test_join_with_a_rank_that_has_nothing():
    assert run_ranks(2, uneven) == [[[3], [2], [1], [0]]] * 2
