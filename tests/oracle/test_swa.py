"""optim.swa_utils beside PyTorch's: averages, their batch normalisation, rates, errors."""

import numpy as np
import pytest

import disttorch

torch = pytest.importorskip("torch")
torch.optim.SGD([torch.zeros(1)])  # loads now what PyTorch loads at first use
pytestmark = pytest.mark.oracle


def doubled(average, value, count):
    return average + 2 * (value - average) / (count + 3)


AVERAGES = {
    "mean": lambda s: {},
    "mean-with-buffers": lambda s: {"use_buffers": True},
    "ema": lambda s: {"avg_fn": s.get_ema_avg_fn(0.9)},
    "ema-multi": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.8), "use_buffers": True},
    "swa": lambda s: {"avg_fn": s.get_swa_avg_fn(), "use_buffers": True},
    "swa-multi": lambda s: {"multi_avg_fn": s.get_swa_multi_avg_fn()},
    "own": lambda s: {"avg_fn": doubled},
}


def trained(lib, settings, steps=6):
    lib.manual_seed(0)
    nn, swa = lib.nn, lib.optim.swa_utils
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
    average = swa.AveragedModel(model, **settings(swa))
    optimizer = lib.optim.SGD(model.parameters(), lr=0.1)
    batches = [(lib.randn(8, 3, dtype=lib.float64), None) for _ in range(steps)]
    for x, _ in batches:
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()
        average.update_parameters(model)
    return average, batches


@pytest.mark.parametrize("name", AVERAGES)
def test_averages(name):
    found = []
    for lib in (disttorch, torch):
        average, batches = trained(lib, AVERAGES[name])
        before = {k: v.numpy() for k, v in average.state_dict().items()}
        lib.optim.swa_utils.update_bn(batches, average)
        assert average.training
        assert average.module[1].momentum == 0.1
        found.append((before, {k: v.numpy() for k, v in average.state_dict().items()}, repr(average)))
    assert found[0][2] == found[1][2]
    for mine, theirs in zip(found[0][:2], found[1][:2], strict=True):
        assert list(mine) == list(theirs)
        for key, value in theirs.items():
            np.testing.assert_allclose(mine[key], value, rtol=1e-6, err_msg=key)  # PyTorch keeps 1 / n in float32


def test_an_average_of_integers():
    for lib in (disttorch, torch):
        swa = lib.optim.swa_utils
        a, b = lib.tensor([10, 20]), lib.tensor([20, 50])
        swa.get_ema_multi_avg_fn(0.5)([a], [b], None)
        assert a.tolist() == [15, 35]


@pytest.mark.parametrize("kwargs", [{}, {"anneal_strategy": "linear"}, {"anneal_epochs": 0}, {"swa_lr": [0.3, 0.01]}])
def test_rates(kwargs):
    seen = []
    for lib in (disttorch, torch):
        groups = [{"params": [lib.ones(1)]}, {"params": [lib.ones(1)], "lr": 0.2}]
        optimizer = lib.optim.SGD(groups, lr=0.1)
        other = lib.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        swa = lib.optim.swa_utils.SWALR(optimizer, **{"swa_lr": 0.05, "anneal_epochs": 4, **kwargs})
        rates = []
        for i in range(9):
            optimizer.step()
            (other if i < 2 else swa).step()
            rates += swa.get_last_lr() + [g["lr"] for g in optimizer.param_groups]
        seen.append((rates, set(swa.state_dict())))
        fresh = lib.optim.swa_utils.SWALR(lib.optim.SGD(groups, lr=0.1), swa_lr=0.05)
        fresh.load_state_dict(swa.state_dict())
        assert fresh.last_epoch == swa.last_epoch
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-12)
    assert seen[0][1] == seen[1][1]


BAD = [
    lambda lib, s, o: s.SWALR(o, 0.1, anneal_strategy="no"),
    lambda lib, s, o: s.SWALR(o, 0.1, anneal_epochs=-1),
    lambda lib, s, o: s.SWALR(o, [0.1, 0.2]),
    lambda lib, s, o: s.get_ema_avg_fn(1.5),
    lambda lib, s, o: s.get_ema_multi_avg_fn(-0.5),
    lambda lib, s, o: s.AveragedModel(lib.nn.Linear(1, 1), avg_fn=doubled, multi_avg_fn=doubled),
]


@pytest.mark.parametrize("bad", range(len(BAD)))
def test_what_is_refused(bad):
    said = []
    for lib in (disttorch, torch):
        optimizer = lib.optim.SGD([lib.ones(1)], lr=0.1)
        with pytest.raises((ValueError, AssertionError)) as caught:
            BAD[bad](lib, lib.optim.swa_utils, optimizer)
        said.append((caught.type, str(caught.value)))
    assert said[0] == said[1]
