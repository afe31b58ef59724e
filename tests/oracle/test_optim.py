"""Our optimizers beside PyTorch's: the same parameters over 20 steps, for every option of optim_db and more."""

import warnings

import numpy as np
import pytest

import disttorch
from disttorch import optim

torch = pytest.importorskip("torch")
torch.optim.SGD(
    [torch.zeros(1)]
)  # loads now what PyTorch loads at first use, which leaves a variable in the environment
pytest.importorskip("expecttest")
pytestmark = pytest.mark.oracle

SHAPES = [(3, 4), (7,), (1,), (2, 3, 5), (130, 140), (9000,), (4, 4)]  # small ones that are packed, and large ones
SINGLE = {"capturable": False, "differentiable": False, "foreach": False, "fused": False}


def options():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_optimizers import optim_db
    for info in optim_db:
        name = info.optim_cls.__name__
        if not hasattr(optim, name):
            continue
        seen = []
        for case in info.optim_inputs_func(device="cpu"):
            kwargs = {k: v for k, v in case.kwargs.items() if k not in SINGLE}
            if str(kwargs) not in seen:
                seen.append(str(kwargs))
                yield pytest.param(name, kwargs, id=f"{name}-{case.desc}")


def steps(lib, name, kwargs, arrays, gradients, dtype):
    """The parameters after each step; every third step lacks some gradients."""
    params = [lib.tensor(a, dtype=getattr(lib, dtype), requires_grad=True) for a in arrays]
    single = {"foreach": False} if lib is torch and name not in ("LBFGS", "Muon") else {}
    kwargs = {k: lib.tensor(v.item()) if isinstance(v, torch.Tensor) else v for k, v in kwargs.items()}
    optimizer = getattr(lib.optim, name)(params, **kwargs, **single)
    for i, given in enumerate(gradients):

        def closure(given=given):
            """The gradients of sum(g p + p²), and its value."""
            loss = 0.0
            for p, g in zip(params, given, strict=True):
                g = lib.tensor(g, dtype=p.dtype)
                p.grad = g + 2 * p.detach()
                loss += ((p.detach() + g) * p.detach()).sum().item()
            return loss

        if name == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            if i % 3 == 2:
                params[1].grad = None
            optimizer.step()
        yield optimizer, [p.detach().numpy() for p in params]


def arrays_for(name):
    rng = np.random.default_rng(0)
    shapes = [s for s in SHAPES if name != "Muon" or len(s) == 2]
    return [rng.standard_normal(s) for s in shapes], [[rng.standard_normal(s) for s in shapes] for _ in range(20)]


TOLERANCE = {"float32": 3e-5, "float64": 1e-9}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "kwargs"), list(options()))
def test_twenty_steps(name, kwargs, dtype):
    arrays, gradients = arrays_for(name)
    if name == "LBFGS":
        arrays, gradients = arrays[:4], [gradients[0][:4]] * 3
    ours = steps(disttorch, name, kwargs, arrays, gradients, dtype)
    theirs = steps(torch, name, kwargs, arrays, gradients, dtype)
    atol = 2e-3 if name == "Muon" else TOLERANCE[dtype]
    for (_, got), (_, expected) in zip(ours, theirs, strict=True):
        joined, wanted = (np.concatenate([a.ravel() for a in arrays]) for arrays in (got, expected))
        np.testing.assert_allclose(joined, wanted, rtol=TOLERANCE[dtype], atol=atol)


def state_of(lib, optimizer):
    """The optimizer's state_dict with arrays for tensors."""

    def plain(x):
        if isinstance(x, lib.Tensor):
            return x.detach().numpy().tolist()
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        if isinstance(x, list | tuple):
            return [plain(v) for v in x]
        return x

    return plain(optimizer.state_dict())


ALL = "SGD Adam AdamW Adamax NAdam RAdam Adagrad Adadelta RMSprop Rprop ASGD Adafactor".split()
STATEFUL = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True},
}


