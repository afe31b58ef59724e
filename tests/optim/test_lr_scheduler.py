"""Schedulers: the chained formulas meet the closed ones; recorded rates; warnings. (Beside PyTorch: oracle/.)"""

import math

import pytest

import disttorch
from disttorch import optim
from disttorch.optim import lr_scheduler

CLOSED = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5, 5], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.25, 0.75, 6),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 9, 2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 7, 0.01),
}


def sgd(lr=0.1, momentum=0.9):
    return optim.SGD([disttorch.ones(1, requires_grad=True)], lr=lr, momentum=momentum)


def rates(optimizer, scheduler, count):
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(count):
        optimizer.step()
        scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


@pytest.mark.parametrize("name", CLOSED)
def test_the_chained_formula_meets_the_closed_one(name):
    optimizer = sgd()
    scheduler = CLOSED[name](optimizer)
    for epoch in range(1, 20):
        optimizer.step()
        scheduler.step()
        assert scheduler.last_epoch == epoch
        assert scheduler.get_last_lr() == pytest.approx(scheduler._get_closed_form_lr(), rel=1e-9, abs=1e-12)


def test_one_cycle_meets_its_corners():
    optimizer = sgd()
    seen = rates(optimizer, lr_scheduler.OneCycleLR(optimizer, 1.0, 101, pct_start=0.3), 100)
    assert seen[0] == pytest.approx(1 / 25)
    assert max(seen) == pytest.approx(1.0, rel=1e-3)
    assert seen.index(max(seen)) in (29, 30)
    assert seen[-1] == pytest.approx(1 / 25 / 1e4)
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.95)


def test_warm_restarts():
    optimizer = sgd()
    seen = rates(optimizer, lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 2), 8)
    half = lambda k, n: 0.1 * (1 + math.cos(math.pi * k / n)) / 2  # noqa: E731
    assert seen == pytest.approx(
        [0.1, half(1, 2), 0.1, half(1, 4), half(2, 4), half(3, 4), 0.1, half(1, 8), half(2, 8)]
    )


def test_cyclic():
    optimizer = sgd()
    seen = rates(optimizer, lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, 2, 4), 7)
    assert seen == pytest.approx([0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0, 0.5])


def test_one_after_the_other():
    optimizer = sgd(1.0)
    parts = [lr_scheduler.ConstantLR(optimizer, 0.1, 100), lr_scheduler.ExponentialLR(optimizer, 0.5)]
    assert rates(optimizer, lr_scheduler.SequentialLR(optimizer, parts, [2]), 4) == pytest.approx(
        [0.1, 0.1, 1.0, 0.5, 0.25]
    )


def test_plateau_waits_its_patience():
    optimizer = sgd()
    scheduler, seen = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5, cooldown=1), []
    for metric in (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1):
        scheduler.step(metric)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025]


def test_a_rate_in_a_tensor_is_changed_in_place():
    lr = disttorch.tensor(0.5)
    optimizer = sgd(lr)
    scheduler = lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.step()
    scheduler.step()
    assert lr.item() == 0.25
    assert scheduler.get_last_lr()[0].item() == 0.25


def test_warnings():
    scheduler = lr_scheduler.StepLR(sgd(), 3)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    with pytest.warns(UserWarning, match=r"please use `get_last_lr\(\)`"):
        scheduler.get_lr()
    with pytest.warns(UserWarning, match="The epoch parameter"):
        scheduler.step(5)
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        lr_scheduler.StepLR(3, 3)
