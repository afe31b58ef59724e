"""bfloat16: what oneDNN computes in it, and what is computed in float32 and rounded, on either backend."""

import ml_dtypes
import numpy as np
import pytest

from disttorch.kernels.portable import Portable, precision
from disttorch.kernels.threads import get_num_threads, set_num_threads

from .conftest import channels_last, normal

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
UNIT = 2.0**-8  # the spacing of bfloat16 numbers below 1
GEOMETRIES = [  # x, w, (stride, padding, dilation, groups)
    ((4, 16, 14, 14), (32, 16, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
    ((4, 3, 20, 21), (6, 3, 5, 5), ((1, 1), (0, 0), (1, 1), 1)),
    ((2, 128, 8, 8), (256, 128, 3, 3), ((2, 2), (1, 1), (1, 1), 1)),
    ((4, 16, 14, 14), (16, 1, 3, 3), ((1, 1), (1, 1), (1, 1), 16)),
    ((4, 16, 14, 14), (16, 1, 5, 5), ((2, 2), (2, 2), (1, 1), 16)),
    ((3, 8, 50), (16, 8, 3), ((1,), (1,), (1,), 1)),
]


def narrow(rng, *shape):
    return normal(rng, *shape).astype(BFLOAT16)


def wide(x):
    return x.astype(np.float32)


def assert_rounded(actual, expected):
    """`expected`, a float32 array, rounded to bfloat16, but for numbers that lie between two of them."""
    assert actual.dtype == BFLOAT16
    assert actual.shape == expected.shape
    largest = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(wide(actual), expected, rtol=UNIT, atol=UNIT / 8 * largest)


@pytest.fixture(params=["multiplied", "only converted"])
def processor(request, kernels, monkeypatch):
    """With and without the instruction that multiplies bfloat16."""
    if request.param == "only converted" and kernels.name == "onednn":
        monkeypatch.setattr(kernels.engine, "multiplies_bfloat16", False)


@pytest.mark.parametrize(("x_shape", "w_shape", "geometry"), GEOMETRIES)
def test_convolution_and_its_gradients(kernels, processor, rng, x_shape, w_shape, geometry):
    x, w, b = narrow(rng, *x_shape), narrow(rng, *w_shape), narrow(rng, w_shape[0])
    y = kernels.conv_forward(x, w, b, *geometry)
    assert_rounded(y, kernels.conv_forward(wide(x), wide(w), wide(b), *geometry))
    g, into = channels_last(narrow(rng, *y.shape)), np.full(w_shape, np.nan, BFLOAT16)
    found = kernels.conv_backward(g, x, w, *geometry, (True, True, True), into)
    expected = kernels.conv_backward(wide(g), wide(x), wide(w), *geometry)
    for a, e in zip(found, expected, strict=True):
        assert_rounded(a, e)


@pytest.mark.parametrize("rows", [(3,), (200,), (8, 40)])
@pytest.mark.parametrize("biased", [False, True])
def test_linear_layer_and_its_gradients(kernels, processor, rng, rows, biased):
    x, w = narrow(rng, *rows, 320), narrow(rng, 160, 320)
    b = narrow(rng, 160) if biased else None
    y = kernels.linear_forward(x, w, b)
    assert_rounded(y, kernels.linear_forward(wide(x), wide(w), None if b is None else wide(b)))
    g = narrow(rng, *y.shape)
    for a, e in zip(kernels.linear_backward(g, x, w), kernels.linear_backward(wide(g), wide(x), wide(w)), strict=True):
        assert_rounded(a, e)


def test_gradient_goes_where_it_is_to_lie(kernels, rng):
    g, x, w = narrow(rng, 64, 96), narrow(rng, 64, 160), narrow(rng, 96, 160)
    expected = wide(g).T @ wide(x)
    into = np.zeros((96, 160), BFLOAT16)
    _, gw, _ = kernels.linear_backward(g, x, w, (False, True, False), into)
    assert_rounded(gw, expected)
    if kernels.name == "onednn" and kernels.engine.multiplies_bfloat16:
        assert gw is into


def test_parts_of_a_projection_are_rounded_once(kernels, rng):
    x, w = narrow(rng, 64, 96), narrow(rng, 3 * 96, 96)
    gs = tuple(narrow(rng, 64, 96) for _ in range(3))
    found = kernels.linear_parts_backward(gs, x, w)
    expected = kernels.linear_backward(wide(np.concatenate(gs, -1)), wide(x), wide(w))
    for a, e in zip(found, expected, strict=True):
        assert_rounded(a, e)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("lead", [(), (2, 3), (1,)])
def test_products(kernels, processor, rng, lead, turned):
    a, b = narrow(rng, *lead, 130, 90), narrow(rng, *lead, 70, 90).swapaxes(-1, -2)
    b = b if turned else np.ascontiguousarray(b)
    assert_rounded(kernels.matmul(a, b), np.matmul(wide(a), wide(b)))


def test_the_backends_own_kernel_computes_in_float32(rng):
    class Faster(Portable):
        def gelu_forward(self, x, approximate="none"):
            return x + 1 if x.dtype == np.float32 else super().gelu_forward(x, approximate)

    x = narrow(rng, 7)
    np.testing.assert_array_equal(Faster(np).gelu_forward(x), (wide(x) + 1).astype(BFLOAT16))


def test_what_forward_has_kept_serves_the_gradient(kernels, rng):
    """oneDNN's workspace, made from float32, meets a gradient in bfloat16."""
    window = ((2, 2), (2, 2), (0, 0), (1, 1))
    x, g = channels_last(narrow(rng, 4, 16, 8, 8)), channels_last(narrow(rng, 4, 16, 4, 4))
    y, saved = kernels.max_pool_forward(x, *window)
    same, kept = kernels.max_pool_forward(wide(x), *window)
    np.testing.assert_array_equal(wide(y), same)
    gx = kernels.max_pool_backward(g, saved, x.shape, *window)
    np.testing.assert_array_equal(wide(gx), kernels.max_pool_backward(wide(g), kept, x.shape, *window))


@pytest.mark.parametrize(("kind", "gates", "states"), [("lstm", 4, 2), ("gru", 3, 1)])
def test_recurrent_layer_and_its_gradients(kernels, rng, kind, gates, states):
    steps, n, inner, hidden = 5, 4, 16, 32
    x, firsts = narrow(rng, steps * n, inner), [narrow(rng, n, hidden) for _ in range(states)]
    weights = narrow(rng, gates * hidden, inner) / 8, narrow(rng, gates * hidden, hidden) / 8
    gradients = [narrow(rng, steps * n, hidden), *[narrow(rng, n, hidden) for _ in range(states)]]

    def both(cast):
        cast_all = lambda arrays: [cast(a) for a in arrays]  # noqa: E731
        start, w = cast_all(firsts), cast_all(weights)
        y, *_, saved = getattr(kernels, f"{kind}_forward")(cast(x), [n] * steps, *start, *w)
        backward = getattr(kernels, f"{kind}_backward")
        return y, *backward(*cast_all(gradients), saved, cast(x), [n] * steps, *start, y, *w)

    for a, e in zip(both(lambda a: a.astype(BFLOAT16)), both(wide), strict=True):
        assert a.dtype == BFLOAT16
        np.testing.assert_allclose(wide(a), e, rtol=4 * UNIT, atol=2 * UNIT * np.abs(e).max())


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_without_training(kernels, rng, reverse):
    steps, n, inner, hidden = 5, 4, 16, 32
    x, h, c = narrow(rng, steps * n, inner), narrow(rng, n, hidden), narrow(rng, n, hidden)
    weights = narrow(rng, 4 * hidden, inner) / 8, narrow(rng, 4 * hidden, hidden) / 8
    given = x, [n] * steps, h, c, *weights, narrow(rng, 4 * hidden), narrow(rng, 4 * hidden)
    found = kernels.lstm_forward(*given, reverse, False)
    expected = kernels.lstm_forward(*[wide(a) if isinstance(a, np.ndarray) else a for a in given], reverse, False)
    assert found[3] is None
    for a, e in zip(found[:3], expected[:3], strict=True):
        assert a.dtype == BFLOAT16
        np.testing.assert_allclose(wide(a), e, atol=2 * UNIT)


@pytest.mark.parametrize("size", [10, precision.LONG + 3])
def test_rounding(kernels, size):
    x = (np.random.default_rng(0).standard_normal(size) * 10.0 ** np.linspace(-36, 38, size)).astype(np.float32)
    x[:8] = np.inf, -np.inf, np.nan, 0, -0.0, 1 + UNIT / 2, 1 + UNIT * 1.5, 3.4e38
    with np.errstate(all="ignore"):
        expected = x.astype(BFLOAT16)
    np.testing.assert_array_equal(wide(precision.converted(x, BFLOAT16)), wide(expected))
    strided = np.repeat(x, 2)[::2]
    np.testing.assert_array_equal(wide(precision.converted(strided, BFLOAT16)), wide(expected))
    turned = x[: size // 2 * 2].reshape(2, -1).T
    np.testing.assert_array_equal(
        wide(precision.converted(turned, BFLOAT16)), wide(expected[: size // 2 * 2]).reshape(2, -1).T
    )


def test_a_broadcast_array_is_widened_once_for_each_number(rng):
    x = np.broadcast_to(narrow(rng, 4, 1, 1, 96), (4, 8, 9, 96)).transpose(0, 3, 1, 2)
    found = precision.widened(x)
    np.testing.assert_array_equal(found, x.astype(np.float32))
    assert found.strides == tuple([2 * s for s in x.strides])
    y = precision.in_float32(np.add)(x, channels_last(narrow(rng, *x.shape)))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("ufunc", [np.add, np.subtract, np.multiply, np.true_divide, np.maximum])
@pytest.mark.parametrize("size", [10, precision.LONG + 1])
def test_two_arrays_combined_are_rounded_once(kernels, rng, ufunc, size):
    a, b = narrow(rng, size), narrow(rng, size)
    a[:3], b[:3] = (np.inf, np.nan, 0), (-np.inf, 1, -0.0)
    with np.errstate(all="ignore"):
        expected = ufunc(wide(a), wide(b)).astype(BFLOAT16)
        np.testing.assert_array_equal(wide(kernels.combined(ufunc, a, b)), wide(expected))
        np.testing.assert_array_equal(wide(kernels.combined(ufunc, a, b[:1])), wide(ufunc(a, b[:1])))


@pytest.mark.parametrize("dtype", [BFLOAT16, np.dtype(np.float16)])
@pytest.mark.parametrize("signed_nan", [False, True])
def test_relu_by_bits(kernels, rng, dtype, signed_nan):
    x = normal(rng, 3, precision.LONG).astype(dtype)
    x[0, :5] = np.inf, -np.inf, np.nan, -0.0, 0
    if signed_nan:
        x[1, 7] = -np.float32(np.nan)
    expected = np.where(wide(x) < 0, 0, wide(x))
    for array in (x, x.T, x[:, ::2]):
        want = expected if array is x else expected.T if array.shape == x.T.shape else expected[:, ::2]
        np.testing.assert_array_equal(wide(kernels.relu_forward(array)), want)
    assert kernels.relu_forward(x, x) is not None
    np.testing.assert_array_equal(wide(x), expected)
    g = normal(rng, *x.shape).astype(dtype)
    np.testing.assert_array_equal(
        wide(kernels.relu_backward(g, x)), np.where((expected > 0) | np.isnan(expected), wide(g), 0)
    )


def test_gradients_stop_where_a_result_is_minus_0(kernels, rng):
    y, g = np.full(precision.LONG, -0.0, np.float32).astype(BFLOAT16), narrow(rng, precision.LONG)
    assert not wide(kernels.relu_backward(g, y)).any()


def test_attention_is_rounded_once(kernels, rng):
    q, k, v, g = (narrow(rng, 2, 3, 40, 16) for _ in range(4))
    y, weights = kernels.attention_forward(q, k, v, None, None, 0.25)
    exact = kernels.attention_forward(wide(q), wide(k), wide(v), None, None, 0.25)
    for found, expected in zip((y, weights), exact, strict=True):
        np.testing.assert_array_equal(wide(found), wide(expected.astype(BFLOAT16)))
    given = q, k, v, None, weights, 0.25
    exact = kernels.attention_backward(wide(g), *[wide(a) if isinstance(a, np.ndarray) else a for a in given])
    for found, expected in zip(kernels.attention_backward(g, *given), exact, strict=True):
        np.testing.assert_array_equal(wide(found), wide(expected.astype(BFLOAT16)))


def test_copies_in_another_order(kernels, rng):
    x = narrow(rng, 128, 200)
    np.testing.assert_array_equal(wide(kernels.contiguous_copy(x.T)), wide(x).T)
    assert kernels.contiguous_copy(x.T).flags.c_contiguous


def test_same_bits_for_one_thread_and_two(onednn, rng):
    x, w, g = narrow(rng, 256, 320), narrow(rng, 320, 320), narrow(rng, 256, 320)
    before, found = get_num_threads(), []
    try:
        for threads in (1, 2):
            set_num_threads(threads)
            found.append((onednn.linear_forward(x, w), *onednn.linear_backward(g, x, w)))
    finally:
        set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(wide(one), wide(two))
