import numpy as np
import pytest

from disttorch.kernels.portable.blocks import BLOCK, UNSHARED, in_blocks, sum_of_squares, summed_in_blocks


@pytest.mark.parametrize("size", [0, 5, 2 * BLOCK + 1, 3 * BLOCK])
def test_blocks_give_what_the_whole_gives(rng, size):
    x, y = rng.standard_normal((2, size)).astype(np.float32)
    assert (in_blocks(lambda x, y: x * y + 1, x, y) == x * y + 1).all()
    assert in_blocks(np.square, x).dtype == np.float32
    np.testing.assert_allclose(summed_in_blocks(np.square, x), np.square(x.astype(float)).sum(), rtol=1e-5)


def test_arrays_that_lie_in_pieces_are_taken_whole(rng):
    x = rng.standard_normal((300, 600)).astype(np.float32)
    assert (in_blocks(np.subtract, x.T, x.T[:1]) == x.T - x.T[:1]).all()
    assert (in_blocks(np.subtract, x, x[::-1]) == x - x[::-1]).all()


@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (UNSHARED,), (3, UNSHARED + 7)])
def test_sum_of_squares(rng, shape):
    x = np.asarray(rng.standard_normal(shape), np.float32)
    for a in (x, x.T, x[..., ::2] if shape else x):
        np.testing.assert_allclose(sum_of_squares(a), np.square(a.astype(float)).sum(), rtol=1e-6)
