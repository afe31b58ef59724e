"""Max pooling's gradient takes relu's along with it, unless somebody watches what lies between."""

import numpy as np
import pytest

import disttorch
from disttorch.nn import functional as F


def forward(seed: int = 0) -> tuple:
    disttorch.manual_seed(seed)
    x = disttorch.randn(2, 3, 9, 9, requires_grad=True)
    between = F.relu(x * 1)
    return x, between, F.max_pool2d(between, 3, 2, 1)


def expected(g: disttorch.Tensor) -> np.ndarray:
    """The same gradient in two steps: the pool's by itself, then relu's."""
    x, between, _ = forward()
    held = between.detach().requires_grad_()
    F.max_pool2d(held, 3, 2, 1).backward(g)
    return np.where(x.detach().numpy() > 0, held.grad.numpy(), 0)


@pytest.fixture
def g() -> disttorch.Tensor:
    disttorch.manual_seed(1)
    return disttorch.randn(2, 3, 5, 5)


def test_the_gradient_is_that_of_both(g: disttorch.Tensor) -> None:
    x, _between, pooled = forward()
    pooled.backward(g)
    assert pooled.grad_fn.absorbed
    assert np.array_equal(x.grad.numpy(), expected(g))


def test_an_infinite_gradient_of_a_dead_unit_is_zero(g: disttorch.Tensor) -> None:
    x = disttorch.full((1, 1, 4, 4), -1.0, requires_grad=True)
    F.max_pool2d(F.relu(x), 2).backward(disttorch.full((1, 1, 2, 2), float("inf")))
    assert not x.grad.numpy().any()


def watch_by_hook(between: disttorch.Tensor, seen: list) -> None:
    between.register_hook(seen.append)


def watch_by_retaining(between: disttorch.Tensor, seen: list) -> None:
    between.retain_grad()


def watch_node(between: disttorch.Tensor, seen: list) -> None:
    between.grad_fn.register_hook(lambda inputs, outputs: seen.append(outputs[0]))


@pytest.mark.parametrize("watch", [watch_by_hook, watch_by_retaining, watch_node])
def test_a_watched_relu_gets_its_gradient(watch, g: disttorch.Tensor) -> None:
    x, between, pooled = forward()
    seen: list = []
    watch(between, seen)
    pooled.backward(g)
    got = seen[0] if seen else between.grad
    held = forward()[1].detach().requires_grad_()
    F.max_pool2d(held, 3, 2, 1).backward(g)
    assert np.array_equal(got.numpy(), held.grad.numpy())
    assert np.array_equal(x.grad.numpy(), expected(g))


def test_a_relu_with_another_use_keeps_both_gradients(g: disttorch.Tensor) -> None:
    x, between, pooled = forward()
    ((pooled * g).sum() + between.sum()).backward()
    assert np.allclose(x.grad.numpy(), expected(g) + (x.detach().numpy() > 0), atol=1e-6)


def test_the_gradient_between_can_be_asked_for(g: disttorch.Tensor) -> None:
    x, between, pooled = forward()
    inner, outer = disttorch.autograd.grad(pooled, (between, x), g)
    held = forward()[1].detach().requires_grad_()
    F.max_pool2d(held, 3, 2, 1).backward(g)
    assert np.array_equal(inner.numpy(), held.grad.numpy())
    assert np.array_equal(outer.numpy(), expected(g))


def test_a_graph_swept_again_can_be_differentiated_twice(g: disttorch.Tensor) -> None:
    x, _between, pooled = forward()
    pooled.backward(g, retain_graph=True)
    weight = g.clone().requires_grad_()
    (once,) = disttorch.autograd.grad(pooled, x, weight, create_graph=True)
    assert np.array_equal(once.detach().numpy(), x.grad.numpy())
    once.sum().backward()
    assert weight.grad.numpy().any()


def test_a_changed_result_of_relu_is_an_error_as_without(g: disttorch.Tensor) -> None:
    _x, between, pooled = forward()
    between.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*output 0 of Relu,"):
        pooled.backward(g)


def test_the_second_sweep_through_a_freed_graph_is_an_error(g: disttorch.Tensor) -> None:
    _x, between, pooled = forward()
    pooled.backward(g)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        between.sum().backward()
