"""Convolution against nested loops, forward; against central differences of those loops, backward."""

from itertools import product

import numpy as np
import pytest

from disttorch.kernels.portable import Portable, convolution, depthwise

from .conftest import assert_close, channels_last, normal


def convolve(x, w, b, stride, padding, dilation, groups):
    """The definition: one output element at a time."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    kernel, per_group = w.shape[2:], w.shape[0] // groups
    out = [(s - d * (k - 1) - 1) // t + 1 for s, k, t, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    for o, position in product(range(w.shape[0]), product(*map(range, out))):
        window = tuple(
            slice(i * t, i * t + d * (k - 1) + 1, d)
            for i, t, d, k in zip(position, stride, dilation, kernel, strict=True)
        )
        group = o // per_group
        channels = x[:, group * w.shape[1] : (group + 1) * w.shape[1]]
        y[(slice(None), o, *position)] = (channels[(..., *window)] * w[o]).sum(axis=tuple(range(1, x.ndim)))
    return y if b is None else y + b.reshape(-1, *(1,) * len(out))


CASES = [
    # dims, stride, padding, dilation, groups, bias; output channels and sizes, if not those of `make`
    (1, 1, 0, 1, 1, True),
    (1, 2, 2, 2, 2, False),
    (2, 1, 1, 1, 1, True),
    (2, 2, 0, 1, 2, False),
    (2, 1, 2, 2, 4, True),
    (2, 3, 1, 1, 1, False),
    (3, 1, 1, 1, 1, True),
    (3, 2, 1, 1, 2, False),
    (1, 3, 1, 1, 4, False),  # a group for each channel, strided
    (2, 2, 1, 1, 4, True, 4),
    (2, 1, 1, 1, 1, True, 4),  # no more output channels than input channels
    (1, 1, 2, 2, 2, False, 2),
    (2, 1, 3, 1, 1, False, 4),  # padding beyond the kernel's reach
    (2, 1, 1, 1, 1, True, 8, (2, 2)),  # fewer output positions than channels
    (2, 1, 0, 1, 2, False, 8, (3, 3)),
    (3, 2, 1, 1, 1, False, 20, (3, 4, 2)),
]


def make(rng, dims, stride, padding, dilation, groups, bias, channels=8, sizes=(7, 8, 6)):
    x = normal(rng, 2, 4, *sizes[:dims])
    w = normal(rng, channels, 4 // groups, *(3, 2, 3)[:dims])
    b = normal(rng, channels) if bias else None
    return x, w, b, ((stride,) * dims, (padding,) * dims, (dilation,) * dims, groups)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_forward(kernels, rng, case, layout):
    x, w, b, geometry = make(rng, *case)
    assert_close(kernels.conv_forward(layout(x), w, b, *geometry), convolve(x, w, b, *geometry))


@pytest.mark.parametrize("case", CASES)
def test_a_sample_at_a_time(monkeypatch, rng, case):
    x, w, b, geometry = make(rng, *case)
    portable = Portable(np)
    y = portable.conv_forward(x, w, b, *geometry)
    g = normal(rng, *y.shape)
    whole = portable.conv_backward(g, x, w, *geometry)
    monkeypatch.setattr(convolution, "COLUMN_ELEMENTS", 1)
    monkeypatch.setattr(depthwise, "BLOCK", 1)
    assert_close(portable.conv_forward(x, w, b, *geometry), y)
    for part, expected in zip(portable.conv_backward(g, x, w, *geometry), whole, strict=True):
        assert_close(part, expected)


@pytest.mark.parametrize("case", CASES)
def test_backward(kernels, rng, case):
    """Convolution is linear in x, in w and in b: its gradients satisfy <g, conv(v)> = <gradient, v> for any v."""
    x, w, b, geometry = make(rng, *case)
    y = kernels.conv_forward(x, w, b, *geometry)
    g = normal(rng, *y.shape)
    gx, gw, gb = kernels.conv_backward(g, x, w, *geometry)
    assert (gx.shape, gw.shape, gb.shape) == (x.shape, w.shape, w.shape[:1])
    for _ in range(3):
        vx, vw = normal(rng, *x.shape), normal(rng, *w.shape)
        np.testing.assert_allclose((gx * vx).sum(), (g * convolve(vx, w, None, *geometry)).sum(), rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose((gw * vw).sum(), (g * convolve(x, vw, None, *geometry)).sum(), rtol=1e-3, atol=1e-2)
    assert_close(gb, g.sum(axis=(0, *range(2, g.ndim)), dtype=np.float64))
    assert_close(kernels.conv_backward_input(g, w, x.shape, *geometry), gx)
    assert_close(kernels.conv_backward_weight(g, x, w.shape, *geometry), gw)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("channels", [16, 24])  # whole registers, and part of one
def test_group_for_each_channel(kernels, rng, dims, channels):
    x, w = normal(rng, 2, channels, *(7, 8, 6)[:dims]), normal(rng, channels, 1, *(3,) * dims)
    geometry = ((1,) * dims, (1,) * dims, (1,) * dims, channels)
    x = channels_last(x)
    y = kernels.conv_forward(x, w, None, *geometry)
    assert_close(y, convolve(x, w, None, *geometry))
    gx, gw, _ = kernels.conv_backward(y, x, w, *geometry)
    flipped = np.flip(w, tuple(range(2, w.ndim)))
    assert_close(gx, convolve(y, flipped, None, *geometry), 1e-3)
    v = normal(rng, *w.shape)
    np.testing.assert_allclose((gw * v).sum(), (y * convolve(x, v, None, *geometry)).sum(), rtol=1e-3, atol=1e-2)


def test_sums_over_large_planes():
    """Rounding grows with the terms that are added one after another: not over 65,536 of them."""
    x, g = np.random.default_rng(0).random((2, 1, 8, 256, 256), np.float32)
    geometry = ((1, 1), (1, 1), (1, 1), 8)
    found = Portable(np).conv_backward_weight(g, x, (8, 1, 3, 3), *geometry)
    exact = Portable(np).conv_backward_weight(*(a.astype(np.float64) for a in (g, x)), (8, 1, 3, 3), *geometry)
    np.testing.assert_allclose(found, exact, rtol=2e-6)


def test_needs(kernels, rng):
    x, w, _, geometry = make(rng, *CASES[2])
    g = kernels.conv_forward(x, w, None, *geometry)
    whole = kernels.conv_backward(g, x, w, *geometry)
    for needs in product((False, True), repeat=3):
        for gradient, expected, needed in zip(
            kernels.conv_backward(g, x, w, *geometry, needs), whole, needs, strict=True
        ):
            assert (gradient is not None) == needed
            if needed:
                assert_close(gradient, expected)


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "padding"),
    [
        ((4, 256, 4, 4), (64, 256, 3, 3), 1, 1),  # deep: blocked layouts
        ((1, 256, 2, 2), (256, 256, 3, 3), 1, 1),  # few positions: columns
        ((2, 64, 4, 4), (512, 64, 1, 1), 2, 0),  # columns, pointwise
        ((2, 3, 20, 20), (16, 3, 7, 7), 2, 3),  # first layer
        ((3, 6, 14, 14), (16, 6, 5, 5), 1, 0),  # LeNet's second
    ],
)
def test_layers_with_an_algorithm_of_their_own(kernels, rng, x_shape, w_shape, stride, padding):
    x, w, b = normal(rng, *x_shape), normal(rng, *w_shape) / 16, normal(rng, w_shape[0])
    geometry = ((stride,) * 2, (padding,) * 2, (1, 1), 1)
    y = kernels.conv_forward(x, w, b, *geometry)
    wide = [a.astype(np.float64) for a in (x, w, b)]
    expected = kernels.conv_forward(*wide, *geometry)  # float64 goes through the portable kernel, tested above
    assert expected.dtype == np.float64
    assert_close(y, expected, 1e-3)
    g = normal(rng, *y.shape)
    for got, want in zip(
        kernels.conv_backward(channels_last(g), x, w, *geometry),
        kernels.conv_backward(g.astype(np.float64), *wide[:2], *geometry),
        strict=True,
    ):
        assert_close(got, want, 1e-3)


def test_any_strides(kernels, rng):
    x, w = normal(rng, 2, 4, 7, 8), normal(rng, 8, 4, 3, 3)
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    expected = convolve(x, w, None, *geometry)
    wide = np.zeros((4, 8, 14, 8), np.float32)
    wide[::2, ::2, ::2] = x
    assert_close(kernels.conv_forward(wide[::2, ::2, ::2], w, None, *geometry), expected)
    flipped = np.ascontiguousarray(x[:, :, ::-1])[:, :, ::-1]
    assert_close(kernels.conv_forward(flipped, w, None, *geometry), expected)
    transposed = np.ascontiguousarray(w.T).T
    assert_close(kernels.conv_forward(x, transposed, None, *geometry), expected)
    g = np.broadcast_to(np.float32(1), expected.shape)
    for got, want in zip(
        kernels.conv_backward(g, x, w, *geometry), kernels.conv_backward(g.copy(), x, w, *geometry), strict=True
    ):
        assert_close(got, want)


def test_output_padding_of_a_transposed_convolution(kernels, rng):
    """An input one longer than the windows reach gets a zero gradient at its end."""
    g, w = normal(rng, 2, 4, 3), normal(rng, 4, 5, 3)
    geometry = ((2,), (0,), (1,), 1)
    short = kernels.conv_backward_input(g, w, (2, 5, 7), *geometry)
    long = kernels.conv_backward_input(g, w, (2, 5, 8), *geometry)
    assert_close(long[..., :7], short)
    assert not long[..., 7].any()


def test_empty_batch(kernels, rng):
    x, w = np.zeros((0, 4, 7, 8), np.float32), normal(rng, 8, 4, 3, 3)
    geometry = ((1, 1), (0, 0), (1, 1), 1)
    y = kernels.conv_forward(x, w, None, *geometry)
    assert y.shape == (0, 8, 5, 6)
    gx, gw, gb = kernels.conv_backward(y, x, w, *geometry)
    assert gx.shape == x.shape
    assert not gw.any()
    assert not gb.any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats_are_computed_in_float32(kernels, rng, dtype):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x, w = normal(rng, 1, 4, 5, 5).astype(dtype), normal(rng, 3, 4, 3, 3).astype(dtype)
    geometry = ((1, 1), (0, 0), (1, 1), 1)
    y = kernels.conv_forward(x, w, None, *geometry)
    assert y.dtype == dtype
    expected = convolve(x.astype(np.float32), w.astype(np.float32), None, *geometry)
    np.testing.assert_array_equal(y, expected.astype(np.float32).astype(dtype))


@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
@pytest.mark.parametrize("out", [1, 6])
def test_gradient_of_a_first_layers_weights(kernels, rng, padding, out):
    """Few channels in and out, an even number of outputs in a row, and many of them: oneDNN's take them by twos."""
    geometry = ((1, 1), padding, (1, 1), 1)
    x, v = normal(rng, 48, 3, 30, 30), normal(rng, out, 3, 5, 5)
    y = kernels.conv_forward(x, v, None, *geometry)
    g = channels_last(normal(rng, *y.shape))
    assert g.shape[-1] % 2 == 0
    into = np.full(v.shape, np.nan, np.float32)
    _, gw, gb = kernels.conv_backward(g, x, v, *geometry, (False, True, True), into)
    expected = (g.astype(np.float64) * y).sum()
    assert abs((gw.astype(np.float64) * v).sum() - expected) < 1e-3 * np.sqrt((g * y).size)
    assert_close(gb / 100, g.astype(np.float64).sum((0, 2, 3)) / 100)
