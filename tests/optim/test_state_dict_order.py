"""The order of what an optimizer's state_dict holds, and hooks that replace it."""

import disttorch as torch


def optimizer():
    return torch.optim.SGD([torch.ones(1, requires_grad=True)], 0.1)


def test_parameters_come_last():
    group = optimizer().state_dict()["param_groups"][0]
    assert next(iter(group)) == "lr"
    assert list(group)[-1] == "params"
    assert group["params"] == [0]


def test_a_hook_may_empty_it():
    o = optimizer()
    o.register_state_dict_post_hook(lambda o, state: {})
    assert o.state_dict() == {}
