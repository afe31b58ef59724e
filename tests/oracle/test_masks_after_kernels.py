"""Masks and samples in the shape of what our kernels lay out channels-last: PyTorch's numbers, in its order."""

import numpy as np
import pytest

import disttorch
from disttorch import layouts

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle


@pytest.fixture(autouse=True)
def no_format_asked_for():
    asked = set(layouts.asked)
    layouts.asked.clear()
    yield
    layouts.asked.clear()
    layouts.asked.update(asked)


RESULTS = {
    "convolution": lambda T: T.nn.Conv2d(3, 4, 3)(T.randn(2, 3, 6, 6)),
    "convolution of sequences": lambda T: T.nn.Conv1d(3, 4, 3)(T.randn(2, 3, 6)),
    "block": lambda T: T.nn.functional.max_pool2d(T.nn.BatchNorm2d(4)(T.nn.Conv2d(3, 4, 3)(T.randn(2, 3, 6, 6))), 2),
    "detached": lambda T: T.relu(T.nn.Conv2d(3, 4, 3)(T.randn(2, 3, 6, 6))).detach(),
    "transposed by the program": lambda T: T.randn(2, 6, 4).transpose(1, 2),
    "channels-last for the program": lambda T: T.nn.Conv2d(3, 4, 3)(
        T.randn(2, 3, 6, 6).contiguous(memory_format=T.channels_last)
    ),
}
DRAWS = {
    "dropout": lambda T, x: T.nn.functional.dropout(x, 0.5),
    "alpha_dropout": lambda T, x: T.nn.functional.alpha_dropout(x, 0.5, training=True),
    "randn_like": lambda T, x: T.randn_like(x),
    "rand_like": lambda T, x: T.rand_like(x),
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("result", RESULTS)
def test_order_of_draws(result, draw):
    drawn = []
    for T in (torch, disttorch):
        T.manual_seed(0)
        drawn.append(DRAWS[draw](T, RESULTS[result](T)).detach().numpy())
    np.testing.assert_allclose(drawn[1], drawn[0], rtol=1e-5, atol=1e-5)


def test_masks_lie_as_what_they_are_for():
    x = disttorch.nn.Conv2d(3, 4, 3)(disttorch.randn(2, 3, 6, 6))
    assert disttorch.nn.functional.dropout(x).stride() == x.stride()
    assert disttorch.zeros_like(x).is_contiguous()
