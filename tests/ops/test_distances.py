"""Distances between all rows of two matrices, by products and by differences."""

import numpy as np
import pytest

import disttorch as torch

EXACTLY, BY_PRODUCTS = "donot_use_mm_for_euclid_dist", "use_mm_for_euclid_dist"


def between(a, b):
    return np.sqrt(np.square(a[..., :, None, :] - b[..., None, :, :]).sum(-1))


@pytest.mark.parametrize(
    ("rows", "others"), [((30, 5), (40, 5)), ((2, 3, 30, 8), (3, 4, 8)), ((0, 4), (30, 4)), ((30, 0), (40, 0))]
)
@pytest.mark.parametrize("mode", [EXACTLY, BY_PRODUCTS, "use_mm_for_euclid_dist_if_necessary"])
def test_values(rows, others, mode):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(rows), rng.standard_normal(others)
    found = torch.cdist(torch.from_numpy(a), torch.from_numpy(b), compute_mode=mode)
    np.testing.assert_allclose(found.numpy(), between(a, b), rtol=1e-12)


def test_gradients_by_products():
    x, y = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (27, 2))
    assert torch.autograd.gradcheck(torch.cdist, (x, y))
    small = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda a, b: torch.cdist(a, b, compute_mode=BY_PRODUCTS), (small, y))


def test_a_row_has_no_gradient_towards_its_like():
    x = torch.arange(90.0).reshape(30, 3).requires_grad_()
    torch.cdist(x, x).sum().backward()
    exact = x.detach().requires_grad_()
    torch.cdist(exact, exact, compute_mode=EXACTLY).sum().backward()
    assert torch.allclose(x.grad, exact.grad, atol=1e-4)


def test_an_unknown_mode():
    with pytest.raises(ValueError, match="quick is not a valid value for compute_mode"):
        torch.cdist(torch.ones(2, 2), torch.ones(2, 2), compute_mode="quick")
