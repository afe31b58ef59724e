"""tensor[index] in the forms that NumPy takes otherwise, or the short way leaves to the long one."""

import itertools
import math

import pytest

import disttorch as torch

X = torch.arange(24.0).reshape(2, 3, 4)


def test_ints_are_taken_before_lists():
    """NumPy would move the list's dimension to the front."""
    assert X[0, :, [0, 1]].shape == (3, 2)
    assert torch.equal(X[0, :, [0, 1]], X[0][:, [0, 1]])
    assert torch.equal(X[-1, None, [2, 0]], X[-1][None, [2, 0]])
    mask = torch.tensor([True, False, True])
    assert torch.equal(X[:, mask, 3], X[:, :, 3][:, mask])


def test_writing_takes_them_in_the_same_order():
    x = torch.zeros(2, 3, 4)
    x[1, :, [0, 2]] = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(x[1][:, [0, 2]], torch.arange(6.0).reshape(3, 2))
    assert x[0].sum() == 0


def test_gradient_of_an_int_beside_a_list():
    x = X.clone().requires_grad_()
    (x[0, :, [1, 1]] * 2).sum().backward()
    assert torch.equal(x.grad[0, :, 1], torch.full((3,), 4.0))
    assert x.grad.sum() == 12


@pytest.mark.parametrize("index", [1, (1, 2), (slice(None), slice(1, 3)), (..., 0), None, (0, 1, 2)])
def test_ints_and_slices_give_views_that_autograd_follows(index):
    x = X.clone().requires_grad_()
    part = x[index]
    assert part._base is x
    part.sum().backward()
    assert x.grad.sum() == part.numel()
    y = X.clone()
    view = y[index]
    view.fill_(-1)
    assert (y == -1).sum() == view.numel()
    assert y._version == view._version == 1


def test_a_view_follows_what_is_done_to_its_base():
    x = X.clone()
    part = x[0, :, 1:3]
    x.mul_(torch.tensor(2.0, requires_grad=True))
    assert part.requires_grad


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        (2, IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
        ((0, -4), IndexError, "index -4 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        (slice(0, 1.5), TypeError, "slice indices must be integers or None or have an __index__ method"),
        (0.5, IndexError, "only integers, slices"),
    ],
)
def test_what_cannot_be_an_index(index, error, text):
    with pytest.raises(error, match=text):
        X[index]


@pytest.mark.oracle
def test_every_combination_of_three():
    theirs = pytest.importorskip("torch")
    parts = [-1, None, ..., slice(None), slice(1, 3), [0, 1], True]

    def taken(library, shape, index):
        x = library.arange(math.prod(shape)).reshape(shape).float().requires_grad_()
        try:
            y = x[index]
            (y * y).sum().backward()
        except IndexError:
            return "IndexError"
        return y.tolist(), x.grad.tolist(), y._base is not None

    for shape in ((3,), (2, 3, 4)):
        for count in (1, 2, 3):
            for index in itertools.product(parts, repeat=count):
                if index.count(...) < 2:
                    assert taken(torch, shape, index) == taken(theirs, shape, index), (shape, index)


def test_a_list_that_means_a_tuple():
    x = torch.arange(24).reshape(2, 3, 4)
    for index in ([slice(0, 1), slice(0, 2)], [None, 0], [..., 0], [[0, 1], [1, 2]], [x[0, 0, :2], x[0, 0, 1:3]]):
        with pytest.warns(UserWarning, match="Using a non-tuple sequence for multidimensional indexing"):
            assert x[index].tolist() == x[tuple(index)].tolist()
    assert x[[0, 1, 1]].shape == (3, 3, 4)
    with pytest.warns(UserWarning, match="non-tuple sequence"):
        x[[slice(None), 0]] = 7
    assert (x[:, 0] == 7).all()
