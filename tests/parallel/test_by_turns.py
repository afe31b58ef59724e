"""Buckets that are reduced by the ranks that compute, and not by a thread beside them."""

import time

import numpy as np
import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.algorithms.ddp_comm_hooks import default_hooks
from disttorch.nn.parallel import DistributedDataParallel, bucket_size

SMALL = 1e-5  # MB: a bucket for each parameter


def wrapped(crowded: bool, **settings) -> DistributedDataParallel:
    bucket_size._crowded = lambda comm: crowded  # this process is the rank's own
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 30), nn.BatchNorm1d(30), nn.Tanh(), nn.Linear(30, 3))
    return DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(net), **settings)


def trained(rank: int, crowded: bool) -> tuple[bool, list]:
    """Whether ranks reduce by turns, and the weights after some steps; statistics are exchanged in between."""
    model = wrapped(crowded, bucket_cap_mb=SMALL)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(5):
        with model.no_sync() if step == 2 else torch.enable_grad():
            model(torch.from_numpy(inputs(rank, step))).square().mean().backward()
        if step != 2:
            optimizer.step()
            optimizer.zero_grad()
    return model.reducer.persistent is not None, [p.detach().numpy().tolist() for p in model.parameters()]


def inputs(rank: int, step: int) -> np.ndarray:
    return np.random.default_rng([rank, step]).standard_normal((4, 8)).astype(np.float32)


@pytest.mark.parametrize("n", [2, 3])
def test_the_bits_of_a_thread(n):
    by_turns = run_ranks(n, trained, "processes", args=(True,))
    beside = run_ranks(n, trained, "processes", args=(False,))
    assert [found[0] for found in by_turns + beside] == [True] * n + [False] * n
    assert [found[1] for found in by_turns] == [found[1] for found in beside]


class Deep(nn.Module):
    """Its parameters get their gradients in the order of their names."""

    def __init__(self):
        super().__init__()
        self.d, self.c, self.b, self.a = (nn.Linear(n, m, bias=False) for n, m in [(4, 4), (4, 99), (99, 99), (99, 1)])

    def forward(self, x):
        return self.a(self.b(self.c(self.d(x))))


def failing_everywhere(rank: int) -> list:
    """Gradients of a backward after one that fails on all ranks. When rank 1 takes up the first one again, rank 0 has
    written a part of the second one's first bucket.
    """
    bucket_size._crowded = lambda comm: True
    torch.manual_seed(0)
    model = DistributedDataParallel(Deep(), bucket_cap_mb_list=[99 * 99 * 4 / 2**20, SMALL])
    assert [len(bucket.indices) for bucket in model.reducer.buckets] == [2, 1, 1]
    x = torch.full((2, 4), rank + 1.0)
    model(x).sum().backward()  # after which the plan is final
    model.zero_grad()
    pauses: dict[str, float] = {}
    for name, p in model.module.named_parameters():
        p.register_hook(lambda _grad, name=name[0]: time.sleep(pauses.get(name, 0)))

    def fail(_grad):
        raise RuntimeError("wrong on all ranks")

    failure = model.module.d.weight.register_hook(fail)
    pauses["bc"[rank]] = 0.3 + 0.3 * rank
    with pytest.raises(RuntimeError, match="wrong on all ranks"):
        model(-100 * x).sum().backward()
    failure.remove()
    pauses.clear()
    pauses["b"] = 0.8 * (rank == 0)
    model.zero_grad()
    model(x).sum().backward()
    return [p.grad.numpy().tolist() for p in model.parameters()]


def after_a_failed_backward(rank: int, reduction: str) -> list:
    """Gradients of a backward after one that fails on all ranks, by every way of reducing."""
    bucket_size._crowded = lambda comm: reduction == "by turns"
    torch.manual_seed(0)
    model, x = DistributedDataParallel(Deep(), bucket_cap_mb=SMALL), torch.full((2, 4), rank + 1.0)
    if reduction == "hook":
        model.register_comm_hook(None, default_hooks.allreduce_hook)

    def fail(_grad):
        raise RuntimeError("wrong on all ranks")

    failure = model.module.d.weight.register_hook(fail)
    with pytest.raises(RuntimeError, match="wrong on all ranks"):
        model(-100 * x).sum().backward()
    failure.remove()
    model.zero_grad()
    model(x).sum().backward()
    return [p.grad.numpy().tolist() for p in model.parameters()]


@pytest.mark.parametrize("reduction", ["by turns", "thread", "hook"])
def test_a_backward_after_one_that_failed(reduction):
    for found in run_ranks(2, after_a_failed_backward, "processes", args=(reduction,)):
        for mine, theirs in zip(found, one_after_another(0), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def one_after_another(rank: int) -> list:
    torch.manual_seed(0)
    model = Deep()
    for other in range(2):
        (model(torch.full((2, 4), other + 1.0)).sum() / 2).backward()
    return [p.grad.numpy().tolist() for p in model.parameters()]


def test_what_a_failed_backward_left_does_not_meet_the_next_one():
    wanted = one_after_another(0)
    for found in run_ranks(2, failing_everywhere, "processes"):
        for mine, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def hooked(rank: int) -> bool:
    model = wrapped(True)
    model.register_comm_hook(None, lambda state, bucket: dist.all_reduce(bucket.buffer(), async_op=True).get_future())
    return model.reducer.persistent is None


def test_a_communication_hook_reduces_by_itself():
    assert run_ranks(2, hooked, "processes") == [True, True]
