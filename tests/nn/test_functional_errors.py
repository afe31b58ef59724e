"""What people meet daily when something does not fit, in PyTorch's words."""

import pytest

import disttorch
import disttorch.nn.functional as F
from disttorch import ones, zeros


def long(*shape, value=0):
    return disttorch.full(shape, value)


ERRORS = {
    "linear": (
        lambda: F.linear(ones(2, 3), ones(4, 5)),
        RuntimeError,
        "mat1 and mat2 shapes cannot be multiplied (2x3 and 5x4)",
    ),
    "linear of a batch": (
        lambda: F.linear(ones(2, 2, 3), ones(4, 5)),
        RuntimeError,
        "mat1 and mat2 shapes cannot be multiplied (4x3 and 5x4)",
    ),
    "linear dtype": (
        lambda: F.linear(long(2, 3), ones(4, 3), ones(4)),
        RuntimeError,
        "mat1 and mat2 must have the same dtype, but got Long and Float",
    ),
    "linear of a number": (
        lambda: F.linear(3, ones(4, 3)),
        TypeError,
        "linear(): argument 'input' (position 1) must be Tensor, not int",
    ),
    "conv2d rank": (
        lambda: F.conv2d(ones(2, 3), ones(4, 3, 3, 3)),
        RuntimeError,
        "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [2, 3]",
    ),
    "conv2d channels": (
        lambda: F.conv2d(ones(2, 1, 4, 4), ones(4, 3, 3, 3)),
        RuntimeError,
        "Given groups=1, weight of size [4, 3, 3, 3], expected input[2, 1, 4, 4] to have 3 channels, but got 1 "
        "channels instead",
    ),
    "conv2d kernel": (
        lambda: F.conv2d(ones(2, 3, 4, 4), ones(4, 3, 5, 5)),
        RuntimeError,
        "Calculated padded input size per channel: (4 x 4). Kernel size: (5 x 5). Kernel size can't be greater than "
        "actual input size",
    ),
    "conv2d dtype": (
        lambda: F.conv2d(ones(2, 3, 4, 4), ones(4, 3, 3, 3, dtype=disttorch.float64)),
        RuntimeError,
        "Input type (torch.FloatTensor) and weight type (torch.DoubleTensor) should be the same",
    ),
    "conv2d bias": (
        lambda: F.conv2d(ones(2, 3, 4, 4), ones(4, 3, 3, 3), ones(5)),
        RuntimeError,
        "Given weight of size [4, 3, 3, 3], expected bias to be 1-dimensional with 4 elements, but got bias of size "
        "[5] instead",
    ),
    "conv2d stride": (
        lambda: F.conv2d(ones(2, 3, 4, 4), ones(4, 3, 3, 3), stride=(1, 1, 1)),
        RuntimeError,
        "expected stride to be a single integer value or a list of 2 values to match the convolution dimensions, but "
        "got stride=[1, 1, 1]",
    ),
    "conv2d same": (
        lambda: F.conv2d(ones(2, 3, 4, 4), ones(4, 3, 3, 3), padding="same", stride=2),
        RuntimeError,
        "padding='same' is not supported for strided convolutions",
    ),
    "conv_transpose2d channels": (
        lambda: F.conv_transpose2d(ones(2, 3, 4, 4), ones(4, 3, 3, 3)),
        RuntimeError,
        "Given transposed=1, weight of size [4, 3, 3, 3], expected input[2, 3, 4, 4] to have 4 channels, but got 3 "
        "channels instead",
    ),
    "max_pool2d output": (
        lambda: F.max_pool2d(ones(2, 3, 4, 4), 5),
        RuntimeError,
        "Given input size: (3x4x4). Calculated output size: (3x0x0). Output size is too small",
    ),
    "max_pool2d padding": (
        lambda: F.max_pool2d(ones(2, 3, 4, 4), 2, padding=2),
        RuntimeError,
        "pad should be at most half of effective kernel size, but got pad=2, kernel_size=2 and dilation=1",
    ),
    "cross_entropy batch": (
        lambda: F.cross_entropy(ones(3, 5), long(4)),
        ValueError,
        "Expected input batch_size (3) to match target batch_size (4).",
    ),
    "cross_entropy class": (
        lambda: F.cross_entropy(ones(3, 5), long(3, value=12)),
        IndexError,
        "Target 12 is out of bounds.",
    ),
    "cross_entropy negative class": (
        lambda: F.cross_entropy(ones(3, 5), long(3, value=-1)),
        IndexError,
        "Target -1 is out of bounds.",
    ),
    "cross_entropy dtype": (
        lambda: F.cross_entropy(ones(3, 5), zeros(3)),
        RuntimeError,
        "expected target dtype to be Long or Byte, but got Float",
    ),
    "cross_entropy shape": (
        lambda: F.cross_entropy(ones(3, 5), long(3, 1)),
        RuntimeError,
        "0D or 1D target tensor expected, multi-target not supported",
    ),
    "cross_entropy weight": (
        lambda: F.cross_entropy(ones(3, 5), long(3), ones(4)),
        RuntimeError,
        "weight tensor should be defined either for all 5 classes or no classes but got weight tensor of shape: [4]",
    ),
    "cross_entropy reduction": (
        lambda: F.cross_entropy(ones(3, 5), long(3), reduction="average"),
        ValueError,
        "average is not a valid value for reduction",
    ),
    "nll_loss pictures": (
        lambda: F.nll_loss(ones(3, 5, 2), long(3, 3)),
        RuntimeError,
        "Expected target size [3, 2], got [3, 3]",
    ),
    "l1_loss reduction": (
        lambda: F.l1_loss(ones(3), ones(3), reduction="x"),
        ValueError,
        "x is not a valid value for reduction",
    ),
    "binary_cross_entropy shapes": (
        lambda: F.binary_cross_entropy(ones(3), ones(3, 1)),
        ValueError,
        "Using a target size (torch.Size([3, 1])) that is different to the input size (torch.Size([3])) is deprecated.",
    ),
    "binary_cross_entropy range": (
        lambda: F.binary_cross_entropy(ones(3) * 2, ones(3)),
        RuntimeError,
        "all elements of input should be between 0 and 1",
    ),
    "embedding index": (
        lambda: F.embedding(disttorch.tensor([5]), ones(4, 2)),
        IndexError,
        "index out of range in self",
    ),
    "embedding negative": (
        lambda: F.embedding(disttorch.tensor([-1]), ones(4, 2)),
        IndexError,
        "index out of range in self",
    ),
    "embedding dtype": (
        lambda: F.embedding(ones(3), ones(4, 2)),
        RuntimeError,
        "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
        "torch.FloatTensor instead",
    ),
    "dropout": (
        lambda: F.dropout(ones(3), p=2),
        ValueError,
        "dropout probability has to be between 0 and 1, but got 2",
    ),
    "batch_norm one value": (
        lambda: F.batch_norm(ones(1, 3), None, None, training=True),
        ValueError,
        "Expected more than 1 value per channel when training, got input size torch.Size([1, 3])",
    ),
    "batch_norm channels": (
        lambda: F.batch_norm(ones(2, 3), zeros(4), ones(4)),
        RuntimeError,
        "running_mean should contain 3 elements not 4",
    ),
    "layer_norm": (
        lambda: F.layer_norm(ones(2, 3), (4,)),
        RuntimeError,
        "Given normalized_shape=[4], expected input with shape [*, 4], but got input of size[2, 3]",
    ),
    "softmax dim": (
        lambda: F.softmax(ones(2, 3), 5),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 5)",
    ),
    "softmax of integers": (
        lambda: F.log_softmax(long(2, 3), 1),
        NotImplementedError,
        "\"log_softmax_lastdim_kernel_impl\" not implemented for 'Long'",
    ),
    "pad": (
        lambda: F.pad(ones(2, 3), (3, 1), mode="reflect"),
        RuntimeError,
        "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding (3, 1) at "
        "dimension 1 of input [2, 3]",
    ),
    "interpolate": (
        lambda: F.interpolate(ones(1, 1, 2, 2), size=4, scale_factor=2),
        ValueError,
        "only one of size or scale_factor should be defined",
    ),
    "attention": (
        lambda: F.scaled_dot_product_attention(ones(2, 4), ones(2, 4), ones(2, 4).double()),
        RuntimeError,
        "Expected query, key, and value to have the same dtype, but got query.dtype: float key.dtype: float and "
        "value.dtype: double instead.",
    ),
    "glu": (lambda: F.glu(ones(3)), RuntimeError, "Halving dimension must be even, but dimension 0 is size 3"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(text)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.oracle
@pytest.mark.parametrize("name", ERRORS)
def test_the_error_is_pytorchs(name, monkeypatch):
    """The same call in PyTorch raises the same error."""
    torch = pytest.importorskip("torch")
    call, kind, text = ERRORS[name]
    for own, theirs in (("F", torch.nn.functional), ("disttorch", torch), ("ones", torch.ones), ("zeros", torch.zeros)):
        monkeypatch.setitem(globals(), own, theirs)
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_mse_loss_warns_of_broadcasting():
    with pytest.warns(
        UserWarning, match=r"Using a target size \(torch.Size\(\[4\]\)\) that is different to the input size"
    ):
        F.mse_loss(ones(4, 1), ones(4))


def test_legacy_arguments_of_losses():
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert F.mse_loss(ones(3), zeros(3), size_average=False).item() == 3
    with pytest.warns(UserWarning, match="please use reduction='none' instead"):
        assert F.l1_loss(ones(3), zeros(3), reduce=False).shape == (3,)


def test_softmax_without_a_dimension_warns():
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax has been deprecated"):
        assert F.softmax(ones(2, 2)).tolist() == [[0.5, 0.5], [0.5, 0.5]]
