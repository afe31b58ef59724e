"""Pooling against the definition, one window at a time."""

from itertools import product

import numpy as np
import pytest

from .conftest import assert_close, channels_last, normal


def windows(x_shape, kernel, stride, padding, dilation, ceil_mode):
    """For every output position the input cells that its window meets, and how many cells of the padded input."""
    axes = []
    for s, k, t, p, d in zip(x_shape[2:], kernel, stride, padding, dilation, strict=True):
        span = s + 2 * p - d * (k - 1) - 1
        out = (-(-span // t) if ceil_mode else span // t) + 1
        if ceil_mode and (out - 1) * t >= s + p:
            out -= 1
        axis = []
        for i in range(out):
            cells = [i * t - p + j * d for j in range(k)]
            axis.append(([c for c in cells if 0 <= c < s], sum(c < s + p for c in cells)))
        axes.append(axis)
    for position in product(*(range(len(axis)) for axis in axes)):
        chosen = [axis[i] for axis, i in zip(axes, position, strict=True)]
        yield position, list(product(*(cells for cells, _ in chosen))), np.prod([n for _, n in chosen])


def out_shape(x_shape, *geometry):
    last = max(position for position, _, _ in windows(x_shape, *geometry))
    return (*x_shape[:2], *(i + 1 for i in last))


def max_pool(x, *geometry):
    y = np.empty(out_shape(x.shape, *geometry), x.dtype)
    indices = np.empty(y.shape, np.int64)
    for position, cells, _ in windows(x.shape, *geometry):
        values = np.stack([x[(..., *cell)] for cell in cells])
        first = np.where(np.isnan(values).any(axis=0), np.isnan(values[::-1]).argmax(axis=0), values.argmax(axis=0))
        first = np.where(np.isnan(values).any(axis=0), len(cells) - 1 - first, first)  # the last NaN wins
        y[(..., *position)] = np.take_along_axis(values, first[None], 0)[0]
        flat = np.array([np.ravel_multi_index(cell, x.shape[2:]) for cell in cells])
        indices[(..., *position)] = flat[first]
    return y, indices


CASES = [
    # kernel, stride, padding, dilation, ceil_mode
    ((2,), (2,), (0,), (1,), False),
    ((3,), (2,), (1,), (2,), True),
    ((2, 2), (2, 2), (0, 0), (1, 1), False),
    ((3, 3), (2, 2), (1, 1), (1, 1), False),
    ((3, 2), (3, 2), (1, 0), (1, 1), True),
    ((2, 3), (1, 2), (0, 1), (2, 1), True),
    ((2, 2, 2), (2, 2, 2), (1, 0, 1), (1, 1, 1), True),
    ((17, 17), (2, 2), (0, 0), (1, 1), False),
]


def make(rng, dims, large=False):
    return normal(rng, 2, 3, *((18, 19) if large else (7, 8, 5)[:dims]))


@pytest.mark.parametrize("geometry", CASES)
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
@pytest.mark.parametrize("special", [None, np.nan, -np.inf])
def test_max_pool(kernels, rng, geometry, layout, special):
    x = make(rng, len(geometry[0]), geometry[0][0] == 17)
    if special is not None:
        x[0, 0, 1:4] = special
        x[1, 1] = special
    y, saved = kernels.max_pool_forward(layout(x), *geometry)
    expected, indices = max_pool(x, *geometry)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(kernels.max_pool_indices(x, y, saved, *geometry[:4]), indices)
    g = normal(rng, *y.shape)
    gx = np.zeros(x.shape)
    for n, c in np.ndindex(x.shape[:2]):
        np.add.at(gx[n, c].reshape(-1), indices[n, c].reshape(-1), g[n, c].reshape(-1))
    assert_close(kernels.max_pool_backward(g, saved, x.shape, *geometry), gx)


@pytest.mark.parametrize("geometry", [case for case in CASES if set(case[3]) == {1}])
@pytest.mark.parametrize(("include", "divisor"), [(True, None), (False, None), (True, 5)])
def test_avg_pool(kernels, rng, geometry, include, divisor):
    kernel, stride, padding, _, ceil_mode = geometry
    x = make(rng, len(kernel), kernel[0] == 17)
    options = (kernel, stride, padding, ceil_mode, include, divisor)
    y = kernels.avg_pool_forward(x, *options)
    g = normal(rng, *out_shape(x.shape, *geometry))
    expected, gx = np.empty(g.shape), np.zeros(x.shape)
    for position, cells, padded in windows(x.shape, *geometry):
        count = divisor or (padded if include else len(cells))
        expected[(..., *position)] = sum(x[(..., *cell)].astype(np.float64) for cell in cells) / count
        for cell in cells:
            gx[(..., *cell)] += g[(..., *position)] / count
    assert_close(y, expected)
    assert_close(kernels.avg_pool_backward(g, x.shape, *options), gx)


@pytest.mark.parametrize("output_size", [(1,), (3,), (7,), (1, 1), (3, 4), (7, 2), (2, 3, 5)])
def test_adaptive_pools(kernels, rng, output_size):
    x = make(rng, len(output_size))
    g = normal(rng, 2, 3, *output_size)
    mean, highest, gx_mean, gx_max = np.empty(g.shape), np.empty(g.shape), np.zeros(x.shape), np.zeros(x.shape)
    indices = np.empty(g.shape, np.int64)
    plane = np.arange(np.prod(x.shape[2:])).reshape(x.shape[2:])
    for position in np.ndindex(*output_size):
        at = tuple(
            slice(i * s // o, -(-(i + 1) * s // o)) for i, s, o in zip(position, x.shape[2:], output_size, strict=True)
        )
        window = x[(..., *at)].reshape(2, 3, -1)
        mean[(..., *position)] = window.mean(axis=-1, dtype=np.float64)
        gx_mean[(..., *at)] += (g[(..., *position)] / window.shape[-1])[(..., *(None,) * len(at))]
        best = window.argmax(axis=-1)
        highest[(..., *position)] = window.max(axis=-1)
        indices[(..., *position)] = plane[at].reshape(-1)[best]
        for n, c in np.ndindex(2, 3):
            gx_max[n, c].reshape(-1)[indices[(n, c, *position)]] += g[(n, c, *position)]
    assert_close(kernels.adaptive_avg_pool_forward(x, output_size), mean)
    assert_close(kernels.adaptive_avg_pool_backward(g, x.shape), gx_mean)
    y, got = kernels.adaptive_max_pool_forward(x, output_size)
    assert_close(y, highest)
    np.testing.assert_array_equal(got, indices)
    assert_close(kernels.adaptive_max_pool_backward(g, indices, x.shape), gx_max)


def test_empty_batch(kernels):
    x = np.zeros((0, 3, 6, 6), np.float32)
    window = ((2, 2), (2, 2), (0, 0), (1, 1))
    y, saved = kernels.max_pool_forward(x, *window)
    assert y.shape == (0, 3, 3, 3)
    assert kernels.max_pool_backward(y, saved, x.shape, *window).shape == x.shape
    assert kernels.avg_pool_forward(x, *window[:3]).shape == (0, 3, 3, 3)
    assert kernels.avg_pool_backward(y, x.shape, *window[:3]).shape == x.shape


@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(4, 60, 100), (4, 300, 70), (2, 1, 9000), (5, 6)])
def test_argmax_finds_the_first_of_the_largest(kernels, rng, shape, bad):
    x = np.round(normal(rng, *shape), 1)  # with many equal ones
    if bad is not None:
        x.reshape(-1)[7::501] = bad
    for axis in range(x.ndim):
        expected = np.argmax(x, axis, keepdims=True)
        for laid_out in (x, np.ascontiguousarray(x.swapaxes(1, -1)).swapaxes(1, -1)):
            np.testing.assert_array_equal(kernels.argmax(laid_out, axis), expected)
