"""Forward-mode differentiation: tangents against differences, backward over forward, custom Functions, errors."""

import numpy as np
import pytest

import disttorch
from disttorch.autograd import Function, gradcheck, gradgradcheck
from disttorch.autograd import forward_ad as fwad

X = np.random.default_rng(0).standard_normal((3, 4))
V = np.random.default_rng(1).standard_normal((3, 4))


def differences(f, x, v, eps=1e-6):
    above, below = (f(disttorch.tensor(x + s * eps * v)).numpy() for s in (1, -1))
    return (above - below) / (2 * eps)


def in_place(x):
    y = x.clone()
    y.mul_(x)
    y[0] = 1.0
    y[1] += x[2]
    return y


FUNCTIONS = {
    "pointwise": lambda x: (x**2 + x.exp()).tanh(),
    "matmul": lambda x: x.softmax(1) @ x.T,
    "svd": lambda x: disttorch.linalg.svd(x)[1],
    "views": lambda x: disttorch.cat([x[1:], x.T.reshape(4, 3).T[:1]]),
    "in place": in_place,
    "indices": lambda x: x[[0, 2]].cumsum(1).sort(1)[0],
    "convolution": lambda x: disttorch.nn.functional.conv1d(x[None], x[:2, None, :2].expand(2, 3, 2)),
    "layer norm": lambda x: disttorch.nn.functional.layer_norm(x, (4,)),
    "loss": lambda x: disttorch.nn.functional.cross_entropy(x, disttorch.tensor([0, 3, 1])),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tangents_against_differences(name):
    f = FUNCTIONS[name]
    with fwad.dual_level():
        value, tangent = fwad.unpack_dual(f(fwad.make_dual(disttorch.tensor(X), disttorch.tensor(V))))
    np.testing.assert_allclose(value.numpy(), f(disttorch.tensor(X)).numpy())
    np.testing.assert_allclose(tangent.numpy(), differences(f, X, V), rtol=1e-5, atol=1e-7)
    assert not value.requires_grad
    assert not tangent.requires_grad


def test_tangents_end_with_their_level():
    x, v = disttorch.tensor(X), disttorch.tensor(V)
    with fwad.dual_level():
        dual = fwad.make_dual(x, v)
        assert fwad.unpack_dual(dual).tangent is v
        y = dual * 2
        assert fwad.unpack_dual(x) == (x, None)
        assert fwad.unpack_dual(y.detach()).tangent is None
    assert fwad.unpack_dual(y).tangent is None
    with fwad.dual_level():
        assert fwad.unpack_dual(y).tangent is None
    with disttorch.no_grad(), fwad.dual_level():
        assert fwad.unpack_dual(fwad.make_dual(x, v) * 3).tangent.tolist() == (v * 3).tolist()
    assert disttorch.is_grad_enabled()


def test_backward_over_forward():
    x = disttorch.tensor(X, requires_grad=True)
    with fwad.dual_level():
        y = fwad.unpack_dual(fwad.make_dual(x, disttorch.ones_like(x)) ** 3)
        y.tangent.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * X)
    assert y.primal.requires_grad


def test_parameters_of_a_module():
    model = disttorch.nn.Sequential(disttorch.nn.Linear(4, 5), disttorch.nn.ReLU(), disttorch.nn.Linear(5, 2)).double()
    x = disttorch.tensor(X)
    parameters = dict(model.named_parameters())
    tangents = {n: disttorch.rand_like(p) for n, p in parameters.items()}
    with fwad.dual_level():
        duals = {n: fwad.make_dual(p, tangents[n]) for n, p in parameters.items()}
        found = fwad.unpack_dual(disttorch.func.functional_call(model, duals, x)).tangent
    _, expected = disttorch.func.jvp(
        lambda ps: disttorch.func.functional_call(model, ps, x), (parameters,), (tangents,)
    )
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy())


class Exp(Function):
    @staticmethod
    def forward(x):
        return x.exp(), 3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_forward(output[0], inputs[0])
        ctx.save_for_backward(output[0])

    @staticmethod
    def jvp(ctx, tangent):
        result, _ = ctx.saved_tensors
        return tangent * result, None

    @staticmethod
    def backward(ctx, g, _):
        (result,) = ctx.saved_tensors
        return g * result


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * 3


def test_the_jvp_of_a_custom_function():
    x = disttorch.tensor(X, requires_grad=True)
    assert gradcheck(lambda x: Exp.apply(x)[0], (x,), check_forward_ad=True)
    with pytest.raises(RuntimeError, match="Jacobian computed with forward mode mismatch for output 0 with respect to"):
        gradcheck(Wrong.apply, (x,), check_forward_ad=True)
    assert gradcheck(Wrong.apply, (x,))


def test_gradcheck_both_ways():
    x, y = (disttorch.tensor(a, requires_grad=True) for a in (X, V.T.copy()))
    both = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    assert gradcheck(lambda a, b: (a @ b).tanh(), (x, y), **both)
    assert gradcheck(lambda a, b: (a @ b).tanh(), (x, y), check_forward_ad=True, check_backward_ad=False)
    assert gradgradcheck(lambda a, b: (a @ b).tanh(), (x, y), check_fwd_over_rev=True)
    z = disttorch.tensor(X[0] + 1j * V[0], requires_grad=True)
    assert gradcheck(lambda a: (a * a.conj() * a).exp(), (z,), check_forward_ad=True)
    for wrong in (
        {"check_backward_ad": False},
        {"check_batched_forward_grad": True},
        {"check_backward_ad": False, "check_forward_ad": True, "check_batched_grad": True},
    ):
        with pytest.raises(AssertionError):
            gradcheck(lambda a: a, (x,), **wrong)


def test_what_is_refused():
    x = disttorch.ones(2, 3)
    with pytest.raises(RuntimeError, match="no level exists, make sure to enter_dual_level"):
        fwad.make_dual(x, x)
    with pytest.raises(RuntimeError, match="Trying to exit a forward AD level that was not entered"):
        fwad.exit_dual_level()
    with fwad.dual_level():
        with pytest.raises(RuntimeError, match=r"Tensor is of size \[2, 3\] while .* is of size \[3, 2\]"):
            fwad.make_dual(x, x.T)
        with pytest.raises(ValueError, match=r"Expected primal to be floating point or complex, but got: torch\.int64"):
            fwad.make_dual(x.long(), x)
        with pytest.raises(ValueError, match="Expected tangent to be floating point"):
            fwad.make_dual(x, x.long())
        with pytest.raises(RuntimeError, match="Nested forward mode AD is not supported"):
            fwad.enter_dual_level()


def test_a_tangent_may_be_of_another_dtype():
    primal, tangent = disttorch.tensor([1.0, 2.0], dtype=disttorch.float64), disttorch.tensor([3.0, 4.0])
    with fwad.dual_level():
        squared = fwad.unpack_dual(fwad.make_dual(primal, tangent) ** 2)
    assert squared.tangent.dtype is disttorch.float64
    assert squared.tangent.tolist() == [6.0, 16.0]
