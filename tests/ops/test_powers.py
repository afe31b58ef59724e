"""Whole powers of numbers of either sign, against NumPy in double precision."""

import numpy as np
import pytest

import disttorch as torch

VALUES = np.array([0.0, -0.0, 3.5, -3.5, 2.0, -2.0, 0.5, -0.5, np.inf, -np.inf, np.nan, *np.linspace(-4, 4, 50)], "f")


@pytest.mark.parametrize("exponent", [3, 3.0, 4, 5, 7.0, 10, 1, 0, -1, -2, -3, -7])
def test_a_whole_power_has_its_sign(exponent):
    with np.errstate(all="ignore"):
        expected = np.power(VALUES.astype(np.float64), exponent)
    found = (torch.from_numpy(VALUES) ** exponent).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=3e-7)
    known = ~np.isnan(VALUES)
    assert (np.signbit(found) == np.signbit(expected))[known].all()


def test_powers_that_are_not_whole_of_negative_numbers_are_nan():
    assert (torch.tensor([-2.0, -1.0]) ** 2.5).isnan().all()


@pytest.mark.parametrize("exponent", [3, 4, 5, -1, -2])
def test_gradients_of_whole_powers(exponent):
    x = torch.linspace(-2, 2, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: x**exponent, (x,))
    assert torch.autograd.gradgradcheck(lambda x: x**exponent, (x,))
