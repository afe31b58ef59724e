"""The graph and its sweep: gradients, hooks, errors in PyTorch's words, orders of derivative, long chains."""

import gc
import weakref

import pytest

import disttorch as torch


def leaf(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_gradients_of_a_small_program():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    z = (x * y + x**2).sum()
    z.backward()
    assert x.grad.tolist() == [5.0, 8.0]
    assert y.grad.tolist() == [1.0, 2.0]
    assert z.grad_fn.name() == "SumBackward0"
    assert [type(f).__name__ for f, _ in z.grad_fn.next_functions] == ["AddBackward0"]


def test_gradients_accumulate_and_are_not_shared():
    x = leaf(1.0, 2.0)
    y = x + x
    y.sum().backward()
    y = x * 1
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    a, b = leaf(1.0), leaf(1.0)
    (a + b).sum().backward()
    a.grad.mul_(5)
    assert b.grad.item() == 1.0  # the same gradient went to both


def test_next_functions_lead_to_the_leaves():
    x = leaf(1.0)
    accumulate, number = (x * 2).grad_fn.next_functions[0]
    assert accumulate.variable is x
    assert number == 0
    assert repr(accumulate).startswith("<AccumulateGrad object at 0x")
    assert (x * 3).grad_fn.next_functions[0][0] is accumulate


def test_a_chain_of_100_000_operations():
    x = leaf(0.5)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1.0


def test_any_order_of_derivative():
    x = leaf(2.0)
    y = x**5
    expected = [80.0, 160.0, 240.0, 240.0, 120.0, 0.0]  # 5x^4, 20x^3, 60x^2, 120x, 120, 0 at 2
    for value in expected[:-1]:
        (y,) = torch.autograd.grad(y, x, create_graph=True)
        assert y.item() == value


def test_grad_of_several_outputs_and_unused_inputs():
    x, y = leaf(1.0, 2.0), leaf(3.0)
    gx, gy = torch.autograd.grad([(x * 2).sum(), (x * x).sum()], [x, y], allow_unused=True)
    assert gx.tolist() == [4.0, 6.0]
    assert gy is None
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        torch.autograd.grad(x.sum(), y)
    _, zeros = torch.autograd.grad(x.sum(), [x, y], materialize_grads=True)
    assert zeros.tolist() == [0.0]


def test_grad_of_an_inner_tensor_stops_there():
    x = leaf(3.0)
    y = x * 2
    z = y * y
    (gy,) = torch.autograd.grad(z, y, retain_graph=True)
    assert gy.item() == 12.0
    z.backward(inputs=[x])
    assert x.grad.item() == 24.0


@pytest.mark.parametrize(
    ("program", "error", "text"),
    [
        (lambda x: (x * 2).backward(), RuntimeError, "grad can be implicitly created only for scalar outputs"),
        (lambda x: x.detach().sum().backward(), RuntimeError, "does not require grad and does not have a grad_fn"),
        (lambda x: (x * 2).backward(torch.ones(3)), RuntimeError, "Mismatch in shape"),
        (lambda x: torch.ones(2, dtype=torch.int64).requires_grad_(), RuntimeError, "floating point and complex dtype"),
        (lambda x: setattr(x * 2, "requires_grad", False), RuntimeError, "can only change requires_grad flags of leaf"),
        (lambda x: setattr(x, "grad", leaf(1.0)), RuntimeError, "assigned grad has data of a different"),
        (lambda x: x.numpy(), RuntimeError, r"Can't call numpy\(\) on Tensor that requires grad"),
        (
            lambda x: x.add_(1),
            RuntimeError,
            "a leaf Variable that requires grad is being used in an in-place operation",
        ),
        (lambda x: x[0].add_(1), RuntimeError, "a view of a leaf Variable that requires grad is being used"),
    ],
)
def test_errors_are_pytorchs(program, error, text):
    with pytest.raises(error, match=text):
        program(leaf(1.0, 2.0))


def test_backward_twice():
    x = leaf(1.0)
    y = x.exp()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == pytest.approx(2 * 2.718281828459045)
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()
    z = x + 1  # needs nothing that was saved
    z.backward()
    z.backward()


def test_a_saved_value_changed_in_place():
    x = leaf(1.0, 2.0)
    y = x * 1
    z = y * y
    y.add_(1)
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace operation: \[torch.DoubleTensor \[2\]\].*is at version 1"
    ):
        z.sum().backward()
    y = x.exp()  # saves its output
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = x + 1  # saves nothing
    y.mul_(2)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_in_place_through_views():
    x = leaf(1.0, 2.0, 3.0)
    base = x * 1
    view = base[1:]
    view.mul_(10)
    (base * torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64)).sum().backward()
    assert x.grad.tolist() == [1.0, 10.0, 20.0]
    x.grad = None
    base = x * 1
    view = base.view(3, 1)[2]
    base.mul_(3)  # the view's history follows
    view.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 3.0]
    x.grad = None
    base = torch.zeros(3, dtype=torch.float64)
    base[1] = x[0] * 5  # a plain tensor gets a history through its part
    assert base.requires_grad
    base.sum().backward()
    assert x.grad.tolist() == [5.0, 0.0, 0.0]


def test_in_place_is_seen_through_every_view_and_array():
    x = torch.zeros(2, 2)
    array, flat = x.numpy(), x.view(-1)
    x.add_(1)
    assert array.tolist() == [[1, 1], [1, 1]]
    flat[0] = 7
    assert x[0, 0].item() == 7
    assert x._version == 2


def test_tensor_hooks():
    x = leaf(1.0)
    seen = []
    y = x * 2
    handle = y.register_hook(lambda g: seen.append(g.item()) or g * 10)
    x.register_hook(lambda g: g + 1)
    y.retain_grad()
    (y * 3).backward()
    assert seen == [3.0]
    assert x.grad.item() == 61.0
    assert y.grad.item() == 30.0
    handle.remove()
    x.grad = None
    (x * 2 * 3).backward()
    assert x.grad.item() == 7.0


def test_hooks_after_accumulation_and_on_nodes():
    x, seen = leaf(2.0), []
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.item()))
    y = x * x
    y.grad_fn.register_prehook(lambda grads: (grads[0] * 2,))
    y.grad_fn.register_hook(lambda grads, outs: seen.append(len(grads)))
    y.backward()
    assert seen == [2, 8.0]


def test_grad_modes():
    x = leaf(1.0)
    with torch.no_grad():
        assert not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad
    with torch.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    assert not torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    with torch.inference_mode():
        assert (x * 2).is_inference()

    @torch.no_grad()
    def plain():
        return x * 2

    @torch.no_grad
    def bare():
        yield x * 2

    assert not plain().requires_grad
    assert not next(bare()).requires_grad
    assert torch.is_grad_enabled()


def test_graphs_are_freed_without_the_collector():
    gc.disable()
    try:
        x = leaf(1.0)
        y = x.exp().sin()
        gone = weakref.ref(y.grad_fn)
        del y
        assert gone() is None
    finally:
        gc.enable()


def test_the_same_bits_every_time():
    def run():
        torch.manual_seed(1)
        x = torch.randn(50, 50, requires_grad=True)
        y = (x @ x.t()).tanh() @ x
        (y.softmax(1) * x).sum().backward()
        return x.grad

    assert torch.equal(run(), run())


def test_anomaly_names_the_line_of_the_forward():
    x = leaf(-1.0)
    with (
        torch.autograd.detect_anomaly(),
        pytest.warns(UserWarning, match=r"(?s)Error detected in SqrtBackward0.*x\.sqrt\(\)"),
    ):
        y = x.sqrt()
        with pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output"):
            y.backward()
