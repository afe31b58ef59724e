"""Views of results that kernels lay out in an order of their own."""

import numpy as np
import pytest

import disttorch as T
from disttorch import nn

REFUSED = "view size is not compatible"


@pytest.fixture
def image():
    return nn.Conv2d(3, 8, 3, padding=1)(T.randn(2, 3, 6, 6))


def test_parts_and_detached_results_can_be_viewed(image):
    first, second = image.chunk(2, 1)
    assert first.view(2, -1).tolist() == first.reshape(2, -1).tolist()
    assert second.view(2, 2, 2, 36).shape == (2, 2, 2, 36)
    assert image[0].view(-1).tolist() == image[0].flatten().tolist()
    assert image.detach().view(2, -1).tolist() == image.flatten(1).tolist()


def test_a_view_shares_memory(image):
    flat = image.view(2, -1)
    flat.mul_(2)
    assert image.flatten(1).tolist() == flat.tolist()
    with T.no_grad():
        pooled = nn.MaxPool2d(2)(image)
        pooled.view(-1).zero_()
        assert pooled.abs().sum() == 0
        turned = T.randn(3, 4).t() + 1
        turned.view(-1).zero_()
        assert turned.abs().sum() == 0


@pytest.mark.parametrize("make", [lambda y: y, lambda y: y.relu()])
def test_arrays_that_were_given_out_stay_the_tensors(image, make):
    with T.no_grad():
        result = make(image.detach().clone())
        array = result.numpy()
        result.view(-1)
        result.fill_(3)
    assert (array == 3).all()


def test_memory_of_others_is_not_left():
    array = np.frombuffer(bytearray(48), np.float32).reshape(3, 4)
    tensor = T.from_numpy(array.T)
    del array
    before = tensor.data_ptr()
    tensor.view(-1)
    assert tensor.data_ptr() == before


def test_gradients_pass_a_changed_view():
    x = T.ones(1, 2, 4, 4, requires_grad=True)
    conv = nn.Conv2d(2, 3, 3)
    y = conv(x)
    y.view(-1).mul_(2)
    y.sum().backward()
    doubled, x.grad = x.grad, None
    (conv(x) * 2).sum().backward()
    assert T.allclose(doubled, x.grad)


def test_what_is_refused():
    x = T.randn(3, 4)
    with pytest.raises(RuntimeError, match=REFUSED):
        x.t().view(-1)
    with pytest.raises(RuntimeError, match=REFUSED):
        x[:, :2].view(6)
    for change in (x.contiguous, x.clone, x.to):
        with pytest.raises(RuntimeError, match="required rank 4 tensor to use channels_last format"):
            change(memory_format=T.channels_last)
    assert not x.is_contiguous(memory_format=T.channels_last)


@pytest.mark.parametrize("n", [3, 80])  # by a mask that is kept, and by NumPy's own functions
def test_triangles_of_a_transpose_are_contiguous(n):
    x = T.randn(n, n).t()
    for triangle, whole in ((x.tril(), np.tril(x.numpy())), (x.triu(), np.triu(x.numpy()))):
        assert triangle.is_contiguous()
        assert np.array_equal(triangle.numpy(), whole)
