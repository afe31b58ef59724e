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


def test_hooks_pack_what_nodes_save():
    x = disttorch.tensor([1.0, 2, 3], requires_grad=True)
    box, shapes = {}, []

    def pack(t):
        shapes.append(tuple(t.shape))
        box[len(box)] = t.detach().clone()
        return len(box) - 1

    def loss():
        y = (x * 2).exp() * x
        return y.sum() + disttorch.max_pool1d(y[None, None], 3).sum()

    wanted = disttorch.autograd.grad(loss(), x)[0]
    with graph.saved_tensors_hooks(pack, box.__getitem__):
        value = loss()
    assert len(shapes) >= 3
    (first,) = disttorch.autograd.grad(value, x, create_graph=True)
    assert first.tolist() == wanted.tolist()
    again = disttorch.autograd.grad(first.sum(), x)[0]
    (plain,) = disttorch.autograd.grad(loss(), x, create_graph=True)
    assert again.tolist() == disttorch.autograd.grad(plain.sum(), x)[0].tolist()
    before = len(shapes)
    x.exp()
    assert len(shapes) == before


def test_hooks_of_functions():
    class Exp(disttorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    x = disttorch.tensor([1.0, 2], requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t.tolist(), disttorch.tensor):
        y = Exp.apply(x)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_wrong_hooks():
    x = disttorch.ones(2, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: 3, lambda v: v):
        y = x.exp()
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor but got result of type int"):
        y.sum().backward()
    changing = graph.saved_tensors_hooks(lambda t: t.add_(1), id)
    refusing = graph.disable_saved_tensors_hooks("no hooks")
    with pytest.raises(RuntimeError, match="pack hook is modifying its input in place"), changing:
        (x * 2).exp()
    with pytest.raises(RuntimeError, match="no hooks"), refusing, changing:
        pass
    with pytest.raises(RuntimeError, match="no hooks"), changing, refusing:
        pass
    assert (x * 2).exp().sum().backward() is None


def test_saved_tensors_on_the_cpu():
    x = disttorch.rand(4, 3, requires_grad=True)
    model = disttorch.nn.Sequential(disttorch.nn.Linear(3, 3), disttorch.nn.GELU(), disttorch.nn.LayerNorm(3))
    model(x).pow(2).sum().backward()
    wanted, x.grad = x.grad, None
    with graph.save_on_cpu():
        y = model(x).pow(2).sum()
    y.backward()
    assert x.grad.tolist() == wanted.tolist()


def test_products_with_nested_tensors():
    point = {"b": disttorch.tensor(2.0), "a": disttorch.tensor(3.0)}

    def function(d):
        return {"o": d["a"] * d["b"], "q": (d["b"] ** 2,)}

    one = disttorch.tensor(1.0)
    value, pull = disttorch.func.vjp(function, point)
    assert (value["o"].item(), value["q"][0].item()) == (6, 4)
    (found,) = pull({"o": one, "q": (one,)})
    assert {k: v.item() for k, v in found.items()} == {"b": 7, "a": 2}
    with pytest.raises(RuntimeError, match=r"cotangents: \(\*, \*\), primal output: {'o': \*, 'q': \(\*,\)}"):
        pull((one, one))
    _, pushed = disttorch.func.jvp(function, (point,), ({"b": one, "a": one * 0},))
    assert (pushed["o"].item(), pushed["q"][0].item()) == (3, 4)
    with pytest.raises(RuntimeError, match="to have the same python structure"):
        disttorch.func.jvp(function, (point,), (one,))
    with pytest.raises(RuntimeError, match="Expected primals to be a tuple"):
        disttorch.func.jvp(disttorch.sin, one, one)
    with pytest.raises(RuntimeError, match="at least one Tensor"):
        disttorch.func.jvp(disttorch.ones, (), ())
    with pytest.raises(RuntimeError, match="to return only tensors, got unsupported type <class 'float'>"):
        disttorch.func.vjp(lambda x: 3.0, one)


def test_jacobians_of_nested_tensors():
    point = {"b": disttorch.tensor([2.0, 1.0]), "a": disttorch.tensor(3.0)}
    found = disttorch.func.jacrev(lambda d, k: {"o": d["a"] * d["b"] * k})(point, 2)
    assert found["o"]["a"].tolist() == [4, 2]
    assert found["o"]["b"].tolist() == [[6, 0], [0, 6]]
    (by_d, by_x), aux = disttorch.func.jacrev(lambda d, x: (d["a"] * x, "aux"), argnums=(0, 1), has_aux=True)(
        {"a": disttorch.tensor(3.0)}, disttorch.tensor(5.0)
    )
    assert (by_d["a"].item(), by_x.item(), aux) == (5, 3, "aux")


def test_a_tensors_hooks_can_be_seen():
    leaf = disttorch.ones(2, requires_grad=True)
    result = leaf * 2
    for t in (leaf, result):
        assert t._backward_hooks is None
        handle = t.register_hook(lambda g: g)
        assert list(t._backward_hooks) == [handle.id]
        assert handle.id in handle.hooks_dict_ref()
    assert (leaf * 2)._backward_hooks is None
