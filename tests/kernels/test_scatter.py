import numpy as np
import pytest

from .conftest import assert_close, normal


@pytest.mark.parametrize("rows", [0, 1, 40, 400])  # many rows: some indices occur more often than there are rounds
@pytest.mark.parametrize("padding_idx", [None, 2])
def test_embedding_backward(kernels, rng, rows, padding_idx):
    g, indices = normal(rng, 2, rows, 5), rng.integers(0, 9, (2, rows)) ** 2 % 11
    expected = np.zeros((11, 5))
    np.add.at(expected, indices, g)
    if padding_idx is not None:
        expected[padding_idx] = 0
    assert_close(kernels.embedding_backward(g, indices, 11, padding_idx), expected)


@pytest.mark.parametrize("trailing", [(), (3,), (2, 3)])
def test_index_add(kernels, rng, trailing):
    target, source, indices = normal(rng, 7, *trailing), normal(rng, 50, *trailing), rng.integers(0, 7, 50)
    expected = target.astype(float)
    np.add.at(expected, indices, source)
    kernels.index_add(target, indices, source)
    assert_close(target, expected)
