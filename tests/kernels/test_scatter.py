import numpy as np
import pytest

from disttorch.kernels.portable.scatter import HANDFUL, are_within

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


@pytest.mark.parametrize("often", [1, 9, 40])  # rarer and more frequent than there are indices as frequent
def test_rows_that_meet_often_are_added(kernels, rng, often):
    target, indices = normal(rng, 6, 4), np.repeat([0, 3, 5], [often, 2, 1])
    source = normal(rng, len(indices), 4)
    expected = target.astype(float)
    np.add.at(expected, indices, source)
    kernels.index_add(target, indices, source)
    assert_close(target, expected)


@pytest.mark.parametrize(("axis", "shape"), [(0, (30, 2, 3)), (1, (4, 30, 3)), (2, (4, 2, 30)), (0, (1, 1, 1))])
def test_scatter_add(kernels, rng, axis, shape):
    target, source = normal(rng, 5, 3, 4), normal(rng, *shape)
    index = rng.integers(0, target.shape[axis], shape)
    expected = target.astype(float)
    at = [*np.ogrid[tuple(slice(n) for n in shape)]]
    at[axis] = index
    np.add.at(expected, tuple(at), source)
    kernels.scatter_add(target, axis, index, source)
    assert_close(target, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("count", [2, HANDFUL, HANDFUL + 1])
def test_indices_within_a_size(dtype, count):
    indices = np.zeros((1, count), dtype)
    indices[0, -1] = 4
    assert are_within(indices, 5)
    assert not are_within(indices, 4)
    if np.issubdtype(dtype, np.signedinteger):
        assert not are_within(-indices, 5)
    assert are_within(indices[:, :0], 0)
    assert not are_within(indices[0, -1:].reshape(()), 4)
