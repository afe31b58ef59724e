"""Gradients that lie where somebody waits for them (DistributedDataParallel's buckets)."""

import numpy as np
import pytest

import disttorch as torch
from disttorch.autograd.variable import wrap
from disttorch.kernels import for_device

F = torch.nn.functional


def linear(x, w):
    return F.linear(x.flatten(1), w)


def convolution(x, w):
    return F.conv2d(x, w.reshape(6, 3, 3, 3)) if w.ndim == 2 else F.conv2d(x, w)


CASES = {"linear": (linear, (6, 192)), "conv": (convolution, (6, 3, 3, 3)), "reshaped": (convolution, (6, 27))}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("times", [1, 2])
def test_the_first_gradient_lies_in_its_home(case, times):
    """Whether the kernel writes there or the sweep copies, and whether one or two gradients meet."""
    function, shape = CASES[case]
    torch.manual_seed(0)
    x, w = torch.randn(4, 3, 8, 8), torch.randn(*shape, requires_grad=True)
    expected = torch.autograd.grad(sum(function(x * (k + 1), w).square().sum() for k in range(times)), w)[0]
    home = np.full(shape, np.nan, np.float32)
    w._grad_home = wrap(home)
    sum(function(x * (k + 1), w).square().sum() for k in range(times)).backward()
    assert np.shares_memory(w.grad.numpy(), home)
    torch.testing.assert_close(w.grad, expected)
    sum(function(x * (k + 1), w).square().sum() for k in range(times)).backward()  # the second is added
    torch.testing.assert_close(w.grad, expected * 2)


@pytest.mark.parametrize("rows", [4, 600])
def test_kernels_write_a_weights_gradient_where_asked(rows):
    rng = np.random.default_rng(0)
    g, x, w = (rng.standard_normal(s).astype(np.float32) for s in ((rows, 256), (rows, 128), (256, 128)))
    into = np.full(w.shape, np.nan, np.float32)
    gw = for_device("cpu").linear_backward(g, x, w, into=into)[1]
    assert gw is into
    np.testing.assert_allclose(gw, g.T @ x, rtol=1e-4, atol=1e-3)


def test_gradients_that_are_returned_lie_elsewhere():
    """A second pass over a graph that is kept must not write into what the first has accumulated."""
    x, w = torch.randn(4, 3, 8, 8), torch.randn(6, 3, 3, 3, requires_grad=True)
    w._grad_home = wrap(np.zeros(w.shape, np.float32))
    out = F.conv2d(x, w)
    out.backward(torch.ones_like(out), retain_graph=True)
    first = w.grad.clone()
    (returned,) = torch.autograd.grad(out, w, 3 * torch.ones_like(out))
    assert torch.equal(w.grad, first)
    torch.testing.assert_close(returned, 3 * first)
