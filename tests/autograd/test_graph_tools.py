"""torch.autograd.graph: edges, hooks on several tensors, versions; func.linearize."""

import pytest

import disttorch
from disttorch.autograd import graph


def test_edges():
    x = disttorch.ones(2, requires_grad=True)
    y = x * 2
    assert graph.get_gradient_edge(y) == (y.grad_fn, 0)
    assert graph.get_gradient_edge(x).node.variable is x
    assert isinstance(y.grad_fn, graph.Node)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        graph.get_gradient_edge(x.detach())


def test_a_hook_on_several_tensors():
    a, b, c = (disttorch.rand(2, requires_grad=True) for _ in range(3))
    alls, anys = [], []
    handle = graph.register_multi_grad_hook((a, b, c), lambda gs: alls.append([g is not None for g in gs]))
    with graph.register_multi_grad_hook((a, b), lambda g: anys.append(g.tolist()), mode="any"):
        (a * 2 + b * 3).sum().backward()
        (c * 2).sum().backward()
        (a + b + c).sum().backward()
    assert alls == [[True, True, False], [False, False, True], [True, True, True]]
    assert len(anys) == 2
    handle.remove()
    (a + b).sum().backward()
    assert len(alls) == 3
    with pytest.raises(ValueError, match="Expects mode to be one of"):
        graph.register_multi_grad_hook((a,), print, mode="some")


def test_changes_by_other_means():
    x = disttorch.ones(2, requires_grad=True)
    y = x.exp()
    graph.increment_version(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    with graph.save_on_cpu():
        (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_linearize():
    value, push = disttorch.func.linearize(
        lambda x, y: {"a": x**2 * y}, disttorch.tensor([1.0, 2]), disttorch.tensor(3.0)
    )
    assert value["a"].tolist() == [3, 12]
    assert push(disttorch.ones(2), disttorch.tensor(0.0))["a"].tolist() == [6, 12]
    assert push(disttorch.zeros(2), disttorch.tensor(1.0))["a"].tolist() == [1, 4]
