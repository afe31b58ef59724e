"""What may be put where: values of other types, numbers that do not fit, and what results look like in memory."""

import math

import numpy as np
import pytest

import disttorch


def test_numbers_become_elements_as_fill_makes_them():
    x = disttorch.zeros(3, dtype=disttorch.uint8)
    x[[0, 1]] = -1
    assert x.tolist() == [255, 255, 0]
    x[x > 0] = 2.7
    assert x.tolist() == [2, 2, 0]
    for bad in (300, math.nan, 1j):
        with pytest.raises(RuntimeError, match="value cannot be converted to type uint8_t without overflow"):
            x[[0]] = bad


@pytest.mark.parametrize("index", [0, slice(2), [0, 1]], ids=str)
@pytest.mark.parametrize("value", [None, "a", [1.0, 2.0]], ids=str)
def test_what_is_no_number_is_not_assigned(index, value):
    x = disttorch.zeros(3)
    with pytest.raises(TypeError, match=f"can't assign a {type(value).__name__} to a torch.FloatTensor"):
        x[index] = value
    assert x.tolist() == [0, 0, 0]


def test_index_put_wants_the_same_dtype():
    x = disttorch.zeros(3)
    with pytest.raises(RuntimeError, match="got Float for the destination and Long for the source"):
        x[[0, 1]] = disttorch.tensor([1, 2])
    with pytest.raises(RuntimeError, match="shape mismatch: value tensor of shape"):
        x[[0, 1]] = disttorch.tensor([1, 2, 3])
    x[x == 0] = disttorch.tensor(7)  # one value for a mask: masked_fill
    x[0:2] = disttorch.tensor([1, 2])  # a view is copied to
    assert x.tolist() == [1, 2, 7]


def test_masked_fill_drops_what_the_dtype_cannot_hold():
    x, mask = disttorch.ones(2, dtype=disttorch.int64), disttorch.tensor([True, False])
    assert x.masked_fill(mask, 0.0).tolist() == [0, 1]
    assert x.masked_fill(mask, 2.5).tolist() == [2, 1]
    with pytest.raises(RuntimeError, match="value cannot be converted to type int64_t without overflow"):
        x.masked_fill(mask, -math.inf)
    with pytest.raises(TypeError, match="must be Number, not list"):
        x.masked_fill(mask, [1])


def test_nothing_is_written_to_an_empty_tensor():
    x = disttorch.zeros(3, 0)
    x[...] = 1
    x.fill_(2)
    x[:] = disttorch.zeros(3, 1)
    assert x.shape == (3, 0)


def test_results_of_indices_are_contiguous():
    x = disttorch.arange(24.0).reshape(2, 3, 4)
    assert x[:, [0, 2]].stride() == (8, 4, 1)
    assert x[..., x[0, 0] > 1].is_contiguous()
    assert x[None, ..., None].stride() == (24, 12, 4, 1, 1)


def test_full_wants_a_number():
    for value in (None, "a", [1]):
        with pytest.raises(TypeError, match=r"full\(\): argument 'fill_value' \(position 2\) must be Number, not"):
            disttorch.full((2,), value, dtype=disttorch.bool)


@pytest.mark.parametrize(("dim", "shape"), [(0, (9, 70)), (1, (70, 9)), (1, (3, 9, 40))])
def test_index_select_of_entries_that_repeat_has_gradients_of_gradients(dim, shape):
    x = disttorch.randn(shape, dtype=disttorch.float64).requires_grad_()
    at = disttorch.tensor([0, 8, 8, 3, 8, 0])
    (gx,) = disttorch.autograd.grad((x.index_select(dim, at) ** 3).sum(), x, create_graph=True)
    times = disttorch.zeros(9, dtype=disttorch.float64).index_add(0, at, disttorch.ones(6, dtype=disttorch.float64))
    times = times.reshape([-1 if k == dim else 1 for k in range(len(shape))])
    assert disttorch.allclose(gx, 3 * x**2 * times)
    (again,) = disttorch.autograd.grad(gx.sum(), x)
    assert disttorch.allclose(again, 6 * x * times)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (2, 3, 4, 20)])
@pytest.mark.parametrize("made", [lambda x: x, lambda x: x.transpose(0, 1).contiguous().transpose(0, 1)])
def test_a_vector_of_indices_behind_whole_dimensions(shape, made):
    a = np.random.default_rng(0).standard_normal(shape)
    for dim, size in enumerate(shape):
        index = np.array([0, -1, 2 % size, -1, -size])
        x = made(disttorch.from_numpy(a)).requires_grad_()
        picked = x[(slice(None),) * dim + (disttorch.from_numpy(index),)]
        np.testing.assert_array_equal(picked.detach().numpy(), np.take(a, index, axis=dim))
        g = np.random.default_rng(1).standard_normal(picked.shape)
        picked.backward(disttorch.from_numpy(g))
        wanted = np.zeros(shape)
        np.add.at(np.moveaxis(wanted, dim, 0), index, np.moveaxis(g, dim, 0))
        np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-14)
        with pytest.raises(IndexError, match=f"index {size} is out of bounds for dimension {dim} with size {size}"):
            x[(slice(None),) * dim + (disttorch.tensor([0, size]),)]


def test_triangles_of_large_matrices_and_what_is_not_a_number():
    a = np.random.default_rng(0).standard_normal((3, 90, 70)).astype(np.float32)
    a[:, :, 40], a[:, 7] = np.inf, np.nan
    for k in (-95, -3, 0, 5, 75):
        for x in (disttorch.from_numpy(a), disttorch.from_numpy(a.swapaxes(1, 2))):
            np.testing.assert_array_equal(x.tril(k).numpy(), np.tril(x.numpy(), k))
            np.testing.assert_array_equal(x.triu(k).numpy(), np.triu(x.numpy(), k))
    found = disttorch.from_numpy(a).nan_to_num(1, 2)
    np.testing.assert_array_equal(found.numpy(), np.nan_to_num(a, nan=1, posinf=2))
    finite = disttorch.ones(3)
    assert finite.nan_to_num().data_ptr() != finite.data_ptr()
