from math import erf, exp, expm1, log1p, pi, sqrt, tanh

import numpy as np
import pytest

from disttorch.kernels import set_num_threads
from disttorch.kernels.onednn.eltwise import FUNCTIONS
from disttorch.kernels.onednn.error_function import BLOCK
from disttorch.kernels.portable.masking import chosen, kept
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


@pytest.mark.parametrize("size", [7, 5000, 150000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_relu_stops_infinite_gradients(kernels, size, dtype):
    y = np.zeros(size, dtype)
    y[2:5] = 1, np.inf, np.nan
    for g in (np.inf, -np.inf, np.nan):
        gx = kernels.relu_backward(np.full(size, g, dtype), y)
        np.testing.assert_array_equal(gx[2:5], np.full(3, g))
        assert gx.dtype == dtype
        assert not np.delete(gx, [2, 3, 4]).any()


@pytest.mark.parametrize("shape", [(), (40,), (3, 50, 40)])
@pytest.mark.parametrize("dtype", [np.bool_, np.int16, np.float32, np.float64, np.complex128])
def test_kept_and_chosen(rng, shape, dtype):
    a, b = (normal(rng, *shape).astype(dtype) for _ in "ab")
    mask = np.asarray(normal(rng, *shape) > 0)
    zero = np.zeros((), dtype)
    np.testing.assert_array_equal(kept(a, mask), np.where(mask, a, zero))
    for one, other in ((a, b), (a, zero), (zero, b), (zero, np.ones((), dtype))):
        got = chosen(mask, one, other)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, np.where(mask, one, other))
    if len(shape) > 1:
        turned = np.swapaxes(b, 0, 2)[:, ::-1].swapaxes(0, 2)
        np.testing.assert_array_equal(chosen(mask, a, turned), np.where(mask, a, turned))
        np.testing.assert_array_equal(chosen(mask[:1], a, b), np.where(mask[:1], a, b))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 4e-16), (np.float32, 2e-7)])
def test_erf(dtype, tolerance):
    x = np.concatenate([np.linspace(-7, 7, 2001), [0.46875, 4, np.inf, -np.inf, np.nan, -0.0]]).astype(dtype)
    y = erf_array(np, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [erf(v) for v in x], atol=tolerance, rtol=0)
    assert np.signbit(y[-1])


def test_erf_of_many(onednn):
    x = np.concatenate([np.linspace(-5, 5, 20_001), np.logspace(-44, 0, 5000), [0.0, -0.0, 1e30, -1e30]]).astype("f4")
    y, exact = onednn.erf(x), np.array([erf(v) for v in x.tolist()])
    assert abs(y - exact).max() <= 4.5e-7
    np.testing.assert_allclose(y, exact, rtol=6e-7, atol=1e-44)
    assert np.array_equal(abs(y[abs(x) >= 4]), np.ones(np.count_nonzero(abs(x) >= 4)))
    assert np.array_equal(np.signbit(y), np.signbit(x))
    for special in (np.nan, np.inf):
        x[7] = special
        np.testing.assert_array_equal(onednn.erf(x), erf_array(np, x))


def test_erf_in_blocks(onednn, two_threads):
    x = np.linspace(-4, 4, BLOCK + 3002, dtype=np.float32).reshape(-1, 2)
    results = []
    for count in (1, 2):
        set_num_threads(count)
        results.append(onednn.erf(x))
    assert results[0].shape == x.shape
    np.testing.assert_allclose(results[0].ravel()[-9:], [erf(v) for v in x.ravel()[-9:].tolist()], rtol=6e-7)
    assert np.array_equal(*results)


def test_dropout(kernels, rng):
    x, keep = normal(rng, 4, 5), rng.random((4, 5)) < 0.5
    assert_close(kernels.dropout(x, keep, 2.0), np.where(keep, 2 * x, 0))


SPECIAL = np.array([np.nan, np.inf, -np.inf, -1, 2], np.float32)


