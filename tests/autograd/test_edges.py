"""Gradients where formulas divide nothing by nothing, hooks and inputs that are wrong, and inference tensors."""

import pytest

import disttorch
from disttorch import autograd


def test_equal_eigenvalues_do_not_matter_to_their_own_gradient():
    for values in (disttorch.linalg.eigh, disttorch.linalg.eig, lambda x: disttorch.linalg.svd(x)[1:]):
        x = disttorch.eye(3, requires_grad=True)
        value = values(x)[0]
        (value.real if value.is_complex() else value).sum().backward()
        assert disttorch.allclose(x.grad, disttorch.eye(3))


def test_atan2_has_no_gradient_at_the_origin():
    x = disttorch.zeros(2, requires_grad=True)
    disttorch.atan2(x, x).sum().backward()
    assert x.grad.tolist() == [0, 0]


def test_what_hooks_return_is_checked():
    x = disttorch.ones(3, requires_grad=True)
    handle = x.register_hook(lambda g: g[:1])
    with pytest.raises(RuntimeError, match="hook '<lambda>' has changed the size of value"):
        x.sum().backward()
    handle.remove()
    x.register_hook(lambda g: 1)
    with pytest.raises(TypeError, match="expected Variable, but hook returned 'int'"):
        x.sum().backward()


def test_grad_wants_inputs():
    with pytest.raises(RuntimeError, match=r"`inputs` argument to `grad\(\)` cannot be empty"):
        autograd.grad(disttorch.ones(2, requires_grad=True).sum(), [])


def test_a_kept_gradient_is_memory_of_its_own():
    x = disttorch.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    y.grad.mul_(2)
    y.sum().backward(create_graph=True)
    assert y.grad.tolist() == [3, 3, 3]


def test_gradients_of_given_inputs_share_no_memory():
    x, y = disttorch.ones(2, requires_grad=True), disttorch.ones(2, requires_grad=True)
    (x + y).sum().backward(inputs=[x, y])
    x.grad.mul_(3)
    assert (x.grad.tolist(), y.grad.tolist()) == ([3, 3], [1, 1])


def test_inference_tensors_stay_outside_the_graph():
    with disttorch.inference_mode():
        y = disttorch.ones(2)
        y.add_(1)
    for change in (lambda: y.mul_(2), lambda: y.zero_(), lambda: y.__setitem__(0, 3)):
        with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
            change()
    x = disttorch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        x * y
    with pytest.raises(RuntimeError, match="Setting requires_grad=True on inference tensor"):
        y.requires_grad_()
    with pytest.raises(RuntimeError, match="do not track version counter"):
        y._version  # noqa: B018
    (x + y).sum().backward()
    assert y.clone().mul_(2).shape == (2,)


def test_conversions_name_what_python_numbers_cannot_hold():
    with pytest.raises(ValueError, match="only one element tensors can be converted to Python scalars"):
        float(disttorch.ones(3))
    with pytest.raises(RuntimeError, match="value cannot be converted to type int64_t without overflow"):
        int(disttorch.tensor(1j))
    assert float(disttorch.tensor(2 + 0j)) == 2
    with pytest.raises(RuntimeError, match=r"self.size\(-1\) must be divisible by 2 to view Float as Double"):
        disttorch.ones(2, 3).view(disttorch.float64)
