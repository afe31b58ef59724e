"""Optimizers: values recorded from PyTorch 2.13, closed forms, packing, groups, states, hooks."""

import copy
import pickle

import numpy as np
import pytest

import disttorch
from disttorch import optim
from disttorch.optim.elementwise import BLOCK, SMALL
from disttorch.optim.optimizer import ParamsT, register_optimizer_step_post_hook, register_optimizer_step_pre_hook

START, SCALE = [[1.0, -2.0], [0.5, 3.0]], np.array([[1.0, 0.5], [2.0, 0.1]])

# The parameters, from START, after 5 steps (LBFGS: one) on the loss sum(SCALE · p⁴ / 4), in float64.
RECORDED = {
    "SGD": ({}, [0.995029821039, -1.980237153071, 0.498753738783, 2.986572508387]),
    "SGD-momentum": (
        {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1},
        [0.986627092308, -1.949268217068, 0.496340985212, 2.963504786702],
    ),
    "SGD-nesterov": (
        {"momentum": 0.9, "nesterov": True, "maximize": True},
        [1.017037955377, -2.06900704823, 0.504233285734, 3.045945583846],
    ),
    "ASGD": ({"t0": 2, "lambd": 0.1}, [0.948280713709, -1.813055536377, 0.485485781314, 2.858148109647]),
    "Adam": ({}, [0.99500132049, -1.995000655062, 0.495002682572, 2.995000435571]),
    "Adam-amsgrad": (
        {"amsgrad": True, "weight_decay": 0.1, "lr": 0.1},
        [0.530373049104, -1.511371332778, 0.072424356428, 2.506108805812],
    ),
    "AdamW": ({"lr": 0.1, "weight_decay": 0.5}, [0.377457856991, -1.12602933641, 0.037868199164, 1.892263801117]),
    "Adamax": ({"weight_decay": 0.1}, [0.990041068567, -1.990011557208, 0.490094890568, 2.990000289637]),
    "NAdam": ({"lr": 0.1}, [0.672337566283, -1.633844647068, 0.238093025883, 2.620759656979]),
    "RAdam": ({"lr": 0.1, "betas": (0.5, 0.8)}, [0.654524013502, -0.933322445432, 0.397964743515, 2.037890588771]),
    "Adagrad": (
        {"lr": 0.5, "lr_decay": 0.1, "initial_accumulator_value": 0.1},
        [0.375071966709, -1.084812434169, 0.148562053847, 1.940700818351],
    ),
    "Adadelta": ({"rho": 0.5}, [0.991176472864, -1.991158542868, 0.491212605822, 2.991152579772]),
    "RMSprop": ({"alpha": 0.5}, [0.944083194454, -1.943599113373, 0.445103688934, 2.943441627641]),
    "RMSprop-centered": (
        {"alpha": 0.5, "centered": True, "momentum": 0.9},
        [0.681984335268, -1.648234352679, 0.232395174244, 2.636925421864],
    ),
    "Rprop": ({"etas": (0.5, 1.5)}, [0.868125, -1.868125, 0.368125, 2.868125]),
    "Adafactor": ({"lr": 0.5, "weight_decay": 0.1}, [-0.109947979308, -0.581039816944, 0.04587561821, 1.106891861282]),
    "Muon": ({"lr": 0.1}, [0.703533491658, -1.645451608659, 0.191486012852, 2.621384634356]),
    "LBFGS": ({"lr": 0.5}, [0.051235191377, -0.093204990106, 0.030051675032, 0.156811232138]),
    "LBFGS-wolfe": (
        {"line_search_fn": "strong_wolfe", "max_iter": 4},
        [0.369968521043, -0.619993694441, 0.233189399768, 1.146215864096],
    ),
}


def quartic(p):
    """A closure that sets p's gradient."""

    def closure():
        x = p.detach().numpy()
        p.grad = disttorch.tensor(SCALE * x**3)
        return disttorch.tensor((SCALE * x**4 / 4).sum())

    return closure


@pytest.mark.parametrize("name", RECORDED)
def test_recorded(name):
    kwargs, expected = RECORDED[name]
    kind = name.partition("-")[0]
    p = disttorch.tensor(START, dtype=disttorch.float64, requires_grad=True)
    optimizer = getattr(optim, kind)([p], **kwargs)
    for _ in range(1 if kind == "LBFGS" else 5):
        loss = optimizer.step(quartic(p))
    assert loss.dtype is disttorch.float64
    tolerance = 2e-3 if kind == "Muon" else 1e-6  # Muon's matrices are bfloat16
    np.testing.assert_allclose(p.detach().numpy().ravel(), expected, rtol=tolerance)


