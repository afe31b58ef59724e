"""Resizing large inputs, which is a product with all weights, as the sum of few terms that it is for others."""

import pytest

import disttorch as torch
from disttorch.nn import functional as F


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest", "nearest-exact"])
@pytest.mark.parametrize("size", [(64, 30), (17, 55), (64, 80), (16, 20), (96, 160)])
@pytest.mark.parametrize("last", [False, True])
def test_large_pictures(mode, size, last):
    x = torch.linspace(-3, 5, 24 * 32 * 40).sin().reshape(2, 12, 32, 40)
    x = (x.to(memory_format=torch.channels_last) if last else x).requires_grad_()
    exact = x.detach().double().requires_grad_()  # by taps
    y, wanted = F.interpolate(x, size, mode=mode), F.interpolate(exact, size, mode=mode)
    assert torch.allclose(y.double(), wanted, atol=1e-5)
    assert torch.allclose(
        torch.autograd.grad(y, x, y.detach())[0].double(),
        torch.autograd.grad(wanted, exact, wanted.detach())[0],
        atol=1e-4,
    )


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("last", [False, True])
def test_some_channels_of_pictures(mode, last):
    """As a network resizes what it joins to something else, or cuts off it: neither lies in one piece."""
    x = torch.linspace(-3, 5, 24 * 32 * 40).sin().reshape(1, 24, 32, 40)
    x = (x.to(memory_format=torch.channels_last) if last else x).requires_grad_()
    other = torch.ones(1, 7, 64, 80)
    found, wanted = [
        torch.cat([F.interpolate(part, scale_factor=2, mode=mode), other.to(part.dtype)], 1)
        for part in (x[:, 5:17], x.double()[:, 5:17])
    ]
    assert torch.allclose(found.double(), wanted, atol=1e-5)
    g = found.detach().cos()
    assert torch.allclose(torch.autograd.grad(found, x, g)[0], torch.autograd.grad(wanted, x, g.double())[0], atol=1e-4)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_gradients_of_gradients(mode):
    x = torch.linspace(-3, 5, 12 * 30 * 30).sin().reshape(1, 12, 30, 30).requires_grad_()
    y = F.interpolate(x, scale_factor=2, mode=mode)
    g = y.detach().cos().requires_grad_()
    (gx,) = torch.autograd.grad(y, x, g, create_graph=True)
    (gg,) = torch.autograd.grad(gx, g, x.detach())
    assert torch.allclose(gg, y.detach(), atol=1e-6)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_results_larger_than_the_caches(mode):
    """Such a result oneDNN writes past the caches, which takes whole cache lines."""
    x = torch.ones(1, 16, 600, 600).to(memory_format=torch.channels_last).requires_grad_()
    y = F.interpolate(x, scale_factor=2, mode=mode)
    (gx,) = torch.autograd.grad(y, x, y.detach())
    assert (y == 1).all()
    assert torch.allclose(gx, 4 * torch.ones(()))


def test_what_is_not_finite_stays_where_it_is(recwarn):
    x = torch.ones(1, 12, 40, 40)
    x[0, 0, 5, 5], x[0, 1, 0, 0] = torch.nan, torch.inf
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    assert y[0, 2:].isfinite().all()
    assert 0 < (~y.isfinite()).sum() < 100
    assert not recwarn.list
