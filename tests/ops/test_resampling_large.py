"""Resizing large inputs, which is a product with all weights, as the sum of few terms that it is for others."""

import pytest

import disttorch as torch
from disttorch.nn import functional as F


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(64, 30), (17, 55)])
def test_large_pictures(mode, size):
    x = torch.linspace(-3, 5, 24 * 32 * 40).sin().reshape(2, 12, 32, 40).requires_grad_()
    exact = x.detach().double().requires_grad_()  # by taps
    y, wanted = F.interpolate(x, size, mode=mode), F.interpolate(exact, size, mode=mode)
    assert torch.allclose(y.double(), wanted, atol=1e-5)
    assert torch.allclose(
        torch.autograd.grad(y, x, y.detach())[0].double(),
        torch.autograd.grad(wanted, exact, wanted.detach())[0],
        atol=1e-4,
    )


def test_what_is_not_finite_stays_where_it_is(recwarn):
    x = torch.ones(1, 12, 40, 40)
    x[0, 0, 5, 5], x[0, 1, 0, 0] = torch.nan, torch.inf
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    assert y[0, 2:].isfinite().all()
    assert 0 < (~y.isfinite()).sum() < 100
    assert not recwarn.list
