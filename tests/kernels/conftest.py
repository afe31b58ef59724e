import numpy as np
import pytest

from disttorch.kernels import for_device, get_num_threads, set_num_threads
from disttorch.kernels.onednn import load
from disttorch.kernels.portable import Portable

BACKENDS = {"portable": Portable(np), "onednn": load()}


@pytest.fixture(params=BACKENDS)
def kernels(request):
    """Each CPU backend in turn: both are held to the same plain references."""
    backend = BACKENDS[request.param]
    if backend is None:
        pytest.skip("oneDNN is not installed")
    return backend


@pytest.fixture
def onednn():
    if BACKENDS["onednn"] is None:
        pytest.skip("oneDNN is not installed")
    return BACKENDS["onednn"]


@pytest.fixture
def two_threads():
    before = get_num_threads()
    for_device("cpu")  # loaded first: the number is told to its threads
    set_num_threads(2)
    yield
    set_num_threads(before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def channels_last(x):
    """The same (N, C, *S) array with its channels innermost in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def assert_close(actual, expected, tolerance=1e-4):
    """Equal shapes, float32, and values within float32 rounding of a reference computed in float64."""
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def numeric_gradient(function, x, g, step=1e-5):
    """Gradient of sum(g * function(x)) with respect to a float64 array, by central differences."""
    gradient = np.empty_like(x)
    for i in np.ndindex(*x.shape):
        kept = x[i]
        x[i] = kept + step
        up = (g * function(x)).sum()
        x[i] = kept - step
        down = (g * function(x)).sum()
        x[i] = kept
        gradient[i] = (up - down) / (2 * step)
    return gradient