def test_momentum_sums_a_geometric_series():
    """With a constant gradient of 1, v_t = (1 - m^t) / (1 - m) and p falls by lr · v_t."""
    p = disttorch.zeros(1, dtype=disttorch.float64, requires_grad=True)
    optimizer, m, lr, total = optim.SGD([p], lr=0.1, momentum=0.9), 0.9, 0.1, 0.0
    for t in range(1, 8):
        p.grad = disttorch.ones(1, dtype=disttorch.float64)
        optimizer.step()
        total += lr * (1 - m**t) / (1 - m)
        assert p.item() == pytest.approx(-total, rel=1e-12)


def test_adam_moves_by_lr_whatever_the_constant_gradient():
    p = disttorch.zeros(3, dtype=disttorch.float64, requires_grad=True)
    optimizer = optim.Adam([p], lr=0.01, eps=0)
    for _ in range(5):
        p.grad = disttorch.tensor([1e-3, -5.0, 1e4], dtype=disttorch.float64)
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), [-0.05, 0.05, -0.05], rtol=1e-9)


# -- packs ------------------------------------------------------------------------------------------------------------
SHAPES = [(3,), (2, 5), (SMALL,), (SMALL + 1,), (BLOCK + 3,), (4, 3, 2), ()]
STATEFUL = [
    ("SGD", {"momentum": 0.9}),
    ("Adam", {"amsgrad": True}),
    ("NAdam", {}),
    ("ASGD", {}),
    ("RMSprop", {"centered": True}),
]


def made(shapes, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    return [disttorch.tensor(rng.standard_normal(s), requires_grad=True, **kwargs) for s in shapes]


def give_gradients(params, seed, skip=()):
    rng = np.random.default_rng(seed)
    for i, p in enumerate(params):
        g = rng.standard_normal(p.shape)
        p.grad = None if i in skip else disttorch.tensor(g)


@pytest.mark.parametrize(("name", "kwargs"), STATEFUL)
def test_together_as_each_alone(name, kwargs):
    """Packed with others, or alone; with gradients missing now and then."""
    together, alone = made(SHAPES), made(SHAPES)
    one = getattr(optim, name)(together, **kwargs)
    several = [getattr(optim, name)([p], **kwargs) for p in alone]
    for step in range(7):
        skip = {2: (0, 4), 3: (1,), 5: (0, 1, 2)}.get(step, ())
        give_gradients(together, step, skip)
        give_gradients(alone, step, skip)
        one.step()
        for optimizer in several:
            optimizer.step()
        for p, q in zip(together, alone, strict=True):
            np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_a_large_parameter_in_another_order_in_memory():
    plain, turned = made([(300, 200)])[0], disttorch.tensor(np.zeros((200, 300)))
    turned = turned.t()
    turned.copy_(plain.detach())
    turned.requires_grad = True
    assert not turned.is_contiguous()
    optimizers = [optim.Adam([p]) for p in (plain, turned)]
    for step in range(3):
        for p, optimizer in zip((plain, turned), optimizers, strict=True):
            give_gradients([p], step)
            optimizer.step()
    np.testing.assert_array_equal(plain.detach().numpy(), turned.detach().numpy())


def test_parameters_stay_where_they_are_and_count_a_version():
    p, q = made([(3,), (4,)])
    seen, versions = p.detach(), (p._version, q._version)
    optimizer = optim.Adam([p, q])
    give_gradients([p, q], 1)
    optimizer.step()
    np.testing.assert_array_equal(seen.numpy(), p.detach().numpy())
    assert (p._version, q._version) == (versions[0] + 1, versions[1] + 1)


def test_a_saved_parameter_that_was_stepped_is_noticed():
    p = disttorch.ones(2, requires_grad=True)
    loss = (p * p).sum()
    p.grad = disttorch.ones(2)
    optim.SGD([p]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_state_that_somebody_exchanges_is_used():
    p, q = made([(3,), (4,)])
    optimizer = optim.SGD([p, q], lr=1.0, momentum=0.5)
    for step in range(2):
        give_gradients([p, q], step)
        optimizer.step()
    optimizer.state[p]["momentum_buffer"] = disttorch.zeros(3, dtype=disttorch.float64)
    before = p.detach().numpy().copy()
    give_gradients([p, q], 9)
    optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), before - p.grad.numpy())
    optimizer.state.clear()
    before = q.detach().numpy().copy()
    optimizer.step()
    np.testing.assert_allclose(q.detach().numpy(), before - q.grad.numpy())


