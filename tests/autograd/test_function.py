"""Custom Functions: contexts, saved tensors, several outputs, in-place inputs, derivatives of their gradients."""

import pytest

import disttorch as torch
from disttorch.autograd import Function


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.function = "programs may use any name"
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        assert ctx.function == "programs may use any name"
        return g * 3 * x**2


def test_value_gradient_and_name():
    x = torch.tensor([2.0], requires_grad=True)
    y = Cube.apply(x)
    assert type(y.grad_fn).__name__ == "CubeBackward"
    y.backward()
    assert x.grad.item() == 12.0
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_second_derivative():
    x = torch.tensor([2.0], requires_grad=True)
    (g,) = torch.autograd.grad(Cube.apply(x), x, create_graph=True)
    g.backward()
    assert x.grad.item() == 12.0


class Split(Function):
    @staticmethod
    def forward(x, scale):
        return x * scale, (x > 0).to(x.dtype), "not a tensor"

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.scale = inputs[1]
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx, g, of_positive, of_text):
        assert ctx.needs_input_grad == (True, False)
        assert of_positive.tolist() == [0.0, 0.0]
        assert of_text is None
        return g * ctx.scale, None


def test_setup_context_and_several_outputs():
    x = torch.tensor([1.0, -1.0], requires_grad=True)
    scaled, positive, text = Split.apply(x, 3.0)
    assert text == "not a tensor"
    assert not positive.requires_grad
    scaled.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


class Doubled(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.mul_(2)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2


def test_an_input_changed_in_place():
    x = torch.tensor([1.0], requires_grad=True)
    y = x * 1
    z = Doubled.apply(y)
    assert z is y
    z.backward()
    assert x.grad.item() == 2.0


class Wrong(Function):
    @staticmethod
    def forward(ctx, x, y):
        return x + y

    @staticmethod
    def backward(ctx, g):
        return g


class NoGradient(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1


def test_errors():
    x = torch.ones(1, requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"WrongBackward returned an incorrect number of gradients .expected 2, got 1."
    ):
        Wrong.apply(x, x).backward()
    with pytest.raises(NotImplementedError, match="You must implement either the backward or vjp method"):
        NoGradient.apply(x).backward()
    with pytest.raises(TypeError, match="save_for_backward can only save variables"):
        type("Bad", (Function,), {"forward": staticmethod(lambda ctx, x: ctx.save_for_backward(3))}).apply(x)


def test_no_graph_where_nothing_requires_it():
    y = Cube.apply(torch.ones(1))
    assert y.grad_fn is None


def test_it_runs_without_a_gradient_too():
    """As a pipeline's phony tensors need it, whose Functions compute again in backward what others then use."""
    calls = []

    class Phony(Function):
        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            calls.append(None if g is None else g.tolist())
            return g, None

    class Ahead(Function):
        @staticmethod
        def forward(ctx, x, phony):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g, None

    x, y = (torch.ones(2, requires_grad=True) for _ in range(2))
    Ahead.apply(x, Phony.apply(y, True)).sum().backward()
    assert y.grad.tolist() == [0, 0]
    Ahead.apply(x, Phony.apply(y, False)).sum().backward()
    (through,) = torch.autograd.grad(Ahead.apply(x, Phony.apply(y, True)).sum(), y)
    assert through.tolist() == [0, 0]
    (apart,) = torch.autograd.grad(Ahead.apply(x, Phony.apply(y, True)).sum(), x)
    assert apart.tolist() == [1, 1]
    assert calls == [[0, 0], None, [0, 0]]
