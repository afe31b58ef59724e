"""Kernels have the same bits whatever the number of threads."""

import numpy as np
import pytest

from disttorch.kernels import set_num_threads

from .conftest import channels_last, normal

EPS = 1e-5


def assert_same_bits(function):
    """function() -> arrays or None, with 1, 2 and 3 threads."""
    results = []
    for count in (1, 2, 3):
        set_num_threads(count)
        results.append([a for a in function() if a is not None])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert one.tobytes() == other.tobytes()


BATCHES = [
    (4, 64, 32, 32),
    (4, 256, 14, 14),
    (16, 128, 16, 16),
    (4, 64, 56, 56),
    (4, 16, 64, 64),
    (16, 36, 16, 16),
    (10007, 33),
    (2, 32, 8, 32, 33),
]


@pytest.mark.parametrize("shape", BATCHES)
@pytest.mark.parametrize("mean", [0, 100])
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_batch_norm(onednn, rng, two_threads, shape, mean, layout):
    x, g = layout(normal(rng, *shape) + np.float32(mean)), layout(normal(rng, *shape))
    weight, bias = normal(rng, shape[1]), normal(rng, shape[1])
    given = np.full(shape[1], mean, np.float32), np.ones(shape[1], np.float32)

    def run():
        y, *moments = onednn.batch_norm_forward(x, weight, bias, EPS)
        back = onednn.batch_norm_backward(g, x, weight, *moments, EPS)
        of_given = onednn.batch_norm_backward(g, x, weight, *given, EPS, False)
        return y, *moments, *back, *of_given, onednn.batch_norm_forward(x, weight, bias, EPS, *given)[0]

    assert_same_bits(run)


@pytest.mark.parametrize("shape", [(1024, 256), (512, 192), (4099, 300), (70, 16500)])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(onednn, rng, two_threads, shape, affine):
    x, g = normal(rng, *shape), normal(rng, *shape)
    weight, bias = (normal(rng, shape[1]), normal(rng, shape[1])) if affine else (None, None)

    def run():
        y, *moments = onednn.layer_norm_forward(x, 1, weight, bias, EPS)
        return y, *moments, *onednn.layer_norm_backward(g, x, 1, weight, *moments, EPS)

    assert_same_bits(run)


@pytest.mark.parametrize(("rows", "inner", "out"), [(1024, 64, 256), (1024, 256, 1024), (4099, 8, 90), (512, 192, 768)])
def test_linear(onednn, rng, two_threads, rows, inner, out):
    x, w, b, g = normal(rng, rows, inner), normal(rng, out, inner), normal(rng, out), normal(rng, rows, out)
    assert_same_bits(lambda: (onednn.linear_forward(x, w, b), *onednn.linear_backward(g, x, w)))


def test_relu_has_no_negative_zeros(onednn, rng, two_threads):
    y, g = np.maximum(normal(rng, 4, 64, 40, 40), 0), normal(rng, 4, 64, 40, 40)
    y[0, 0, 0, :2] = np.nan, 0

    def run():
        gx = onednn.relu_backward(g, y)
        assert gx.tobytes() == np.where(y == 0, np.float32(0), g).tobytes()
        return [gx]

    assert_same_bits(run)


@pytest.mark.parametrize("shape", [(16, 48, 32, 32), (4, 64, 57, 57), (8, 20, 3000)])
@pytest.mark.parametrize("stride", [1, 2])
def test_weights_of_convolutions_of_single_pixels(onednn, rng, two_threads, shape, stride):
    x, w, b, window = channels_last(normal(rng, *shape)), normal(rng, 96, shape[1]), normal(rng, 96), len(shape) - 2
    w = w.reshape(*w.shape, *(1,) * window)
    geometry = (stride,) * window, (0,) * window, (1,) * window, 1
    g = channels_last(normal(rng, *onednn.conv_forward(x, w, b, *geometry).shape))

    def run():
        return onednn.conv_backward(g, x, w, *geometry)

    assert_same_bits(run)
    seen = x[:, :, *(slice(None, None, stride),) * window]
    _, gw, gb = run()
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(gw.reshape(96, -1), np.tensordot(g, seen.astype(float), (axes, axes)), atol=2e-2)
    np.testing.assert_allclose(gb, g.sum(axis=axes, dtype=float), atol=1e-2)