def test_half_precision_is_computed_in_float32():
    p = disttorch.tensor([1.0, 2.0], dtype=disttorch.bfloat16, requires_grad=True)
    optimizer = optim.Adam([p], lr=0.1)
    p.grad = disttorch.tensor([1.0, -1.0], dtype=disttorch.bfloat16)
    optimizer.step()
    assert p.dtype is disttorch.bfloat16
    assert p.detach().tolist() == pytest.approx([0.9, 2.1], rel=1e-2)
    assert p.grad.tolist() == [1.0, -1.0]


# -- groups, states, hooks --------------------------------------------------------------------------------------------
def test_groups_have_settings_of_their_own():
    p, q = made([(2,), (2,)])
    optimizer = optim.SGD([{"params": [p]}, {"params": q, "lr": 0.5}], lr=0.1)
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5]
    before = [x.detach().numpy().copy() for x in (p, q)]
    give_gradients([p, q], 1)
    optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), before[0] - 0.1 * p.grad.numpy())
    np.testing.assert_allclose(q.detach().numpy(), before[1] - 0.5 * q.grad.numpy())
    optimizer.add_param_group({"params": made([(1,)])})
    assert optimizer.param_groups[2]["lr"] == 0.1


def test_a_parameter_given_twice_is_warned_of():
    p = made([(2,)])[0]
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p])


