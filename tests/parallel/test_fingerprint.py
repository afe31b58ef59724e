"""Parameters that differ between ranks are found, and named."""

import numpy as np
import pytest

import disttorch as torch
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.nn.parallel import DistributedDataParallel
from disttorch.nn.parallel.fingerprint import interval_from, odd_ones


@pytest.mark.parametrize(
    ("checksums", "odd"),
    [
        ([[1, 2], [1, 2]], []),
        ([[1, 2], [1, 3]], [(1, 1)]),  # of two, rank 0 is right
        ([[9, 2], [1, 2], [1, 2]], [(0, 0)]),  # the odd one may be rank 0
        ([[1, 2], [5, 2], [1, 7], [1, 2]], [(1, 0), (2, 1)]),
    ],
)
def test_who_is_odd(checksums, odd):
    assert odd_ones(np.array(checksums)) == odd


def test_the_variable():
    assert interval_from({}) == 0
    assert interval_from({"DISTTORCH_CHECK_PARAMETERS": "10"}) == 10
    with pytest.raises(ValueError, match="DISTTORCH_CHECK_PARAMETERS must be a number of steps from 0"):
        interval_from({"DISTTORCH_CHECK_PARAMETERS": "often"})


def drifting(rank: int):
    model = DistributedDataParallel(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))
    for step in range(5):
        if (rank, step) == (2, 2):
            with torch.no_grad():
                model.module[1].weight[0, 1] += 1
        try:
            model(torch.ones(1, 2)).sum().backward()
        except RuntimeError as error:
            return step, str(error)
    return None


def test_a_rank_that_drifts_is_named(monkeypatch):
    monkeypatch.setenv("DISTTORCH_CHECK_PARAMETERS", "2")
    text = "DDP expects the same parameters on all ranks, but rank 2 has other values than most in 1.weight, "
    text += "before step 2."
    assert run_ranks(3, drifting) == [(2, text)] * 3


def test_it_is_found_at_the_next_comparison_only(monkeypatch):
    monkeypatch.setenv("DISTTORCH_CHECK_PARAMETERS", "3")
    assert [step for step, _ in run_ranks(3, drifting)] == [3] * 3
    monkeypatch.delenv("DISTTORCH_CHECK_PARAMETERS")
    assert run_ranks(3, drifting) == [None] * 3


def unsynchronised(rank: int):
    made = nn.Linear(1, 1)
    with torch.no_grad():
        made.bias.fill_(rank)
        made.weight.fill_(1)
    model = DistributedDataParallel(made, init_sync=False)
    with pytest.raises(RuntimeError, match="rank 1 has other values than most in bias, before step 0"):
        model(torch.ones(1, 1))


def test_values_are_compared_before_the_first_step(monkeypatch):
    monkeypatch.setenv("DISTTORCH_CHECK_PARAMETERS", "100")
    run_ranks(2, unsynchronised)
