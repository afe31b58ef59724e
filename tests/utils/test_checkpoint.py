"""Checkpointing: the same gradients, the forward run twice, the same dropout."""

import pytest

import disttorch
from disttorch import nn
from disttorch.utils.checkpoint import checkpoint, checkpoint_sequential


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_the_same_gradients(use_reentrant):
    layer, x = nn.Linear(3, 3), disttorch.randn(4, 3, requires_grad=True)
    calls = []

    def part(v, scale, *, bias):
        calls.append(1)
        return layer(v).tanh() * scale + bias

    found = []
    for run in (part, lambda *a, **k: checkpoint(part, *a, use_reentrant=use_reentrant, **k)):
        layer.zero_grad()
        x.grad = None
        (run(x, 2.0, bias=1.0) ** 2).sum().backward()
        found.append([x.grad.clone(), *[p.grad.clone() for p in layer.parameters()]])
    assert len(calls) == 3
    for a, b in zip(*found, strict=True):
        assert disttorch.equal(a, b)


def test_dropout_is_the_same_again():
    dropout, x = nn.Dropout(0.5), disttorch.ones(100, requires_grad=True)
    out = checkpoint(dropout, x, use_reentrant=False)
    expected = disttorch.rand(1, generator=disttorch.Generator().manual_seed(0))
    before = disttorch.get_rng_state()
    out.sum().backward()
    assert disttorch.equal(x.grad, out.detach())
    assert disttorch.equal(disttorch.get_rng_state(), before)
    assert expected.numel() == 1


def test_only_parameters_need_gradients():
    layer = nn.Linear(2, 1)
    checkpoint(layer, disttorch.ones(1, 2), use_reentrant=False).sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1]]


def test_several_outputs():
    x = disttorch.ones(2, requires_grad=True)
    a, b = checkpoint(lambda v: (v * 2, v * 3), x, use_reentrant=False)
    (a.sum() + b.sum()).backward()
    assert x.grad.tolist() == [5, 5]


def test_sequential():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(5)])
    x = disttorch.randn(3, 2, requires_grad=True)
    model(x).sum().backward()
    wanted, x.grad = x.grad, None
    checkpoint_sequential(model, 2, x, use_reentrant=False).sum().backward()
    assert disttorch.allclose(x.grad, wanted)
