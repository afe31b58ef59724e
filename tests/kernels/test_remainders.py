"""Remainders of many numbers have the bits of those of few."""

import numpy as np
import pytest

import disttorch as torch
from disttorch.kernels.portable import remainders
from disttorch.kernels.portable.remainders import MANY

NAMES = ["fmod", "remainder"]


def same_bits(found, wanted):
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


def by_few(name, a, b):
    """The same, some elements at a time."""
    parts = [slice(i, i + 1000) for i in range(0, a.size, 1000)]
    return np.concatenate([getattr(remainders, name)(a[at], b if np.ndim(b) == 0 else b[at]) for at in parts])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("divisor", ["number", "negative", "array"])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e6])
def test_many_are_as_few(name, divisor, scale, rng):
    a = (rng.standard_normal(2 * MANY + 3) * scale).astype(np.float32)
    a[:300] = np.arange(-150, 150) * np.float32(0.3) * np.float32(scale)  # quotients that are nearly whole
    b = {"number": np.float32(0.3), "negative": np.float32(-0.3), "array": rng.standard_normal(a.size)}[divisor]
    b = (b * np.float32(scale)).astype(np.float32)
    same_bits(getattr(remainders, name)(a, b), by_few(name, a, b))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("odd", [np.inf, np.nan, 0.0, 1e-30, 3e38])
def test_what_is_not_finite_zero_or_far_apart(name, odd, rng):
    a = rng.standard_normal(MANY).astype(np.float32)
    b = rng.standard_normal(MANY).astype(np.float32)
    with np.errstate(all="ignore"):
        b[7] = odd
        same_bits(getattr(remainders, name)(a, b), by_few(name, a, b))
        a[5] = odd
        same_bits(getattr(remainders, name)(a, np.float32(0.3)), by_few(name, a, np.float32(0.3)))


@pytest.mark.parametrize("count", [1, MANY])
def test_zeros_keep_the_sign_of_what_is_divided(count):
    x = torch.tensor([-1.0, 1.0]).repeat(count)
    for divisor in (0.5, -0.5):
        assert repr((x % divisor)[:2]) == "tensor([-0., 0.])"
        assert repr(torch.fmod(x, divisor)[:2]) == "tensor([-0., 0.])"