@pytest.mark.parametrize("name", ALL)
def test_state_dicts_are_alike_and_are_exchanged(name):
    """The same keys and values; a run that goes on from the other's state ends where that one ends."""
    arrays, gradients = arrays_for(name)
    arrays, gradients, kwargs = arrays[:3], [g[:3] for g in gradients], STATEFUL.get(name, {})
    ours, theirs = (steps(lib, name, kwargs, arrays, gradients, "float64") for lib in (disttorch, torch))
    for _ in range(5):
        (mine, values), (other, _) = next(ours), next(theirs)
    mine_state, other_state = state_of(disttorch, mine), state_of(torch, other)
    assert mine_state["state"].keys() == other_state["state"].keys()
    for key, expected in other_state["state"].items():
        assert mine_state["state"][key].keys() == expected.keys()
        for slot, value in expected.items():
            np.testing.assert_allclose(mine_state["state"][key][slot], value, rtol=1e-6, atol=1e-12)
    for got, expected in zip(mine_state["param_groups"], other_state["param_groups"], strict=True):
        assert got == {**expected, "foreach": None} if "foreach" in expected else expected

    given = {
        "state": {
            key: {k: disttorch.tensor(v.numpy()) for k, v in slots.items() if v is not None}
            for key, slots in other.state_dict()["state"].items()
        },
        "param_groups": other.state_dict()["param_groups"],
    }
    params = [disttorch.tensor(v, requires_grad=True) for v in values]
    fresh = getattr(disttorch.optim, name)(params, **kwargs)
    fresh.load_state_dict(given)
    for g in gradients[5:]:
        for p, part in zip(params, g, strict=True):
            p.grad = disttorch.tensor(part) + 2 * p.detach()
        fresh.step()
    other_params = other.param_groups[0]["params"]
    for g in gradients[5:]:
        for p, part in zip(other_params, g, strict=True):
            p.grad = torch.tensor(part) + 2 * p.detach()
        other.step()
    for p, q in zip(params, other_params, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["Adam", "SGD", "RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "Adagrad", "ASGD", "Rprop"]
)
def test_complex_parameters(name):
    rng = np.random.default_rng(1)
    start = rng.standard_normal(5) + 1j * rng.standard_normal(5)
    gradients = [rng.standard_normal(5) + 1j * rng.standard_normal(5) for _ in range(6)]
    ends = []
    for lib in (disttorch, torch):
        p = lib.tensor(start, requires_grad=True)
        optimizer = getattr(lib.optim, name)([p], **STATEFUL.get(name, {}))
        for g in gradients:
            p.grad = lib.tensor(g)
            optimizer.step()
        ends.append(p.detach().numpy())
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-9)


def test_representations():
    for name in [*ALL, "LBFGS"]:
        mine, other = (getattr(lib.optim, name)([lib.ones(2, requires_grad=True)]) for lib in (disttorch, torch))
        assert repr(mine) == repr(other)


BAD = [
    lambda lib, o, w: o.SGD([], lr=0.1),
    lambda lib, o, w: o.SGD(w, lr=0.1),
    lambda lib, o, w: o.SGD([w], lr=-1),
    lambda lib, o, w: o.SGD([w], lr=0.1, nesterov=True),
    lambda lib, o, w: o.SGD([w], momentum=-1),
    lambda lib, o, w: o.SGD([w, 3]),
    lambda lib, o, w: o.SGD([w * 2]),
    lambda lib, o, w: o.SGD([{"params": {w}}]),
    lambda lib, o, w: o.SGD([{"params": [w]}, {"params": w}]),
    lambda lib, o, w: o.SGD([("a", w), lib.ones(1)]),
    lambda lib, o, w: o.SGD([{"params": [("a", w)]}, {"params": lib.ones(1)}]),
    lambda lib, o, w: o.SGD([w]).add_param_group([w]),
    lambda lib, o, w: o.SGD([w]).load_state_dict({"state": {}, "param_groups": []}),
    lambda lib, o, w: o.SGD([w]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}),
    lambda lib, o, w: o.Adam([w], betas=(1.0, 0.9)),
    lambda lib, o, w: o.Adam([w], eps=-1),
    lambda lib, o, w: o.Adam([w], weight_decay=-1),
    lambda lib, o, w: o.Rprop([w], etas=(1.0, 2.0)),
    lambda lib, o, w: o.Adadelta([w], rho=2),
    lambda lib, o, w: o.Adafactor([w], d=0.5),
    lambda lib, o, w: o.Muon([w]),
    lambda lib, o, w: o.LBFGS([{"params": [w]}, {"params": lib.ones(1)}]),
]


@pytest.mark.parametrize("bad", range(len(BAD)))
def test_what_is_refused(bad):
    said = []
    for lib in (disttorch, torch):
        with pytest.raises((ValueError, TypeError)) as caught:
            BAD[bad](lib, lib.optim, lib.ones(2, requires_grad=True))
        said.append(
            (caught.type, str(caught.value).replace("'disttorch.", "'torch.").replace("torch.FloatTensor", "Tensor"))
        )
    assert said[0][0] is said[1][0]
    if bad not in (1, 5):  # these name a type that is called otherwise here
        assert said[0][1] == said[1][1]


@pytest.mark.parametrize("single", [{"foreach": True}, {"foreach": False}, {"capturable": False}, {"fused": True}])
def test_ways_of_computing_are_accepted(single):
    """foreach, capturable and fused choose how PyTorch computes; the values are the same here."""
    ends = []
    for lib in (disttorch, torch):
        p = lib.tensor([0.3, -0.7, 1.1], requires_grad=True)
        optimizer = lib.optim.Adam([p], lr=0.1, **single)
        for _ in range(3):
            p.grad = p.detach() * 2
            optimizer.step()
        ends.append(p.detach().numpy())
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)


