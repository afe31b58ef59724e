"""Bounds of few and of many elements, which are kept by other functions of NumPy's."""

import numpy as np
import pytest

import disttorch as torch
from disttorch.ops.clamping import MANY

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (None, 1.0), (0.0, None), (1, -1), (NAN, 1.0), (-INF, INF)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_elements_are_clamped_as_few_are(low, high, dtype):
    few = torch.tensor([NAN, INF, -INF, -2, 2, 0.5], dtype=dtype)
    many = few.repeat(MANY)
    found, wanted = many.clamp(low, high), few.clamp(low, high).repeat(MANY)
    assert found.dtype is dtype
    np.testing.assert_array_equal(found.numpy(), wanted.numpy())


def test_bounds_of_their_own():
    x, low = torch.linspace(-2, 2, MANY), torch.linspace(-1, 1, MANY)
    assert x.clamp(low).equal(torch.maximum(x, low))
    assert x.clamp(low, torch.ones(1)).equal(torch.minimum(torch.maximum(x, low), torch.ones(1)))


@pytest.mark.parametrize("weight", [0.3, 0.5, 0.7])
def test_lerp_by_a_number_and_by_a_tensor(weight):
    a, b = torch.linspace(-3, 5, 100), torch.linspace(7, -2, 100)
    assert torch.lerp(a, b, weight).equal(torch.lerp(a, b, torch.full((100,), weight)))
