"""Functions that pass some elements' gradients and stop others': the same ones as PyTorch, whatever the gradients are.

An infinite or undefined gradient that is stopped is 0; a product with a mask would make it NaN.
"""

import itertools

import numpy as np
import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

INPUTS = [
    float("nan"),
    float("inf"),
    -float("inf"),
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    3.0,
    -3.0,
    6.0,
    7.0,
    -2.0,
    2.0,
    0.3,
]
GRADIENTS = [1.0, float("inf"), -float("inf"), float("nan")]
PAIRS = np.array(list(itertools.product(INPUTS, GRADIENTS)), np.float32)
FUNCTIONS = {
    "relu": lambda t, x: t.relu(x),
    "relu_": lambda t, x: (x * 2).relu_(),
    "leaky_relu": lambda t, x: t.nn.functional.leaky_relu(x, 0.1),
    "hardtanh": lambda t, x: t.nn.functional.hardtanh(x),
    "relu6": lambda t, x: t.nn.functional.relu6(x),
    "threshold": lambda t, x: t.nn.functional.threshold(x, 0.5, 7.0),
    "hardsigmoid": lambda t, x: t.nn.functional.hardsigmoid(x),
    "hardswish": lambda t, x: t.nn.functional.hardswish(x),
    "hardshrink": lambda t, x: t.nn.functional.hardshrink(x),
    "softshrink": lambda t, x: t.nn.functional.softshrink(x),
    "prelu": lambda t, x: t.nn.functional.prelu(x, t.tensor([0.25], dtype=x.dtype)),
    "elu": lambda t, x: t.nn.functional.elu(x),
    "dropout": lambda t, x: (t.manual_seed(3), t.nn.functional.dropout(x))[1],
    "clamp": lambda t, x: x.clamp(-1, 1),
    "clamp to tensors": lambda t, x: x.clamp(t.full_like(x, -1), t.full_like(x, 1)),
    "where": lambda t, x: t.where(x > 0, x, 0),
    "masked_fill": lambda t, x: x.masked_fill(x < 0, 1),
    "masked_select": lambda t, x: x.masked_select(x > 0),
    "tril": lambda t, x: x.reshape(-1, 8).tril(),
    "max_pool2d": lambda t, x: t.nn.functional.max_pool2d(x.reshape(1, -1, 4, 8), 2),
    "overlapping max_pool2d": lambda t, x: t.nn.functional.max_pool2d(x.reshape(1, -1, 4, 8), 3, 1, 1),
    "maximum": lambda t, x: t.maximum(x, t.zeros_like(x)),
    "maximum, second": lambda t, x: t.maximum(t.zeros_like(x), x),
    "minimum": lambda t, x: t.minimum(x, t.zeros_like(x)),
    "fmax": lambda t, x: t.fmax(x, t.zeros_like(x)),
    "fmin, second": lambda t, x: t.fmin(t.zeros_like(x), x),
    "abs": lambda t, x: x.abs(),
    "sign": lambda t, x: x.sign(),
    "floor": lambda t, x: x.floor(),
    "round": lambda t, x: x.round(),
    "nan_to_num": lambda t, x: x.nan_to_num(),
    "to the power 0": lambda t, x: x**0,
    "sinc": lambda t, x: t.sinc(x),
    "logaddexp": lambda t, x: t.logaddexp(x, t.zeros_like(x)),
    "hinge_embedding_loss": lambda t, x: t.nn.functional.hinge_embedding_loss(x, t.ones_like(x), reduction="none"),
}


def result_and_gradient(t, function, dtype, x, g):
    x = t.tensor(x, dtype=dtype, requires_grad=True)
    y = function(t, x)
    y.backward(t.tensor(np.resize(g, y.numel()).tolist(), dtype=y.dtype).reshape(y.shape))
    return [a.detach().double().reshape(-1).tolist() for a in (y, x.grad)]


@pytest.mark.filterwarnings("ignore:invalid value encountered in multiply:RuntimeWarning")  # of dropout
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("times", [1, 64])  # few elements and many take different ways
def test_what_is_stopped_is_0(name, dtype, times):
    x, g = np.tile(PAIRS, (times, 1)).T.tolist()
    ours, theirs = (result_and_gradient(t, FUNCTIONS[name], getattr(t, dtype), x, g) for t in (disttorch, torch))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-6)
