"""States by the parameters' own names, whatever is wrapped."""

import numpy as np
import pytest

import disttorch as torch
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from disttorch.nn.parallel import DistributedDataParallel

NAMES = ["0.weight", "0.bias", "1.weight", "1.bias"]


def net(fill=1.0):
    made = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        for p in made.parameters():
            p.fill_(fill)
    return made


def trained(model):
    """-> an optimizer after two steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    return optimizer


def test_a_state_moves_on_to_other_groups_of_parameters():
    model = net()
    optimizer = trained(model)
    weights, state = get_state_dict(model, optimizer)
    assert list(weights) == list(state["state"]) == NAMES
    assert state["param_groups"][0]["params"] == NAMES
    assert state["param_groups"][0]["lr"] == 0.1

    other = net(5.0)
    two_groups = torch.optim.Adam([{"params": other[1].parameters()}, {"params": other[0].parameters()}], lr=0.7)
    keys = set_state_dict(other, two_groups, model_state_dict=weights, optim_state_dict=state)
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(optimizer.state[a]["exp_avg"], two_groups.state[b]["exp_avg"])
    assert [group["lr"] for group in two_groups.param_groups] == [0.1, 0.1]


def test_parts_of_a_state():
    model = net()
    model[0].bias.requires_grad_(False)
    optimizer = trained(model)
    unfrozen = StateDictOptions(ignore_frozen_params=True)
    assert list(get_model_state_dict(model, options=unfrozen)) == ["0.weight", "1.weight", "1.bias"]
    assert list(get_model_state_dict(model, submodules={model[1]})) == ["1.weight", "1.bias"]
    below = StateDictOptions(keep_submodule_prefixes=False)
    assert list(get_model_state_dict(model, submodules={model[1]}, options=below)) == ["weight", "bias"]
    part = get_optimizer_state_dict(model, optimizer, submodules={model[0]})
    assert list(part["state"]) == ["0.weight"]
    assert part["param_groups"][0]["params"] == ["0.weight", "0.bias"]


def test_what_does_not_fit_is_named():
    model = net()
    with pytest.raises(RuntimeError, match="Unexpected key"):
        set_model_state_dict(model, {**get_model_state_dict(model), "2.weight": torch.ones(1)})
    loose = StateDictOptions(strict=False)
    assert set_model_state_dict(model, {"0.bias": torch.ones(2)}, options=loose).missing_keys == [
        n for n in NAMES if n != "0.bias"
    ]
    with pytest.raises(RuntimeError, match=r"no group with the parameter 0\.weight"):
        set_optimizer_state_dict(model, trained(model), {"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match="full_state_dict must be True"):
        set_model_state_dict(model, {}, options=StateDictOptions(broadcast_from_rank0=True))
    with pytest.raises(NotImplementedError, match="flatten_optimizer_state_dict"):
        get_model_state_dict(model, options=StateDictOptions(flatten_optimizer_state_dict=True))


def wrapped(rank):
    model = DistributedDataParallel(net())
    optimizer = trained(model)
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, state = get_state_dict(model, optimizer, options=whole)
    assert list(weights) == (NAMES if rank == 0 else [])

    other = nn.Sequential(nn.Identity(), DistributedDataParallel(net(5.0)))  # a part is wrapped
    assert list(get_model_state_dict(other)) == [f"1.{name}" for name in NAMES]
    plain = net(7.0)
    fresh = torch.optim.Adam(plain.parameters(), lr=0.5)
    from_first = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_state_dict(plain, fresh, model_state_dict=weights, optim_state_dict=state, options=from_first)
    assert [p.tolist() for p in plain.parameters()] == [p.tolist() for p in model.parameters()]
    return fresh.state[plain[0].weight]["step"].item(), fresh.param_groups[0]["lr"]


def test_wrappers_do_not_show():
    assert run_ranks(2, wrapped, timeout=60) == [(2, 0.1)] * 2


@pytest.mark.oracle
def test_names_and_numbers_are_pytorchs(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # which it would set itself
    real = pytest.importorskip("torch")
    theirs = pytest.importorskip("torch.distributed.checkpoint.state_dict")
    model = real.nn.Sequential(real.nn.Linear(2, 2), real.nn.Linear(2, 1))
    with real.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
    optimizer = real.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(real.ones(1, 2)).sum().backward()
        optimizer.step()
    weights, state = theirs.get_state_dict(model, optimizer)
    own = net()
    mine, my_state = get_state_dict(own, trained(own))
    assert list(mine) == list(weights)
    assert my_state["param_groups"][0]["params"] == state["param_groups"][0]["params"]
    for name in NAMES:
        np.testing.assert_allclose(mine[name].numpy(), weights[name].numpy(), rtol=1e-6)
        assert set(my_state["state"][name]) == set(state["state"][name])
        found = my_state["state"][name]["exp_avg"].numpy()
        np.testing.assert_allclose(found, state["state"][name]["exp_avg"].numpy(), rtol=1e-6)
