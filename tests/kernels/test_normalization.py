"""Normalisations against their formulas in float64; their gradients against central differences of the formulas."""

import numpy as np
import pytest

from disttorch.kernels import set_num_threads

from .conftest import assert_close, channels_last, normal, numeric_gradient

EPS = 1e-3


def batch_norm(x, weight, bias, mean=None, var=None):
    axes, shape = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
    mean = x.mean(axis=axes) if mean is None else mean
    var = x.var(axis=axes) if var is None else var
    y = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + EPS)
    return y * weight.reshape(shape) + bias.reshape(shape)


@pytest.mark.parametrize("shape", [(6, 3), (3, 4, 5), (3, 16, 2, 3), (2, 3, 2, 2, 2)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_batch_norm(kernels, rng, shape, training, affine, layout):
    x, g, c = normal(rng, *shape) * 2 + 1, normal(rng, *shape), shape[1]
    weight, bias = (normal(rng, c), normal(rng, c)) if affine else (None, None)
    given = (None, None) if training else (normal(rng, c), normal(rng, c) ** 2 + 0.5)
    x64, w64, b64 = x.astype(float), np.ones(c) if weight is None else weight.astype(float), np.zeros(c)
    if affine:
        b64 = bias.astype(float)
    y, mean, var = kernels.batch_norm_forward(layout(x), weight, bias, EPS, *given)
    assert_close(y, batch_norm(x64, w64, b64, *given))
    axes = (0, *range(2, x.ndim))
    assert_close(mean, x64.mean(axis=axes) if training else given[0])
    assert_close(var, x64.var(axis=axes) if training else given[1])
    gx, gw, gb = kernels.batch_norm_backward(g, layout(x), weight, mean, var, EPS, training)
    assert_close(gx, numeric_gradient(lambda v: batch_norm(v, w64, b64, *given), x64, g), 1e-3)
    assert_close(gw, numeric_gradient(lambda v: batch_norm(x64, v, b64, *given), w64, g), 1e-3)
    assert_close(gb, numeric_gradient(lambda v: batch_norm(x64, w64, v, *given), b64, g), 1e-3)
    only_gb = kernels.batch_norm_backward(g, x, weight, mean, var, EPS, training, (False, False, True))
    assert only_gb[:2] == (None, None)
    assert_close(only_gb[2], gb)


def layer_norm(x, dims, weight, bias):
    axes = tuple(range(x.ndim - dims, x.ndim))
    y = (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + EPS)
    return y * weight + bias


@pytest.mark.parametrize("shape", [(3, 2, 300, 300), (70, 3, 50, 43), (150000, 2)])
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_batch_norm_of_many_far_from_zero(onednn, rng, shape, layout):
    x = normal(rng, *shape) + 100
    axes, x64 = (0, *range(2, x.ndim)), x.astype(float)
    y, mean, var = onednn.batch_norm_forward(layout(x), None, None, EPS)
    np.testing.assert_allclose(mean, x64.mean(axis=axes), rtol=3e-6)
    np.testing.assert_allclose(var, x64.var(axis=axes), rtol=5e-6)
    np.testing.assert_allclose(y, batch_norm(x64, np.ones(x.shape[1]), np.zeros(x.shape[1])), atol=5e-4)


@pytest.mark.parametrize("shape", [(4, 64, 56, 56), (4, 32, 16, 17), (16, 36, 16, 16), (3, 2, 300, 301), (10007, 33)])
@pytest.mark.parametrize("mean", [0, 100])
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_many_backward(onednn, rng, shape, mean, layout, training):
    x, g, c = normal(rng, *shape) + np.float32(mean), normal(rng, *shape), shape[1]
    weight, axes, per_channel = normal(rng, c), (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
    mean, var = x.mean(axis=axes, dtype=float).astype(np.float32), x.var(axis=axes, dtype=float).astype(np.float32)
    rstd = 1 / np.sqrt(var.astype(float) + EPS).reshape(per_channel)
    x_hat, g64, count = (x - mean.astype(float).reshape(per_channel)) * rstd, g.astype(float), x.size // c
    by_x, by_g = (g64 * x_hat).sum(axis=axes), g64.sum(axis=axes)
    centred = g64 - (by_x.reshape(per_channel) * x_hat + by_g.reshape(per_channel)) / count * training
    gx, gw, gb = onednn.batch_norm_backward(layout(g), layout(x), weight, mean, var, EPS, training)
    np.testing.assert_allclose(gx, centred * rstd * weight.reshape(per_channel), atol=2e-5)
    np.testing.assert_allclose(gw, by_x, rtol=1e-5, atol=1e-5 * count**0.5)
    np.testing.assert_allclose(gb, by_g, rtol=1e-5, atol=1e-5 * count**0.5)


@pytest.mark.parametrize("shape", [(16, 36, 16, 16), (4, 64, 56, 56)])
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_batch_norm_of_many_by_given_statistics(onednn, rng, shape, layout):
    x, c = normal(rng, *shape), shape[1]
    weight, bias, mean, var = normal(rng, c), normal(rng, c), normal(rng, c), normal(rng, c) ** 2 + 0.5
    for bias_or_none in (bias, None):
        y, *_ = onednn.batch_norm_forward(layout(x), weight, bias_or_none, EPS, mean, var)
        b64 = 0 * bias if bias_or_none is None else bias
        assert_close(y, batch_norm(x.astype(float), weight, b64, mean.astype(float), var.astype(float)), 1e-5)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(kernels, rng, dims, affine):
    x, g = normal(rng, 3, 2, 5) * 2 + 1, normal(rng, 3, 2, 5)
    shape = x.shape[3 - dims :]
    weight, bias = (normal(rng, *shape), normal(rng, *shape)) if affine else (None, None)
    w64, b64 = (weight.astype(float), bias.astype(float)) if affine else (np.ones(shape), np.zeros(shape))
    x64 = x.astype(float)
    y, mean, var = kernels.layer_norm_forward(x, dims, weight, bias, EPS)
    assert_close(y, layer_norm(x64, dims, w64, b64))
    axes = tuple(range(3 - dims, 3))
    assert_close(mean, x64.mean(axis=axes))
    assert_close(var, x64.var(axis=axes))
    gx, gw, gb = kernels.layer_norm_backward(g, x, dims, weight, mean, var, EPS)
    assert_close(gx, numeric_gradient(lambda v: layer_norm(v, dims, w64, b64), x64, g), 1e-3)
    assert_close(gw, numeric_gradient(lambda v: layer_norm(x64, dims, v, b64), w64, g), 1e-3)
    assert_close(gb, numeric_gradient(lambda v: layer_norm(x64, dims, w64, v), b64, g), 1e-3)


GROUPED = [
    (3, 4, 5),
    (2, 6, 1, 3),
    (2, 4),
    (1, 2, 7, 9),
    (2, 4, 4, 5),
    (2, 32, 8, 8),
    (1, 6, 20, 20),
    (2, 12, 7, 11),
    (2, 8, 101),
]


@pytest.mark.parametrize("shape", GROUPED)
@pytest.mark.parametrize("groups", [1, 2, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_group_norm(kernels, rng, shape, groups, affine, layout):
    x, g, c = normal(rng, *shape) * 2 + 1, normal(rng, *shape) + 1, shape[1]
    groups = groups or c
    weight, bias = (normal(rng, c), normal(rng, c)) if affine else (None, None)
    per_channel = (-1, *(1,) * (len(shape) - 2))
    w64 = (weight.astype(float) if affine else np.ones(c)).reshape(per_channel)
    rows = x.astype(float).reshape(shape[0], groups, -1)
    normal64 = layer_norm(rows, 1, 1, 0).reshape(shape)
    y, mean, var = kernels.group_norm_forward(layout(x), groups, weight, bias, EPS)
    assert_close(y, normal64 * w64 + (bias.reshape(per_channel) if affine else 0))
    assert_close(mean, rows.mean(axis=2))
    assert_close(var, rows.var(axis=2))
    others = (0, *range(2, x.ndim))
    gx, gw, gb = kernels.group_norm_backward(layout(g), layout(x), groups, weight, mean, var, EPS)
    assert_close(gw, (g * normal64).sum(axis=others), 1e-3)
    assert_close(gb, g.astype(float).sum(axis=others), 1e-3)
    assert gx.shape == shape
    for _ in range(3):  # the slope along a direction; element by element would take minutes
        along = rng.standard_normal(rows.shape) * 1e-5
        up, down = (layer_norm(rows + sign * along, 1, 1, 0).reshape(shape) for sign in (1, -1))
        slope, size = ((up - down) * w64 * g).sum() / 2e-5, np.linalg.norm(gx)
        assert abs((gx * (along * 1e5).reshape(shape)).sum() - slope) < 1e-4 * (1 + size)
    only_gb = kernels.group_norm_backward(g, layout(x), groups, weight, mean, var, EPS, (False, False, True))
    assert only_gb[:2] == (None, None)
    assert_close(only_gb[2], gb)


def test_group_norm_has_the_same_bits_with_one_thread_and_with_two(onednn, rng, two_threads):
    for shape, groups in (((2, 16, 128, 128), 4), ((2, 16, 128, 128), 16), ((1, 64, 64, 64), 8)):
        x, g = normal(rng, *shape), normal(rng, *shape)
        weight, bias = normal(rng, shape[1]), normal(rng, shape[1])
        for layout in (np.asarray, channels_last):
            results = []
            for count in (1, 2):
                set_num_threads(count)
                y, mean, var = onednn.group_norm_forward(layout(x), groups, weight, bias, EPS)
                back = onednn.group_norm_backward(layout(g), layout(x), groups, weight, mean, var, EPS)
                results.append((y, mean, var, *back))
            for one, two in zip(*results, strict=True):
                assert np.array_equal(one, two)


@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_group_norm_of_many_positions_is_as_exact_as_of_few(kernels, rng, layout):
    shape, groups = (1, 16, 256, 255), 4
    x, g = np.maximum(normal(rng, *shape), 0), normal(rng, *shape)
    weight, bias = np.ones(16, np.float32), np.zeros(16, np.float32)
    _, mean, var = kernels.group_norm_forward(layout(x), groups, weight, bias, EPS)
    rows = x.astype(float).reshape(1, groups, -1)
    np.testing.assert_allclose(mean, rows.mean(axis=2), rtol=1e-6)
    np.testing.assert_allclose(var, rows.var(axis=2), rtol=2e-6)
    normal64 = ((rows - rows.mean(axis=2, keepdims=True)) / np.sqrt(rows.var(axis=2, keepdims=True) + EPS)).reshape(
        shape
    )
    _, gw, gb = kernels.group_norm_backward(layout(g), layout(x), groups, weight, mean, var, EPS)
    np.testing.assert_allclose(gw, (g * normal64).sum(axis=(0, 2, 3)), atol=2e-3)
    np.testing.assert_allclose(gb, g.sum(axis=(0, 2, 3), dtype=float), atol=1e-3)


@pytest.mark.parametrize("width", [16385, 20011, 40000, 1 << 18])  # the second is a prime number
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_of_long_rows_is_as_exact_as_of_short_ones(kernels, rng, width, affine):
    x = np.maximum(normal(rng, 3, width), 0) + np.float32(2)
    weight, bias = (normal(rng, width), normal(rng, width)) if affine else (None, None)
    y, mean, var = kernels.layer_norm_forward(x, 1, weight, bias, EPS)
    x64 = x.astype(float)
    np.testing.assert_allclose(mean, x64.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(var, x64.var(axis=1), rtol=2e-6)
    assert_close(y, layer_norm(x64, 1, *((weight, bias) if affine else (1, 0))), 1e-5)


def test_group_norm_backward_of_no_sample(kernels):
    x, none = np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32)
    gx, gw, gb = kernels.group_norm_backward(x, x, 2, None, none, none, EPS)
    assert gx.shape == (0, 4)
    assert gw.tolist() == gb.tolist() == [0, 0, 0, 0]


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(kernels, rng, axis):
    x, g = normal(rng, 3, 4, 5) * 4, normal(rng, 3, 4, 5)
    x64 = x.astype(float)
    y = kernels.softmax_forward(x, axis)
    assert_close(y, softmax(x64, axis), 1e-5)
    assert_close(kernels.softmax_backward(g, y, axis), numeric_gradient(lambda v: softmax(v, axis), x64, g))
    y = kernels.log_softmax_forward(x, axis)
    assert_close(y, np.log(softmax(x64, axis)), 1e-5)
    gradient = numeric_gradient(lambda v: np.log(softmax(v, axis)), x64, g)
    assert_close(kernels.log_softmax_backward(g, y, axis), gradient)


def test_softmax_of_large_masked_and_empty_rows(kernels):
    x = np.array([[1e4, 1e4, -1e4], [0, -np.inf, 0]], np.float32)
    assert_close(kernels.softmax_forward(x, 1), np.array([[0.5, 0.5, 0], [0.5, 0, 0.5]]))
    assert kernels.softmax_forward(np.zeros((0, 3), np.float32), 1).shape == (0, 3)


@pytest.mark.parametrize("shape", [(1, 65), (3, 200), (100, 30), (200, 30), (200, 300), (2, 3, 70)])
@pytest.mark.parametrize("far", [0, 1000])
def test_log_softmax_of_few_many_and_wide_rows(kernels, rng, shape, far):
    x = normal(rng, *shape) * 4 + np.float32(far)
    x[..., 5] = -np.inf
    wide = x.astype(float)
    rest = wide - wide.max(-1, keepdims=True)
    exact = rest - np.log(np.exp(rest).sum(-1, keepdims=True))
    np.testing.assert_allclose(kernels.log_softmax_forward(x, -1), exact, rtol=1e-6, atol=1e-6)
    x[0, ...] = -np.inf
    y = kernels.log_softmax_forward(x, -1)
    assert np.isnan(y[0]).all()
    np.testing.assert_allclose(y[1:], exact[1:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("width", [32, 300])
def test_bad_values_spoil_their_row(kernels, rng, bad, width):
    x = normal(rng, 4, width)
    x[1, 3] = bad
    for forward in (kernels.softmax_forward, kernels.log_softmax_forward):
        y = forward(x, 1)
        np.testing.assert_array_equal(np.isnan(y).all(axis=1), [False, True, False, False])
        np.testing.assert_array_equal(np.isnan(y).any(axis=1), [False, True, False, False])
    with np.errstate(invalid="ignore"):
        y, _, _ = kernels.layer_norm_forward(x, 1, None, None, EPS)
        z, _, _ = kernels.batch_norm_forward(x, None, None, EPS)
    np.testing.assert_array_equal(np.isnan(y).any(axis=1), [False, True, False, False])
    assert np.isnan(z[:, 3]).all()
    assert not np.isnan(np.delete(z, 3, axis=1)).any()


def test_statistics_of_narrow_floats_stay_float32(kernels, rng):
    x = (normal(rng, 4, 3, 5) * 2 + 1).astype(np.float16)
    y, mean, var = kernels.batch_norm_forward(x, None, None, EPS)
    assert (y.dtype, mean.dtype, var.dtype) == (np.float16, np.float32, np.float32)
    y, mean, var = kernels.layer_norm_forward(x, 1, None, None, EPS)
    assert (y.dtype, mean.dtype, var.dtype) == (np.float16, np.float32, np.float32)


@pytest.mark.parametrize("shape", [(3, 4), (64, 50), (2, 3000)])
@pytest.mark.parametrize("offset", [0.0, 15.0, -40.0, 90.0, 1e4])
def test_softmax_is_exact_wherever_the_logits_lie(kernels, rng, shape, offset):
    x = (rng.standard_normal(shape) * 3 + offset).astype(np.float32)
    wide = x.astype(np.float64) - x.max(1, keepdims=True)
    expected = wide - np.log(np.exp(wide).sum(1, keepdims=True))
    log = kernels.log_softmax_forward(x, 1)
    assert np.abs(log - expected).max() < 3e-6
    assert np.abs(kernels.softmax_forward(x, 1) / np.exp(expected) - 1).max() < 5e-6
    x[0, 0], x[1, 1] = -np.inf, np.nan
    log = kernels.log_softmax_forward(x, 1)
    assert log[0, 0] == -np.inf
    assert np.isfinite(log[0, 1:]).all()
    assert np.isnan(log[1]).all()


@pytest.mark.parametrize("shape", [(3, 5), (700, 10), (400, 64), (300, 96), (20, 512)])
def test_row_maxima(kernels, rng, shape):
    x = normal(rng, *shape) - 4
    assert (kernels.row_maxima(x) == x.max(1)).all()
    x[0, 3], x[1, -1], x[2] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(kernels.row_maxima(x), x.max(1))
