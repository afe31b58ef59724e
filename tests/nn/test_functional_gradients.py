"""First and second derivatives of the operations of neural networks, against differences."""

import pytest

import disttorch
import disttorch.nn.functional as F
from disttorch.autograd import gradcheck, gradgradcheck
from disttorch.ops import recurrent

double = disttorch.float64


def normal(*shape):
    return disttorch.randn(*shape, dtype=double)


def inner(*shape):
    """Numbers well inside (0, 1)."""
    return disttorch.rand(*shape, dtype=double) * 0.8 + 0.1


def index(values):
    return disttorch.tensor(values)


# name: function of tensors, the tensors' shapes (a list: numbers inside (0, 1))
CASES = {
    "linear": (F.linear, (3, 4), (2, 4), (2,)),
    "linear of a batch": (F.linear, (2, 3, 4), (2, 4)),
    "bilinear": (F.bilinear, (3, 2), (3, 4), (2, 2, 4), (2,)),
    "conv1d dilated": (lambda x, w, b: F.conv1d(x, w, b, 2, 1, 2), (2, 2, 7), (3, 2, 3), (3,)),
    "conv2d in groups": (lambda x, w, b: F.conv2d(x, w, b, (2, 1), 1, 1, 2), (1, 4, 4, 3), (2, 2, 3, 2), (2,)),
    "conv2d same": (lambda x, w: F.conv2d(x, w, padding="same"), (1, 1, 3, 3), (1, 1, 2, 3)),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1, 2), (1, 4, 2, 2), (4, 1, 3, 2), (2,)),
    "conv_transpose1d with room to spare": (
        lambda x, w: F.conv_transpose1d(x, w, stride=1, output_padding=1, dilation=2),
        (1, 1, 3),
        (1, 2, 2),
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2, 1, 1), (1, 2, 3, 3)),
    "max_pool2d with indices": (lambda x: F.max_pool2d(x, 2, return_indices=True)[0], (1, 2, 4, 4)),
    "max_unpool1d": (lambda x: F.max_unpool1d(x, index([[[1, 2]]]), 2), (1, 1, 2)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, 1, 1, count_include_pad=False), (1, 2, 3, 3)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), (1, 2, 4, 4)),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (2, 3)), (1, 2, 4, 4)),
    "lp_pool2d": (lambda x: F.lp_pool2d(x, 3, 2), [1, 1, 4, 4]),
    "batch_norm in training": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (3, 2, 2), (2,), (2,)),
    "batch_norm in evaluation": (
        lambda x, w, b: F.batch_norm(x, x.new_tensor([0.5, -1]), x.new_tensor([2.0, 3]), w, b),
        (3, 2, 2),
        (2,),
        (2,),
    ),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (2, 3), w, b), (2, 2, 3), (2, 3), (2, 3)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (3,), w), (2, 3), (3,)),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), (2, 4, 2), (4,), (4,)),
    "instance_norm": (lambda x, w, b: F.instance_norm(x, None, None, w, b), (2, 2, 3), (2,), (2,)),
    "local_response_norm": (lambda x: F.local_response_norm(x, 2, 0.5), (1, 3, 2)),
    "softmax": (lambda x: F.softmax(x, 1), (2, 3)),
    "log_softmax": (lambda x: F.log_softmax(x, 0), (2, 3)),
    "cross_entropy": (lambda x: F.cross_entropy(x, index([1, 0, -100]), label_smoothing=0.1), (3, 4)),
    "cross_entropy of pictures": (
        lambda x: F.cross_entropy(x, index([[1, 0], [2, -100]]), x.new_tensor([1.0, 2, 3, 4]), reduction="none"),
        (2, 4, 2),
    ),
    "cross_entropy of probabilities": (F.cross_entropy, (2, 3), [2, 3]),
    "nll_loss": (lambda x: F.nll_loss(x, index([1, 0])), (2, 3)),
    "mse_loss": (F.mse_loss, (3,), (3,)),
    "l1_loss": (F.l1_loss, (3,), (3,)),
    "smooth_l1_loss": (F.smooth_l1_loss, (5,), (5,)),
    "huber_loss": (F.huber_loss, (5,), (5,)),
    "binary_cross_entropy": (F.binary_cross_entropy, [4], [4]),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, (4,), [4]),
    "kl_div": (lambda x, y: F.kl_div(x, y, reduction="sum"), (2, 3), [2, 3]),
    "gaussian_nll_loss": (F.gaussian_nll_loss, (3,), (3,), [3]),
    "poisson_nll_loss": (lambda x, y: F.poisson_nll_loss(x, y, full=True), (3,), [3]),
    "multi_margin_loss": (lambda x: F.multi_margin_loss(x, index([1, 0])), (2, 3)),
    "multilabel_margin_loss": (lambda x: F.multilabel_margin_loss(x, index([[1, 0, -1], [2, -1, 0]])), (2, 3)),
    "triplet_margin_loss": (F.triplet_margin_loss, (2, 3), (2, 3), (2, 3)),
    "ctc_loss": (
        lambda x: F.ctc_loss(F.log_softmax(x, 2), index([[1, 2], [2, 2]]), (4, 4), (2, 1)),
        (4, 2, 3),
    ),
    "embedding": (lambda w: F.embedding(index([[1, 0], [1, 2]]), w), (4, 3)),
    "embedding_bag": (lambda w: F.embedding_bag(index([[1, 0], [1, 2]]), w, mode="max"), (4, 3)),
    "attention, causal": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        (1, 3, 2),
        (1, 3, 2),
        (1, 3, 2),
    ),
    "attention, learned bias": (F.scaled_dot_product_attention, (1, 3, 2), (1, 4, 2), (1, 4, 3), (3, 4)),
    "cosine_similarity": (F.cosine_similarity, (2, 3), (2, 3)),
    "pairwise_distance": (F.pairwise_distance, (2, 3), (2, 3)),
    "pdist": (F.pdist, (3, 2)),
    "normalize": (F.normalize, (2, 3)),
    "interpolate bilinear": (lambda x: F.interpolate(x, size=(5, 3), mode="bilinear"), (1, 1, 3, 4)),
    "interpolate bicubic": (
        lambda x: F.interpolate(x, size=(2, 5), mode="bicubic", antialias=True),
        (1, 1, 3, 4),
    ),
    "grid_sample": (lambda x, g: F.grid_sample(x, g, align_corners=False), (1, 1, 3, 3), [1, 2, 2, 2]),
    "grid_sample bicubic": (
        lambda x, g: F.grid_sample(x, g, "bicubic", "reflection", False),
        (1, 1, 3, 3),
        [1, 1, 2, 2],
    ),
    "affine_grid": (lambda t: F.affine_grid(t, (1, 1, 2, 3), False), (1, 2, 3)),
    "unfold": (lambda x: F.unfold(x, 2, padding=1, stride=2), (1, 2, 3, 3)),
    "fold": (lambda x: F.fold(x, (3, 3), 2), (1, 8, 4)),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), (1, 4, 2, 2)),
    "pad reflect": (lambda x: F.pad(x, (1, 2), "reflect"), (1, 2, 4)),
    "pad constant": (lambda x: F.pad(x, (1, -1, 2, 0), value=3.0), (2, 3)),
    "prelu": (F.prelu, (2, 3), (3,)),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), (3,)),
    "lstm": (
        lambda x, h, c, *w: recurrent.lstm(x, (h, c), w, True, 1, 0.0, False, False, False),
        (2, 1, 3),
        (1, 1, 2),
        (1, 1, 2),
        (8, 3),
        (8, 2),
        (8,),
        (8,),
    ),
    "lstm with projection": (
        lambda x, h, c, *w: recurrent.lstm(x, (h, c), w, False, 1, 0.0, False, False, True),
        (1, 2, 2),
        (1, 1, 1),
        (1, 1, 2),
        (8, 2),
        (8, 1),
        (1, 2),
    ),
    "gru": (
        lambda x, h, *w: recurrent.gru(x, h, w, True, 1, 0.0, False, False, False),
        (2, 2, 2),
        (1, 2, 2),
        (6, 2),
        (6, 2),
        (6,),
        (6,),
    ),
    "rnn, packed, both directions": (
        lambda x, h, *w: recurrent.rnn_tanh(x, index([2, 1]), h, w, False, 1, 0.0, False, True),
        (3, 2),
        (2, 2, 2),
        (2, 2),
        (2, 2),
        (2, 2),
        (2, 2),
    ),
}
ACTIVATIONS = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "sigmoid",
    "tanh",
]
CASES |= {name: (getattr(F, name), (2, 4)) for name in ACTIVATIONS}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    function, *shapes = CASES[name]
    inputs = [(inner if isinstance(s, list) else normal)(*s).requires_grad_() for s in shapes]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_padding_row_of_an_embedding_gets_no_gradient():
    table = normal(4, 3).requires_grad_()
    F.embedding(index([[1, 2], [1, 0]]), table, padding_idx=1).sum().backward()
    assert table.grad.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 0]]


def test_in_place_activations_have_the_gradients_of_the_others():
    for name in ("relu", "elu", "silu", "hardswish", "leaky_relu", "mish"):
        x = normal(5).requires_grad_()
        whole, part = x * 2, x * 2
        getattr(F, name)(whole).sum().backward()
        expected, x.grad = x.grad, None
        assert getattr(F, name)(part, inplace=True) is part
        part.sum().backward()
        assert disttorch.equal(x.grad, expected), name
