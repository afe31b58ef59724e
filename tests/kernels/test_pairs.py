"""Convolutions of few output channels, computed for two outputs at a time: the same values, nothing spilt between."""

import numpy as np
import pytest

from disttorch.kernels.onednn import pairs
from disttorch.kernels.select import for_device

from .conftest import assert_close, channels_last, normal
from .test_convolution import convolve

LENET = (1, 1), (0, 0), (1, 1), 1


def test_as_pairs_and_back_move_nothing(rng) -> None:
    y = channels_last(normal(rng, 2, 3, 5, 8))
    paired = pairs.as_pairs(y)
    assert paired.shape == pairs.pair_shape(y.shape) == (2, 6, 5, 4)
    assert np.shares_memory(paired, y)
    assert np.array_equal(pairs.as_singles(paired), y)


@pytest.mark.parametrize(
    ("kernel", "padding"), [((3, 3), (1, 1)), ((2, 5), (0, 2)), ((5,), (0,)), ((2, 2, 3), (0, 1, 1))]
)
def test_paired_weights_compute_both(rng, kernel, padding) -> None:
    dims = len(kernel)
    x, w = normal(rng, 2, 3, *(6, 7, 8)[3 - dims :]), normal(rng, 4, 3, *kernel)
    geometry = (1,) * dims, padding, (1,) * dims, 1
    expected = convolve(x, w, None, *geometry)
    paired = convolve(x, pairs.pair_weights(w), None, *pairs.pair_geometry(geometry))
    assert paired.shape == pairs.pair_shape(expected.shape)
    np.testing.assert_allclose(pairs.as_singles(channels_last(paired)), expected)


def test_worthwhile() -> None:
    shape = (64, 6, 28, 28)
    assert pairs.worthwhile(shape, (6, 3, 5, 5), LENET, 16)
    assert not pairs.worthwhile(shape, (6, 3, 5, 5), LENET, 8)  # six channels fill three quarters of that register
    assert not pairs.worthwhile((64, 6, 28, 27), (6, 3, 5, 5), LENET, 16)
    assert not pairs.worthwhile(shape, (6, 3, 1, 1), LENET, 16)
    assert not pairs.worthwhile((1, 6, 4, 4), (6, 3, 5, 5), LENET, 16)
    for other in (((1, 2), *LENET[1:]), (*LENET[:2], (1, 2), 1), (*LENET[:3], 3)):
        assert not pairs.worthwhile(shape, (6, 3, 5, 5), other, 16)


@pytest.fixture
def kernels():
    found = for_device("cpu")
    if not hasattr(found, "engine"):
        pytest.skip("needs oneDNN")
    return found


@pytest.mark.parametrize("channels", [1, 3, 8, 16])
@pytest.mark.parametrize("bias", [True, False])
def test_forward_and_gradients_of_few_channels(kernels, rng, channels, bias) -> None:
    x, w = normal(rng, 64, channels, 20, 24), normal(rng, 3, channels, 5, 5)
    b = normal(rng, 3) if bias else None
    y = kernels.conv_forward(x, w, b, *LENET)
    assert pairs.worthwhile(y.shape, w.shape, LENET, kernels.engine.register) == (channels > 1)
    assert_close(y, convolve(x, w, b, *LENET))
    turned = w.swapaxes(0, 1)  # whose gradient for the input has three channels
    g = normal(rng, 64, channels, 16, 20)
    gx = kernels.conv_backward_input(g, turned, (64, 3, 20, 24), *LENET)
    wide = np.pad(g, [(0, 0), (0, 0), (4, 4), (4, 4)])
    assert_close(gx, convolve(wide, w[..., ::-1, ::-1], None, *LENET))


def test_an_infinity_stays_within_its_windows(kernels, rng) -> None:
    x, w = normal(rng, 64, 3, 20, 24), normal(rng, 3, 3, 5, 5)
    x[0, 0, 9, 11] = np.inf
    y = kernels.conv_forward(x, w, None, *LENET)
    reached = np.zeros(y.shape, bool)
    reached[0, :, 5:10, 7:12] = True
    assert np.array_equal(~np.isfinite(y), reached)
