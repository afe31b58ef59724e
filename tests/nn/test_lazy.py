"""Lazy modules on their way to a shape: what can be asked before, and what gives them one."""

import pytest

import disttorch
from disttorch import nn


def chain():
    return nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.ReLU())


def test_a_parameter_without_shape_answers_no_question_that_needs_one():
    weight = nn.LazyLinear(4).weight
    for ask in (weight.numel, weight.sum, weight.tolist, lambda: nn.init.zeros_(weight), lambda: weight.view(-1)):
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter in"):
            ask()
    assert weight.requires_grad
    assert weight.is_floating_point()
    with pytest.raises(RuntimeError, match="Can't share memory on an uninitialized parameter or buffer"):
        chain().share_memory()


def test_a_conversion_before_the_first_input_is_kept():
    model = chain().double()
    with pytest.raises(RuntimeError, match="same dtype"):
        model(disttorch.ones(2, 3))
    assert model(disttorch.ones(2, 3).double()).dtype is disttorch.float64
    assert [type(m) for m in model] == [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert model[1].running_mean.dtype is disttorch.float64


def test_a_state_gives_the_shape_and_the_first_input_keeps_its_values():
    full = nn.Linear(3, 4)
    lazy = nn.LazyLinear(4)
    lazy.load_state_dict(full.state_dict())
    x = disttorch.ones(2, 3)
    assert lazy(x).tolist() == full(x).tolist()
    assert (type(lazy), lazy.in_features) == (nn.Linear, 3)
    norm = nn.LazyBatchNorm1d()
    state = {**nn.BatchNorm1d(3).state_dict(), "running_mean": disttorch.full((3,), 2.0)}
    norm.load_state_dict(state)
    norm.eval()(x)
    assert norm.running_mean.tolist() == [2, 2, 2]


def test_a_lazy_module_of_ones_own_fills_itself():
    class Scale(nn.modules.lazy.LazyModuleMixin, nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.UninitializedParameter()

        def initialize_parameters(self, x):
            if self.has_uninitialized_params():
                self.scale.materialize((x.shape[-1],))
                nn.init.constant_(self.scale, 3.0)

        def forward(self, x):
            return x * self.scale

    assert Scale()(disttorch.ones(2)).tolist() == [3, 3]
