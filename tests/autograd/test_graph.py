"""The graph's rules: errors, versions of tensors changed in place, views, hooks, long chains, modes."""

import gc
import weakref

import numpy as np
import pytest

import disttorch
from disttorch import autograd


def leaf(*values):
    return disttorch.tensor(values or [1.0, 2.0, 3.0], requires_grad=True)


# -- errors -----------------------------------------------------------------------------------------------------------
def test_backward_of_several_elements_needs_a_gradient():
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (leaf() * 2).backward()


def test_backward_of_what_has_no_history():
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"):
        disttorch.ones(1).backward()


def test_backward_twice():
    y = (leaf() ** 2).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()


@pytest.mark.parametrize(
    ("made", "again"),
    [
        (lambda x: x + x, True),
        (lambda x: disttorch.cat([x.view(1, 3), x[None]]).flip(0).t()[1:], True),
        (lambda x: disttorch.stack(x.chunk(3)).expand(2, 3, 1).permute(2, 0, 1).mean(0).cumsum(1), True),
        (lambda x: x.double().roll(1) - x.unbind()[0], True),
        (lambda x: x * x, False),
        (lambda x: x.exp(), False),
        (lambda x: x.max(0)[0], False),
        (lambda x: disttorch.where(x > 1, x, -x), False),
    ],
)
def test_a_graph_that_keeps_no_tensors_is_passed_again(made, again):
    x = leaf()
    y = made(x).sum()
    y.backward()
    first = x.grad.tolist()
    if again:
        y.backward()
        assert x.grad.tolist() == [2 * g for g in first]
    else:
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            y.backward()


def test_backward_twice_with_the_graph_retained():
    x = leaf()
    y = (x**2).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0, 12.0]


def test_a_gradient_of_another_shape():
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (leaf() * 2).backward(disttorch.ones(2))


def test_a_leaf_is_not_changed_in_place():
    x = leaf()
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.__setitem__(0, 5.0), lambda: x.exp_()):
        with pytest.raises(
            RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"
        ):
            change()
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[0].mul_(2)
    with disttorch.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0, 4.0]


def test_integers_require_no_gradient():
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
        disttorch.ones(2, dtype=disttorch.int64).requires_grad_()


def test_an_expanded_tensor_is_not_written_to():
    with pytest.raises(
        RuntimeError, match="more than one element of the written-to tensor refers to a single memory location"
    ):
        disttorch.ones(1).expand(3).add_(1)


# -- changes in place -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("change", ["add_", "mul_"])
def test_a_saved_value_must_not_change(change):
    x = leaf()
    y = x * 2
    z = y * y
    getattr(y, change)(3)
    with pytest.raises(
        RuntimeError, match=r"has been modified by an inplace operation.*is at version 1; expected version 0"
    ):
        z.sum().backward()


def test_a_saved_result_must_not_change():
    y = (leaf() * 1).exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_change_through_a_view_or_an_alias_is_noticed():
    for reach in (lambda y: y[1:], lambda y: y.detach(), lambda y: y.view(3, 1)):
        y = leaf() * 2
        z = y * y
        with disttorch.no_grad():
            reach(y).zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()


def test_versions_count_changes_and_are_shared():
    x = disttorch.zeros(4)
    view = x[1:3]
    view.add_(1)
    x.mul_(2)
    assert x._version == view._version == 2


@pytest.mark.parametrize("name", ["sin_", "exp_", "tanh_", "sqrt_", "square_", "sigmoid_", "reciprocal_", "log_"])
def test_in_place_gradients_equal_the_others(name):
    x, z = leaf(), leaf()
    y = x * 1.5
    getattr(y, name)()
    y.sum().backward()
    getattr(z * 1.5, name[:-1])().sum().backward()
    assert disttorch.allclose(x.grad, z.grad)


