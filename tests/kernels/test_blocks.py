import numpy as np
import pytest

from disttorch.kernels.portable.blocks import BLOCK, UNSHARED, in_blocks, sum_of, sum_of_products, summed_in_blocks


@pytest.mark.parametrize("size", [0, 5, 2 * BLOCK + 1, 3 * BLOCK])
def test_blocks_give_what_the_whole_gives(rng, size):
    x, y = rng.standard_normal((2, size)).astype(np.float32)
    assert (in_blocks(lambda x, y: x * y + 1, x, y) == x * y + 1).all()
    assert in_blocks(np.square, x).dtype == np.float32
    np.testing.assert_allclose(summed_in_blocks(np.vdot, x, y), np.vdot(x.astype(float), y), rtol=1e-4, atol=1e-4)


def test_arrays_that_lie_in_pieces_are_taken_whole(rng):
    x = rng.standard_normal((300, 600)).astype(np.float32)
    assert (in_blocks(np.subtract, x.T, x.T[:1]) == x.T - x.T[:1]).all()
    assert (in_blocks(np.subtract, x, x[::-1]) == x - x[::-1]).all()


@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (UNSHARED,), (3, UNSHARED + 7)])
def test_sum_of_products(rng, shape):
    x, y = (np.asarray(rng.standard_normal(shape), np.float32) for _ in range(2))
    for a, b in ((x, y), (x.T, y.T), (x[..., ::2], y[..., ::2]) if shape else (x, x)):
        np.testing.assert_allclose(sum_of_products(a, b), (a.astype(float) * b).sum(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(sum_of_products(a, a), np.square(a.astype(float)).sum(), rtol=1e-6)


@pytest.mark.parametrize("size", [0, 5, UNSHARED, 3 * UNSHARED + 7])
def test_sum_of(rng, size):
    x = rng.standard_normal(size).astype(np.float32) + 1
    np.testing.assert_allclose(sum_of(x), x.sum(dtype=float), rtol=1e-6)
    np.testing.assert_allclose(sum_of(x.astype(float)), x.sum(dtype=float), rtol=1e-14)
