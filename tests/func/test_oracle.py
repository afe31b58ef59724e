"""torch.func and torch.autograd.functional beside PyTorch's."""

import numpy as np
import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("torch._dynamo")  # which sets environment variables
RNG = np.random.default_rng(0)
X, Y, V = RNG.normal(size=(3, 2)), RNG.normal(size=(2,)), RNG.normal(size=(3, 2))


def both(function):
    """function(library, tensor maker) in both libraries, as nested lists."""

    def listed(value):
        if isinstance(value, (tuple, list)):
            return [listed(v) for v in value]
        if isinstance(value, dict):
            return {k: listed(v) for k, v in value.items()}
        return value.detach().numpy()

    ours, theirs = (listed(function(lib, lambda a, lib=lib: lib.tensor(a))) for lib in (disttorch, torch))
    compare(ours, theirs)


def compare(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            compare(a, b)
    elif isinstance(ours, dict):
        assert set(ours) == set(theirs)
        for k in ours:
            compare(ours[k], theirs[k])
    else:
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def scalar(x, y):
    return (x.sin() @ y).pow(2).sum()


def vector(x, y):
    return x.exp() @ y


CASES = {
    "grad": lambda L, t: L.func.grad(scalar)(t(X), t(Y)),
    "grad of both": lambda L, t: L.func.grad(scalar, argnums=(0, 1))(t(X), t(Y)),
    "grad with aux": lambda L, t: L.func.grad(lambda x: (x.pow(3).sum(), x * 2), has_aux=True)(t(Y)),
    "grad and value": lambda L, t: L.func.grad_and_value(scalar)(t(X), t(Y)),
    "grad of grad": lambda L, t: L.func.grad(lambda x: L.func.grad(lambda z: z.pow(4).sum())(x).sum())(t(Y)),
    "grad of a dict": lambda L, t: L.func.grad(lambda d: scalar(d["a"], d["b"][0]))({"a": t(X), "b": (t(Y),)}),
    "vjp": lambda L, t: L.func.vjp(vector, t(X), t(Y))[1](t(V[:, 0])),
    "vjp's value": lambda L, t: L.func.vjp(vector, t(X), t(Y))[0],
    "jvp": lambda L, t: L.func.jvp(vector, (t(X), t(Y)), (t(V), t(Y))),
    "jacrev": lambda L, t: L.func.jacrev(vector, argnums=(0, 1))(t(X), t(Y)),
    "jacfwd": lambda L, t: L.func.jacfwd(vector)(t(X), t(Y)),
    "hessian": lambda L, t: L.func.hessian(scalar)(t(X), t(Y)),
    "vmap": lambda L, t: L.func.vmap(lambda x, y: x * y.sum(), in_dims=(0, None))(t(X), t(Y)),
    "vmap over columns": lambda L, t: L.vmap(lambda x: x.cumsum(0), in_dims=1, out_dims=1)(t(X)),
    "grads of samples": lambda L, t: L.func.vmap(L.func.grad(scalar, argnums=1), in_dims=(0, None))(
        t(X).unsqueeze(1), t(Y)
    ),
    "functional.vjp": lambda L, t: L.autograd.functional.vjp(vector, (t(X), t(Y)), t(V[:, 0])),
    "functional.jvp": lambda L, t: L.autograd.functional.jvp(vector, (t(X), t(Y)), (t(V), t(Y))),
    "functional.jacobian": lambda L, t: L.autograd.functional.jacobian(vector, (t(X), t(Y))),
    "functional.hessian": lambda L, t: L.autograd.functional.hessian(scalar, (t(X), t(Y))),
    "functional.vhp": lambda L, t: L.autograd.functional.vhp(scalar, (t(X), t(Y)), (t(V), t(Y))),
    "functional.hvp": lambda L, t: L.autograd.functional.hvp(scalar, (t(X), t(Y)), (t(V), t(Y))),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    both(CASES[name])


def test_functional_call():
    def run(lib, t):
        layer = lib.nn.Linear(2, 3, bias=False, dtype=lib.float64)

        def loss(weights):
            return lib.func.functional_call(layer, weights, (t(X),)).pow(2).sum()

        return lib.func.grad(loss)({"weight": t(V)})

    both(run)


def test_stacked_models():
    def run(lib, t):
        models = []
        for i in range(3):
            model = lib.nn.Linear(2, 1, dtype=lib.float64)
            with lib.no_grad():
                model.weight.fill_(i)
                model.bias.fill_(1)
            models.append(model)
        weights, buffers = lib.func.stack_module_state(models)

        def call(w, b, x):
            return lib.func.functional_call(models[0], (w, b), (x,))

        return lib.func.vmap(call, in_dims=(0, 0, None))(weights, buffers, t(X))

    both(run)


@pytest.mark.parametrize(
    "call",
    [
        lambda L: L.func.grad(lambda x: x)(L.ones(2)),
        lambda L: L.func.vmap(lambda x: x, in_dims=None)(L.ones(2)),
        lambda L: L.func.vmap(lambda x, y: x + y)(L.ones(2), L.ones(3)),
        lambda L: L.autograd.functional.vjp(lambda x: x, L.ones(2)),
        lambda L: L.autograd.functional.vjp(lambda x: x, L.ones(2), L.ones(3)),
        lambda L: L.autograd.functional.jacobian(lambda x: L.ones(1), L.ones(2), strict=True),
        lambda L: L.autograd.functional.hessian(lambda x: x, L.ones(2)),
    ],
)
def test_errors_are_of_the_same_kind(call):
    kinds = []
    for lib in (disttorch, torch):
        with pytest.raises((RuntimeError, ValueError, TypeError)) as caught:
            call(lib)
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]