def test_in_place_arithmetic_gradients():
    x, w = leaf(), leaf(4.0, 5.0, 6.0)
    y = x * 1
    y.mul_(w).add_(x).div_(w).sub_(w, alpha=2).pow_(2)
    y.sum().backward()
    a, b = leaf(), leaf(4.0, 5.0, 6.0)
    (((a * b + a) / b - 2 * b) ** 2).sum().backward()
    assert disttorch.allclose(x.grad, a.grad)
    assert disttorch.allclose(w.grad, b.grad)


def test_a_view_changed_in_place_changes_its_root():
    x, w = leaf(), leaf(2.0)
    y = x * 2
    y[1:].mul_(w)
    assert y.tolist() == [2.0, 8.0, 12.0]
    y.backward(disttorch.tensor([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [2.0, 40.0, 400.0]
    assert w.grad.tolist() == [640.0]


def test_a_root_changed_in_place_changes_its_views():
    x = leaf()
    y = x * 1
    view = y[0]
    y.mul_(5)
    view.backward()
    assert x.grad.tolist() == [5.0, 0.0, 0.0]


def test_a_view_of_a_view_written_by_index():
    x, v = leaf(), leaf(7.0, 8.0)
    y = (x * 1).reshape(3, 1)
    y[:2, 0] = v
    (y * disttorch.tensor([[1.0], [2.0], [3.0]])).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 3.0]
    assert v.grad.tolist() == [1.0, 2.0]


def test_zeroing_a_part_stops_its_gradient():
    x = leaf()
    y = x * 2
    y[0].zero_()
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 2.0]


def test_copying_into_an_undifferentiated_tensor():
    x = leaf()
    out = disttorch.zeros(2, 3)
    out[1] = x
    assert out.requires_grad
    (out * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


# -- hooks ------------------------------------------------------------------------------------------------------------
def test_a_hook_replaces_a_gradient():
    x = leaf()
    y = x * 2
    handle = y.register_hook(lambda g: g * 10)
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    assert x.grad.tolist() == [22.0, 22.0, 22.0]


def test_a_leafs_hooks_run_in_order():
    x, seen = leaf(), []
    x.register_hook(lambda g: seen.append("gradient") or g + 1)
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (x * 2).sum().backward()
    assert seen == ["gradient", [3.0, 3.0, 3.0]]


def test_hooks_of_nodes():
    x, seen = leaf(), []
    y = x * 2
    y.grad_fn.register_prehook(lambda grads: (grads[0] * 3,))
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append(outputs[0].tolist()))
    y.sum().backward()
    assert seen == [[3.0, 3.0, 3.0]]
    assert x.grad.tolist() == [6.0, 6.0, 6.0]


def test_retain_grad():
    x = leaf()
    y = x * 2
    y.retain_grad()
    (y * 3).sum().backward()
    assert y.grad.tolist() == [3.0, 3.0, 3.0]


# -- the sweep --------------------------------------------------------------------------------------------------------
def test_a_long_chain():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 0.0
    y.backward()
    assert x.grad.tolist() == [1.0]
    del y


def test_a_diamond_is_walked_once():
    x = leaf(2.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


def test_gradients_accumulate_and_are_not_shared():
    x = leaf()
    g = disttorch.ones(3)
    (x * 1).backward(g)
    x.grad.add_(1)
    assert g.tolist() == [1.0, 1.0, 1.0]
    (x * 1).backward(g)
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


def test_grad_leaves_leaves_alone():
    x, w = leaf(), leaf()
    (gx,) = autograd.grad((x * w).sum(), x)
    assert gx.tolist() == w.tolist()
    assert x.grad is None
    assert w.grad is None


def test_grad_of_what_was_not_used():
    x, w = leaf(), leaf()
    with pytest.raises(RuntimeError, match="Tensor at index 1 appears to not have been used in the graph"):
        autograd.grad(x.sum(), [x, w])
    assert autograd.grad(x.sum(), [x, w], allow_unused=True)[1] is None
    assert autograd.grad(x.sum(), [x, w], materialize_grads=True)[1].tolist() == [0.0, 0.0, 0.0]


def test_backward_to_chosen_inputs():
    x, w = leaf(), leaf()
    (x * w).sum().backward(inputs=[x])
    assert x.grad is not None
    assert w.grad is None


def test_derivatives_of_any_order():
    x = leaf(2.0)
    y = x**5
    for want in (80.0, 160.0, 240.0, 240.0, 120.0):
        (y,) = autograd.grad(y, x, create_graph=True)
        assert y.item() == want


def test_the_graph_is_freed():
    x = leaf()
    y = (x * 2).exp()
    node = weakref.ref(y.grad_fn)
    array = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert array() is None
        assert node() is None
    finally:
        gc.enable()


# -- modes ------------------------------------------------------------------------------------------------------------
def test_forms_of_no_grad():
    x = leaf()

    @disttorch.no_grad()
    def called():
        return x * 2

    @disttorch.no_grad
    def bare():
        return x * 2

    @disttorch.no_grad()
    def generated():
        yield x * 2
        yield x * 3

    with disttorch.no_grad():
        inside = x * 2
        with disttorch.enable_grad():
            again = x * 2
    assert not any(t.requires_grad for t in (called(), bare(), inside, *generated()))
    assert again.requires_grad
    for _ in generated():
        assert disttorch.is_grad_enabled()
    disttorch.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        disttorch.set_grad_enabled(True)
    with disttorch.set_grad_enabled(False):
        assert not disttorch.is_grad_enabled()
    assert disttorch.is_grad_enabled()


def test_inference_mode():
    with disttorch.inference_mode():
        y = leaf() * 2
    assert y.is_inference()
    assert not y.requires_grad


def test_anomaly_mode_names_the_forward_line():
    x = leaf(-1.0)

    def fail(x):
        y = x.sqrt()
        with pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output"):
            y.backward()

    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        watching = autograd.detect_anomaly()
    with (
        watching,
        pytest.warns(UserWarning, match=r"Error detected in SqrtBackward0[\s\S]*x\.sqrt\(\)"),
    ):
        fail(x)


# -- custom functions -------------------------------------------------------------------------------------------------
class Scale(autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx, g):
        assert ctx.needs_input_grad == (True, False)
        return g * ctx.factor, None


class InPlace(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x._data *= 2
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2


class Parts(autograd.Function):
    @staticmethod
    def forward(x):
        return x * 2, (x > 1).to(disttorch.float32)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g, unused):
        assert unused.tolist() == [0.0, 0.0, 0.0]
        return g * ctx.saved_tensors[0]


def test_a_custom_function():
    x = leaf()
    Scale.apply(x, 3.0).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


def test_a_custom_function_in_place():
    x = leaf()
    y = x * 1
    z = InPlace.apply(y)
    assert z is y
    z.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_a_custom_function_with_parts():
    x = leaf()
    value, mask = Parts.apply(x)
    assert not mask.requires_grad
    value.sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


def test_next_functions_lead_to_the_leaves():
    x = leaf()
    y = (x * 2).sum()
    assert y.grad_fn.name() == "SumBackward0"
    ((product, _),) = y.grad_fn.next_functions
    assert product.name() == "MulBackward0"
    (accumulate, _), (nothing, _) = product.next_functions
    assert accumulate.variable is x
    assert nothing is None


def test_numpy_shares_memory():
    x = disttorch.zeros(2, 2)
    x.numpy()[0, 0] = 5
    assert x[0, 0].item() == 5
    assert isinstance(np.asarray(x), np.ndarray)


def test_gradients_for_more_tensors_than_there_are():
    """As programs hand them over that leave out the tensors without a graph."""
    x = disttorch.ones(2, requires_grad=True)
    disttorch.autograd.backward((x * 3,), (disttorch.ones(2), disttorch.ones(5)))
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="got 2 tensors and 1 gradients"):
        disttorch.autograd.backward((x * 2, x * 3), (disttorch.ones(2),))
