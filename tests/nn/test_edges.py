"""Small differences from PyTorch that a script would meet: calls with attributes, states without momentum, batches of
tensors and numbers, targets of whole numbers.
"""

import math

import pytest

import disttorch
from disttorch import nn
from disttorch.func import functional_call
from disttorch.nn import functional
from disttorch.optim import SGD, Adam
from disttorch.utils.data import default_collate


def test_functional_call_sets_attributes_for_the_call():
    class Scaled(nn.Module):
        def forward(self, x):
            return x * self.scale

    model = Scaled()
    assert functional_call(model, {"scale": disttorch.tensor(3.0)}, (disttorch.ones(1),)).item() == 3
    assert not hasattr(model, "scale")
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\): 'scale'"):
        functional_call(model, {"scale": disttorch.ones(1)}, (disttorch.ones(1),), strict=True)


def test_parameters_without_state_are_not_in_the_state_dict():
    w = nn.Parameter(disttorch.ones(1))
    w.grad = disttorch.ones(1)
    for optimizer, wanted in ((SGD([w], 0.1), {}), (SGD([w], 0.1, momentum=0.9), {0})):
        optimizer.step()
        assert set(optimizer.state_dict()["state"]) == set(wanted)


def test_groups_are_printed_apart():
    text = repr(Adam([{"params": [nn.Parameter(disttorch.ones(1))]} for _ in range(2)]))
    assert "weight_decay: 0\n\nParameter Group 1\n" in text
    assert text.startswith("Adam (\nParameter Group 0\n")


def test_a_batch_of_a_tensor_and_a_number():
    with pytest.raises(TypeError, match="expected Tensor as element 1 in argument 0, but got int"):
        default_collate([disttorch.tensor(1), 2])


def test_targets_of_logits_are_floating():
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        functional.binary_cross_entropy_with_logits(disttorch.ones(2), disttorch.ones(2, dtype=disttorch.int64))


def test_where_tells_which_sizes_do_not_match():
    with pytest.raises(RuntimeError, match=r"The size of tensor a \(3\) must match the size of tensor b \(2\)"):
        disttorch.where(disttorch.ones(3) > 0, disttorch.ones(2), 0.0)


@pytest.mark.parametrize("dtype", [disttorch.float32, disttorch.float64, disttorch.bfloat16])
def test_leaky_relu_without_a_slope_keeps_what_is_not_finite(dtype):
    x = disttorch.tensor([-2.0, 3.0, math.inf, -math.inf, math.nan] * 1000, dtype=dtype)
    y = functional.leaky_relu(x, 0.0)[:5]
    assert y[:3].tolist() == [0, 3, math.inf]
    assert y[3:].isnan().all()
