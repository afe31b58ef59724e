"""Ranks draw random numbers of their own: threads too, however they take turns."""

import sys

import pytest

import disttorch as torch
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.nn.parallel import DataParallel
from disttorch.random import own_generators


@pytest.fixture
def restless():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def draws(rank, seed=None):
    if seed is not None:
        torch.manual_seed(seed)
    return [torch.randn(3).tolist() for _ in range(200)] + [float(torch.rand(1)), torch.randperm(9).tolist()]


def test_threads_with_the_same_seed_draw_the_same(restless):
    torch.manual_seed(7)
    alone = draws(0)
    assert run_ranks(4, draws, args=(7,)) == [alone] * 4


def test_ranks_draw_differently_and_in_every_run_alike(restless):
    torch.manual_seed(3)
    first, after = run_ranks(3, draws), float(torch.rand(1))
    torch.manual_seed(3)
    second = run_ranks(3, draws, "processes")
    assert first == second
    assert float(torch.rand(1)) == after
    assert first[0] != first[1] != first[2] != first[0]
    assert run_ranks(3, draws) != first


def devices_draw(rank, seed=True):
    if seed:
        torch.cuda.manual_seed_all(rank)
    return [torch.randn(3, device="cuda").tolist() for _ in range(100)]


def test_devices_of_ranks_draw_their_own(restless, simulated_devices):
    simulated_devices(2)
    assert run_ranks(2, devices_draw) == [run_ranks(1, devices_draw)[0], run_ranks(2, devices_draw)[1]]
    first, second = run_ranks(2, devices_draw, args=(False,))
    assert first != second


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn(x.shape, device=x.device)


def replicas_draw(rank):
    torch.manual_seed(5)
    return DataParallel(Noise())(torch.zeros(4, 2, device="cuda")).tolist()


def test_replicas_draw_as_their_rank_does(restless, simulated_devices):
    simulated_devices(2)
    torch.manual_seed(5)
    alone = replicas_draw(0)
    assert run_ranks(2, replicas_draw) == [alone] * 2


def test_a_thread_draws_as_before_afterwards():
    torch.manual_seed(0)
    expected = torch.rand(2).tolist()
    torch.manual_seed(0)
    for seed in (4, 5):
        with own_generators(seed):
            assert torch.initial_seed() == seed
            inside = torch.rand(2).tolist()
            torch.manual_seed(seed)
            assert torch.rand(2).tolist() == inside
    assert torch.initial_seed() == 0
    assert torch.rand(2).tolist() == expected