def test_names_are_kept():
    p, q = made([(2,), (2,)])
    optimizer = optim.Adam([("w", p), ("b", q)])
    assert optimizer.param_groups[0]["param_names"] == ["w", "b"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["w", "b"]


@pytest.mark.parametrize(("name", "kwargs"), STATEFUL)
def test_going_on_from_a_state_dict(name, kwargs):
    first = made(SHAPES)
    optimizer = getattr(optim, name)(first, **kwargs)
    for step in range(3):
        give_gradients(first, step)
        optimizer.step()
    second = [disttorch.tensor(p.detach().numpy(), requires_grad=True) for p in first]
    other = getattr(optim, name)(second, lr=123.0, **kwargs)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    for step in range(3, 6):
        for params, o in ((first, optimizer), (second, other)):
            give_gradients(params, step)
            o.step()
    for p, q in zip(first, second, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_copies_and_pickles_go_on_by_themselves():
    params = made([(3,), (4,)])
    optimizer = optim.Adam(params)
    give_gradients(params, 1)
    optimizer.step()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        mine = other.param_groups[0]["params"]
        assert mine[0] is not params[0]
        assert float(other.state[mine[0]]["step"]) == 1
        give_gradients(mine, 2)
        other.step()
        assert float(other.state[mine[1]]["step"]) == 2
    assert float(optimizer.state[params[0]]["step"]) == 1


def test_zero_grad():
    p = made([(2,)])[0]
    optimizer = optim.SGD([p])
    give_gradients([p], 1)
    g = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is g
    assert p.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_hooks():
    p, calls = made([(2,)])[0], []
    optimizer = optim.SGD([p], lr=0.1)
    handles = [
        register_optimizer_step_pre_hook(lambda o, args, kwargs: calls.append("global pre")),
        optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append("pre")),
        optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append("post")),
        register_optimizer_step_post_hook(lambda o, args, kwargs: calls.append("global post")),
    ]
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("state"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    optimizer.step()
    assert calls == ["global pre", "pre", "post", "global post"]
    assert optimizer.state_dict()["more"] == 1
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert calls[4:] == ["state"]


def test_a_users_own_optimizer():
    class Sign(optim.Optimizer):
        def __init__(self, params: ParamsT, lr: float):
            super().__init__(params, {"lr": lr})

        @disttorch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    p, called = made([(2,)])[0], []
    optimizer = Sign([p], lr=0.5)
    optimizer.register_step_post_hook(lambda *args: called.append(1))
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    before = p.detach().numpy().copy()
    give_gradients([p], 1)
    optimizer.step()
    scheduler.step()
    np.testing.assert_allclose(p.detach().numpy(), before - 0.5 * np.sign(p.grad.numpy()))
    assert called == [1]
    assert scheduler.get_last_lr() == [0.25]


def test_lr_in_a_tensor():
    p = disttorch.ones(2, requires_grad=True)
    optimizer = optim.Adam([p], lr=disttorch.tensor(0.1))
    p.grad = disttorch.ones(2)
    optimizer.step()
    assert p.tolist() == pytest.approx([0.9, 0.9])
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        optim.Adam([p], lr=disttorch.ones(2))


def test_lbfgs_finds_the_minimum_of_rosenbrocks_function():
    p = disttorch.tensor([-1.2, 1.0], dtype=disttorch.float64, requires_grad=True)
    optimizer = optim.LBFGS([p], max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(p.detach().numpy(), [1, 1], atol=1e-6)
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optim.LBFGS([p], line_search_fn="no").step(closure)


class Wrapped(disttorch.optim.Optimizer):
    """An optimizer's place taken by an object that only hands on, as some trainers' wrappers do."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self, closure=None):
        return self.optimizer.step(closure)


def test_a_wrapper_that_is_no_optimizer_itself():
    parameter = disttorch.nn.Parameter(disttorch.ones(1))
    parameter.grad = disttorch.ones(1)
    Wrapped(disttorch.optim.SGD([parameter], lr=0.5)).step()
    assert parameter.item() == 0.5


def test_hooks_see_the_optimizer_among_the_arguments():
    p, seen = made([(2,)])[0], []
    optimizer = optim.SGD([p], lr=0.1)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((*args, lambda: 7.0), kwargs))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append((args[0] is o, len(args))))
    assert optimizer.step() == 7.0
    assert seen == [(True, 2)]


def test_checkpoints_that_lack_later_settings():
    settings = {
        optim.SGD: ["nesterov", "maximize", "foreach", "differentiable", "fused"],
        optim.Adam: ["amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused"],
        optim.RMSprop: ["momentum", "centered", "maximize", "foreach", "capturable", "differentiable"],
        optim.NAdam: ["decoupled_weight_decay", "maximize", "foreach", "capturable", "differentiable"],
    }
    for make, later in settings.items():
        p = made([(2,)])[0]
        optimizer = make([p])
        old = optimizer.state_dict()
        for name in later:
            del old["param_groups"][0][name]
        optimizer.load_state_dict(old)
        assert set(later) <= set(optimizer.param_groups[0])
        give_gradients([p], 1)
        optimizer.step()


def test_adagrads_first_sums_are_the_optimizers_and_no_groups():
    p, q = made([(2,), (2,)])
    optimizer = optim.Adagrad([{"params": [p], "initial_accumulator_value": 1.0}, {"params": [q]}])
    assert optimizer.state[p]["sum"].tolist() == [0.0, 0.0]


def test_rprop_stays_where_the_gradient_is_nan():
    p = disttorch.ones(2, requires_grad=True)
    optimizer = optim.Rprop([p], lr=0.5)
    p.grad = disttorch.tensor([float("nan"), 1.0])
    optimizer.step()
    assert p.tolist() == [1.0, 0.5]


def test_lbfgs_without_iterations_has_a_state_dict():
    p = disttorch.ones(2, 2, dtype=disttorch.float64, requires_grad=True)
    optimizer = optim.LBFGS([p], max_iter=0)
    optimizer.step(quartic(p))
    assert optimizer.state_dict()["state"][0]["n_iter"] == 0


def test_adafactor_overflows_in_silence(recwarn):
    p = disttorch.ones(2, 2, dtype=disttorch.float16, requires_grad=True)
    optimizer = optim.Adafactor([p])
    p.grad = disttorch.full((2, 2), 6e4, dtype=disttorch.float16)
    optimizer.step()
    assert not recwarn.list


def test_muon_refuses_parameters_that_became_no_matrices():
    p = disttorch.ones(2, 2, requires_grad=True)
    optimizer = optim.Muon([p])
    q = disttorch.ones(2, requires_grad=True)
    optimizer.add_param_group({"params": [q]})
    q.grad = disttorch.ones(2)
    with pytest.raises(ValueError, match="Param gradient must be a 2D matrix"):
        optimizer.step()
