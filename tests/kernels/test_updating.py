"""What optimizers do to arrays: the same bits with one thread and with two, by one backend and by the other."""

import numpy as np
import pytest

from disttorch.kernels import blas, get_num_threads, set_num_threads

SIZES = (1, 31, 1001, (1 << 16) + 5, 300_007)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = get_num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


@pytest.mark.parametrize("size", SIZES)
def test_decay_and_add_rounds_as_two_operations_do(kernels, threads, size):
    rng = np.random.default_rng(0)
    for a in (0.9, 0.5):  # the number is no part of what is prepared for a length
        y, x = rng.standard_normal((2, size), dtype=np.float32)
        expected = y * np.float32(a) + x
        kernels.decay_and_add(y, a, x)
        np.testing.assert_array_equal(y, expected)


@pytest.mark.skipif(blas._saxpy()[0] is None, reason="no OpenBLAS that adds products without rounding them")
@pytest.mark.parametrize("size", SIZES)
def test_add_scaled_does_not_round_the_product(kernels, threads, size):
    rng = np.random.default_rng(0)
    y, x = rng.standard_normal((2, size), dtype=np.float32)
    a = float(np.float32(-0.01))
    expected = (y.astype(np.float64) + a * x.astype(np.float64)).astype(np.float32)  # the product is exact in float64
    kernels.add_scaled(y, a, x)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("size", SIZES)
def test_several_operations_round_as_they_do_one_by_one(kernels, threads, size):
    f, rng = np.float32, np.random.default_rng(0)
    for weight in (0.1, 0.01, 0.5, 0.9):
        a, b = rng.standard_normal((2, size), dtype=f)
        a[-1], b[0] = 1e-42, np.nan
        expected = a + (b - a) * f(weight) if weight < 0.5 else b - (b - a) * f(1 - weight)
        kernels.lerp(a, b, weight)
        np.testing.assert_array_equal(a, expected)
    for decay in (0.999, 0.9):
        average, g = abs(rng.standard_normal((2, size), dtype=f))
        average[-1], g[0] = np.inf, 1e-30
        expected = average * f(decay) + g * g * f(1 - decay)
        kernels.average_square(average, g, decay)
        np.testing.assert_array_equal(average, expected)
    for eps, step in ((1e-8, 1e-3), (1e-3, 0.1)):
        p, g, square = rng.standard_normal((3, size), dtype=f)
        square, square[-1] = abs(square), 0
        expected = p - g / (np.sqrt(square) + f(eps)) * f(step)
        kernels.descend(p, g, square, eps, step)
        np.testing.assert_array_equal(p, expected)


def test_other_dtypes_and_strides(kernels, threads):
    for y in (np.ones(100_000), np.ones((2, 100_000), np.float32)[:, ::2]):
        x = np.full_like(y, 3)
        kernels.decay_and_add(y, 0.5, x)
        assert (y == 3.5).all()
        kernels.add_scaled(y, 2.0, x)
        assert (y == 9.5).all()
        kernels.lerp(y, x, 0.25)
        assert (y == 7.875).all()
        kernels.average_square(x, y * 0 + 2, 0.5)
        assert (x == 3.5).all()
        kernels.descend(y, x * 0 + 6, y * 0 + 4, 1.0, 0.5)
        assert (y == 6.875).all()
