from math import erf, exp, pi, sqrt, tanh

import numpy as np
import pytest

from disttorch.kernels.portable.special import erf as erf_array

from .conftest import assert_close, channels_last, normal

SLOPE = sqrt(2 / pi)
FORMULAS = {  # function and derivative
    "relu": (lambda v: max(v, 0), lambda v: float(v > 0)),
    "tanh": (tanh, lambda v: 1 - tanh(v) ** 2),
    "sigmoid": (lambda v: 1 / (1 + exp(-v)), lambda v: exp(-v) / (1 + exp(-v)) ** 2),
    "gelu-none": (
        lambda v: v * 0.5 * (1 + erf(v / sqrt(2))),
        lambda v: 0.5 * (1 + erf(v / sqrt(2))) + v * exp(-v * v / 2) / sqrt(2 * pi),
    ),
    "gelu-tanh": (
        lambda v: 0.5 * v * (1 + tanh(SLOPE * (v + 0.044715 * v**3))),
        lambda v: (
            0.5 * (1 + tanh(SLOPE * (v + 0.044715 * v**3)))
            + 0.5 * v * (1 - tanh(SLOPE * (v + 0.044715 * v**3)) ** 2) * SLOPE * (1 + 3 * 0.044715 * v * v)
        ),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("shape", [(7,), (2, 16, 8, 9)])  # small ones stay with NumPy
@pytest.mark.parametrize("layout", [np.asarray, lambda x: channels_last(x) if x.ndim > 1 else x])
def test_function_and_gradient(kernels, rng, name, shape, layout):
    function, *approximate = name.split("-")
    x, g = normal(rng, *shape) * 3, normal(rng, *shape)
    formula, derivative = (np.vectorize(f, [float]) for f in FORMULAS[name])
    y = getattr(kernels, f"{function}_forward")(layout(x), *approximate)
    assert_close(y, formula(x.astype(float)), 1e-5)
    saved = layout(x) if function == "gelu" else y
    gx = getattr(kernels, f"{function}_backward")(g, saved, *approximate)
    assert_close(gx, g * derivative(x.astype(float)), 1e-4)


def test_relu_passes_nan(kernels):
    x = np.full(5000, -1, np.float32)
    x[7] = np.nan
    y = kernels.relu_forward(x)
    assert np.isnan(y[7])
    assert not np.delete(y, 7).any()


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 4e-16), (np.float32, 2e-7)])
def test_erf(dtype, tolerance):
    x = np.concatenate([np.linspace(-7, 7, 2001), [0.46875, 4, np.inf, -np.inf, np.nan, -0.0]]).astype(dtype)
    y = erf_array(np, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [erf(v) for v in x], atol=tolerance, rtol=0)
    assert np.signbit(y[-1])


def test_dropout(kernels, rng):
    x, keep = normal(rng, 4, 5), rng.random((4, 5)) < 0.5
    assert_close(kernels.dropout(x, keep, 2.0), np.where(keep, 2 * x, 0))
