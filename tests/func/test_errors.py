"""What derivatives of functions say of wrong calls, beside PyTorch."""

import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

CALLS = """
F.grad(lambda x: x.sum(), has_aux=True)(x)
F.grad(lambda x, y: (x * y).sum(), argnums=2)(x, x)
F.grad(lambda x, y: (x * y).sum(), argnums="a")(x, x)
F.vmap(lambda x: x)(3)
F.vmap(lambda x: x)()
F.vmap(lambda x: x, in_dims="a")(x)
F.vmap(lambda x: x, in_dims=None)(x)
F.vmap(lambda x: x, chunk_size=0)(x)
F.jacrev(lambda x: 3)(x)
F.jacrev(lambda x: x)(3)
F.functional_call(m, {"zz": x}, (x,), strict=True)
F.functional_call(m, [p, p], (x,))
F.functional_call(m, 3, (x,))
F.stack_module_state([m, lib.nn.ReLU()])
F.stack_module_state([m, lib.nn.Linear(3, 2).eval()])
"""


@pytest.mark.parametrize("call", CALLS.strip().splitlines())
def test_errors(call):
    found = []
    for lib in (disttorch, torch):
        m = lib.nn.Linear(3, 2)
        names = {"F": lib.func, "lib": lib, "x": lib.arange(3.0), "m": m, "p": dict(m.named_parameters())}
        with pytest.raises((RuntimeError, ValueError)) as caught:
            eval(call, names)
        found.append((caught.type, str(caught.value).replace("disttorch", "torch")))
    assert found[0] == found[1]


@pytest.mark.parametrize("dims", [{"in_dims": (0, 0)}, {"out_dims": (0,)}])
def test_dims_that_do_not_fit(dims):
    with pytest.raises(ValueError, match="s is not compatible with the structure of"):
        disttorch.func.vmap(lambda x: (x, x), **dims)(disttorch.ones(2))


def test_a_refused_draw_leaves_the_generator_where_it_was():
    disttorch.manual_seed(0)
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        disttorch.func.vmap(lambda x: x + disttorch.rand(1))(disttorch.ones(2))
    after = disttorch.rand(1)
    disttorch.manual_seed(0)
    assert after == disttorch.rand(1)


def test_new_values_of_buffers_are_left_in_the_callers_dict():
    m = disttorch.nn.BatchNorm1d(2)
    state = {**dict(m.named_parameters()), **{n: b.clone() for n, b in m.named_buffers()}}
    disttorch.func.functional_call(m, state, (disttorch.ones(4, 2),))
    assert state["num_batches_tracked"] == 1
    assert m.num_batches_tracked == 0
