"""Reductions over rows, which are products with ones: as exact as sums, also of what is not finite."""

import numpy as np
import pytest

import disttorch as torch
from disttorch.ops.reduction import LONG, SHORT, WHOLE

FUNCTIONS = {
    "sum": lambda a, axis: a.sum(axis),
    "mean": lambda a, axis: a.mean(axis),
    "var": lambda a, axis: a.var(axis, ddof=1),
    "std": lambda a, axis: a.std(axis, ddof=1),
    "norm": lambda a, axis: np.sqrt((a * a).sum(axis)),
}


def reduce(name, x, keepdim=False):
    return x.norm(2, -1, keepdim) if name == "norm" else getattr(x, name)(-1, keepdim=keepdim)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("width", [2, 64, SHORT, SHORT + 1, 5 * SHORT])
def test_many_short_rows(name, width):
    x = np.random.default_rng(0).standard_normal((3, LONG // width + 1, width)).astype(np.float32) + 1
    found = reduce(name, torch.from_numpy(x))
    assert found.dtype is torch.float32
    np.testing.assert_allclose(found.numpy(), FUNCTIONS[name](x.astype(float), -1), rtol=2e-5, atol=1e-5)
    assert reduce(name, torch.from_numpy(x), True).shape == (*x.shape[:-1], 1)


@pytest.mark.parametrize("name", ["sum", "mean", "norm"])
@pytest.mark.parametrize("width", [8, SHORT + 8])
def test_what_is_not_finite_stays_in_its_row(name, width):
    x = torch.ones(LONG // 8, width)
    x[1, 3], x[2, 0], x[3, 7] = torch.inf, -torch.inf, torch.nan
    found = reduce(name, x)
    assert found[1] == torch.inf
    assert found[2] == (torch.inf if name == "norm" else -torch.inf)
    assert found[3].isnan()
    assert found.isfinite().sum() == len(x) - 3


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_with_and_without_a_graph_of_their_own(name):
    x = (torch.linspace(-2, 3, LONG) ** 2).reshape(-1, 8).requires_grad_()
    y = reduce(name, x)
    (plain,) = torch.autograd.grad(y, x, y.detach(), retain_graph=True)
    (again,) = torch.autograd.grad(y, x, y.detach(), create_graph=True)
    assert torch.allclose(plain, again, rtol=1e-6)
    small = torch.linspace(-2, 3, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: reduce(name, x), (small,))


@pytest.mark.parametrize("name", ["amax", "amin", "logsumexp"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_extremes_and_logsumexp_of_many_short_rows(name, keepdim):
    x = np.random.default_rng(0).standard_normal((4, LONG // 4, 10)).astype(np.float32) * 20
    x[0, 0, 3], x[0, 1, 9], x[0, 2] = np.nan, np.inf, -np.inf
    found = getattr(torch.from_numpy(x), name)(-1, keepdim)
    wide = getattr(torch.from_numpy(x.astype(np.float64)), name)(-1, keepdim)  # without blocks
    assert found.shape == wide.shape
    np.testing.assert_allclose(found.numpy(), wide.numpy(), rtol=1e-6)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("size", [WHOLE, WHOLE + 5])
def test_all_elements_of_long_tensors(reduce, size):
    x = torch.linspace(-1, 3, size).sin().reshape(1, -1, 1)
    exact = getattr(x.double(), reduce)()
    assert abs(getattr(x, reduce)() / exact - 1) < 1e-6
    assert getattr(x, reduce)((0, 1, 2), keepdim=True).shape == (1, 1, 1)
    x[0, 3, 0] = torch.inf
    assert getattr(x, reduce)() == torch.inf
    x[0, 4, 0] = -torch.inf
    assert getattr(x, reduce)().isnan()