@pytest.mark.parametrize("shape", [(70000,), (2, 6, 80, 80)])
def test_large_relu(kernels, rng, shape):
    """In place and not, plain and channels last, with NaN and infinities."""
    x = np.moveaxis(normal(rng, *shape), -1, 1 if len(shape) > 1 else 0)
    x[(0,) * (x.ndim - 1)][:5] = SPECIAL
    expected = np.maximum(x, 0)
    np.testing.assert_array_equal(kernels.relu_forward(x), expected)
    np.testing.assert_array_equal(kernels.relu_forward(x[..., 1:]), expected[..., 1:])
    assert kernels.relu_forward(x, x) is x
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("size", [1, 1000, 80000])  # one goes in pieces
def test_a_sum_of_a_product_is_rounded_once(kernels, rng, size):
    y, x, c = (normal(rng, size) for _ in "yxc")
    a, b = (float(np.float32(v)) for v in (-1.7, 0.3))
    for factor, term in ((x, c), (x, b), (a, c), (a, b)):
        got = y.copy()
        kernels.multiply_add(got, factor, term)
        exact = y.astype(np.float64) * factor + term
        np.testing.assert_array_equal(got, exact.astype(np.float32))


def sigmoid(v):
    return 1 / (1 + exp(-v))


def mish_slope(v):
    t = tanh(log1p(exp(v)))
    return t + v * sigmoid(v) * (1 - t * t)


ELTWISE = {  # with its settings: function and derivative
    ("leaky_relu", 0.2): (lambda v: v if v > 0 else 0.2 * v, lambda v: 1 if v > 0 else 0.2),
    ("hardtanh", -1, 2.5): (lambda v: min(max(v, -1), 2.5), lambda v: float(-1 < v < 2.5)),
    ("silu",): (lambda v: v * sigmoid(v), lambda v: sigmoid(v) * (1 + v * (1 - sigmoid(v)))),
    ("hardswish",): (
        lambda v: v * min(max(v + 3, 0), 6) / 6,
        lambda v: 0 if v <= -3 else 1 if v >= 3 else v / 3 + 0.5,
    ),
    ("hardsigmoid",): (lambda v: min(max(v + 3, 0), 6) / 6, lambda v: (-3 < v < 3) / 6),
    ("mish",): (lambda v: v * tanh(log1p(exp(v))), mish_slope),
    ("elu", 0.7, 1.0, 1.0): (lambda v: v if v > 0 else 0.7 * expm1(v), lambda v: 1 if v > 0 else 0.7 * exp(v)),
    ("softplus", 1.5, 20): (lambda v: log1p(exp(1.5 * v)) / 1.5, lambda v: sigmoid(1.5 * v)),
    ("log_sigmoid",): (lambda v: -log1p(exp(-v)), lambda v: sigmoid(-v)),
}


@pytest.mark.parametrize("name", ELTWISE, ids=lambda name: name[0])
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_single_pass(onednn, rng, name, layout):
    function, *settings = name
    x, g = normal(rng, 2, 16, 8, 9) * 3, normal(rng, 2, 16, 8, 9)
    formula, derivative = (np.vectorize(f, [float]) for f in ELTWISE[name])
    y = onednn.eltwise_forward(function, layout(x), *settings)
    if FUNCTIONS[function].forward is None:
        assert y is None
    else:
        assert_close(y, formula(x.astype(float)), 1e-5)
    gx = onednn.eltwise_backward(function, g, layout(x), *settings)
    assert_close(gx, g * derivative(x.astype(float)), 1e-4)


@pytest.mark.parametrize("name", ELTWISE, ids=lambda name: name[0])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_single_pass_of_what_is_not_finite(onednn, name, special):
    """Either left to the formula, or right."""
    function, *settings = name
    x = np.full(50, 0.5, np.float32)
    x[7] = special
    y = onednn.eltwise_forward(function, x, *settings)
    if y is not None:
        np.testing.assert_equal(y[7], np.nan if np.isnan(special) else ELTWISE[name][0](special))
    g = np.full(50, 2, np.float32)
    g[7] = special
    gx = onednn.eltwise_backward(function, g, np.full(50, -4, np.float32), *settings)
    if gx is not None:
        slope = ELTWISE[name][1](-4)
        np.testing.assert_allclose(gx[7], special * slope if slope else 0)


@pytest.mark.parametrize(
    "name", [("elu", 1.0, 1.05, 1.0), ("elu", 2.0, 1.0, 0.5), ("softplus", 1.0, 5), ("leaky_relu", 0.0)]
)
def test_settings_that_make_it_another_function(onednn, name):
    function, *settings = name
    x = np.ones(50, np.float32)
    assert onednn.eltwise_backward(function, x, x, *settings) is None