EXCLUSIVE = [
    lambda lib, w: lib.optim.Adam([w], fused=True, foreach=True),
    lambda lib, w: lib.optim.SGD([w], fused=True, foreach=True),
    lambda lib, w: lib.optim.Adagrad([w], fused=True, foreach=True),
    lambda lib, w: lib.optim.AdamW([w], fused=True, differentiable=True),
    lambda lib, w: lib.optim.SGD([w], fused=True, differentiable=True),
    lambda lib, w: lib.optim.Adagrad([w], fused=True, differentiable=True),
    lambda lib, w: lib.optim.Adam([w], lr=lib.tensor(0.1), foreach=True),
    lambda lib, w: lib.optim.Adam([w], betas=(lib.tensor(0.1), lib.tensor(0.2)), foreach=True),
    lambda lib, w: lib.optim.Adam([w], betas=(lib.tensor(0.1), 0.2)),
    lambda lib, w: lib.optim.Adam([w], differentiable=True, foreach=True).step(),
]


@pytest.mark.parametrize("bad", range(len(EXCLUSIVE)))
def test_ways_of_computing_that_exclude_each_other(bad):
    said = []
    for lib in (disttorch, torch):
        w = lib.ones(2)
        w.grad = lib.ones(2)
        with pytest.raises((RuntimeError, ValueError, AssertionError)) as caught:
            EXCLUSIVE[bad](lib, w)
        said.append((caught.type, str(caught.value)))
    assert said[0] == said[1]


@pytest.mark.parametrize("name", [*ALL, "LBFGS", "Muon"])
def test_pytorch_goes_on_from_our_file(name, tmp_path):
    """Our state_dict, saved, read by torch.load: PyTorch's optimizer ends where ours does."""
    arrays, gradients = arrays_for(name)
    arrays, gradients, kwargs = arrays[:3], [g[:3] for g in gradients], STATEFUL.get(name, {})
    if name == "LBFGS":
        gradients = [gradients[0]] * 6
    run = steps(disttorch, name, kwargs, arrays, gradients[:3], "float64")
    for mine, values in run:  # noqa: B007
        pass
    disttorch.save(mine.state_dict(), tmp_path / "optimizer.pt")
    params = [torch.tensor(v, requires_grad=True) for v in values]
    theirs = getattr(torch.optim, name)(params, **kwargs)
    theirs.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    ours = mine.param_groups[0]["params"]
    for given in gradients[3:6]:
        for lib, optimizer, ps in ((disttorch, mine, ours), (torch, theirs, params)):

            def closure(lib=lib, ps=ps, given=given):
                loss = 0.0
                for p, g in zip(ps, given, strict=True):
                    g = lib.tensor(g)
                    p.grad = g + 2 * p.detach()
                    loss += ((p.detach() + g) * p.detach()).sum().item()
                return loss

            closure()
            optimizer.step(closure if name == "LBFGS" else None)
    for p, q in zip(ours, params, strict=True):
        np.testing.assert_allclose(
            p.detach().numpy(), q.detach().numpy(), rtol=1e-6, atol=2e-3 if name == "Muon" else 1e-9
        )


def error_cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_optimizers import optim_db
    for info in optim_db:
        name = info.optim_cls.__name__
        if hasattr(optim, name):
            for case in info.optim_error_inputs_func(device="cpu", dtype=torch.float32):
                yield pytest.param(name, case, id=f"{name}-{case.optimizer_error_input.desc}")


@pytest.mark.parametrize(("name", "case"), list(error_cases()))
def test_error_inputs(name, case):
    """optim_db's own mistakes: the same kind of error (or warning), in its words."""
    given, made = case.optimizer_error_input, {}

    def convert(x):
        if isinstance(x, torch.Tensor):
            if id(x) not in made:
                made[id(x)] = disttorch.tensor(x.detach().numpy(), requires_grad=x.requires_grad)
                if x.grad is not None:
                    made[id(x)].grad = disttorch.tensor(x.grad.numpy())
            return made[id(x)]
        if isinstance(x, dict):
            return {k: convert(v) for k, v in x.items()}
        return type(x)(map(convert, x)) if isinstance(x, list | tuple) else x

    params = given.params if given.params is not None else [torch.ones(3, requires_grad=True)]
    context = pytest.warns if issubclass(case.error_type, Warning) else pytest.raises
    with context(case.error_type, match=case.error_regex):
        optimizer = getattr(optim, name)(convert(params), **convert(given.kwargs))
        if case.error_on.name == "STEP_ERROR":
            optimizer.step()
