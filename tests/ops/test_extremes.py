"""Gradients of the largest, smallest and middle elements at ties and NaN; packed LSTMs under autocast."""

import math

import pytest

import disttorch
from disttorch.nn import functional

NAN = math.nan


def gradient(function, values):
    x = disttorch.tensor(values, requires_grad=True)
    function(x).backward()
    return x.grad.tolist()


@pytest.mark.parametrize("name", ["max", "min", "median", "nanmedian"])
def test_equals_share_the_gradient_of_one_of_all(name):
    assert gradient(getattr(disttorch, name), [2.0, 2.0, 2.0, 2.0]) == [0.25] * 4


@pytest.mark.parametrize("name", ["max", "min", "median"])
def test_nans_share_the_gradient_of_a_nan(name):
    assert gradient(getattr(disttorch, name), [1.0, NAN, 3.0, NAN]) == [0, 0.5, 0, 0.5]
    assert disttorch.nanmedian(disttorch.tensor([1.0, NAN, 3.0])) == 1


@pytest.mark.parametrize("name", ["amax", "amin"])
def test_amax_of_nan_has_nan_gradients(name):
    rows = gradient(lambda x: getattr(disttorch, name)(x, 1).sum(), [[1.0, NAN], [2.0, 2.0]])
    assert all(map(math.isnan, rows[0]))
    assert rows[1] == [0.5, 0.5]


def test_the_norm_of_order_0_has_no_gradient():
    x = disttorch.ones(3, requires_grad=True)
    disttorch.linalg.vector_norm(x, 0).backward()
    assert x.grad is None


@pytest.mark.parametrize("n", [1, 2, 3])
def test_adaptive_max_pooling_tells_the_last_nan(n):
    x = disttorch.tensor([1.0, NAN, 3.0, NAN, 5.0]).reshape(1, 1, *(1,) * (n - 1), 5)
    pool = getattr(functional, f"adaptive_max_pool{n}d")
    assert pool(x, (1,) * n, return_indices=True)[1].item() == 3
    assert pool(x, (*(1,) * (n - 1), 3), return_indices=True)[1].flatten().tolist() == [1, 3, 3]


def test_soft_margin_loss_of_halves_overflows_where_its_exponential_does():
    x = disttorch.tensor([-5.0, -12.0], dtype=disttorch.float16)
    loss = functional.soft_margin_loss(x, disttorch.ones(2, dtype=disttorch.float16), reduction="none")
    assert loss.tolist() == [pytest.approx(5.0067, abs=4e-3), math.inf]


def test_a_packed_lstm_keeps_its_states_dtype_under_autocast():
    lstm = disttorch.nn.LSTM(2, 3)
    packed = disttorch.nn.utils.rnn.pack_sequence([disttorch.ones(3, 2), disttorch.ones(1, 2)])
    with disttorch.autocast("cpu"):
        output, (h, c) = lstm(packed)
        dense, _ = lstm(disttorch.ones(3, 1, 2))
    assert output.data.dtype is h.dtype is c.dtype is disttorch.float32
    assert dense.dtype is disttorch.bfloat16
