"""differentiable=True: gradients through several steps, against differences."""

import numpy as np
import pytest

import disttorch
from disttorch import optim

CASES = {
    "SGD": {"lr": 0.1},
    "SGD-momentum": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "SGD-nesterov": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True},
    "Adam": {"lr": 0.05, "weight_decay": 0.1},
    "Adam-amsgrad": {"lr": 0.05, "amsgrad": True},
    "AdamW": {"lr": 0.05},
    "Adamax": {"weight_decay": 0.2},
    "NAdam": {},
    "RAdam": {"decoupled_weight_decay": True, "weight_decay": 0.1, "betas": (0.5, 0.9)},
    "Adagrad": {"lr_decay": 0.1},
    "Adadelta": {},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Rprop": {},
    "ASGD": {"t0": 1},
}
START = np.array([0.3, -0.7, 1.1])
DATA = np.array([1.2, 0.4, -0.9])


@pytest.fixture(autouse=True)
def doubles():
    """Numbers in a state (steps, products of momenta) are of the default dtype."""
    disttorch.set_default_dtype(disttorch.float64)
    yield
    disttorch.set_default_dtype(disttorch.float32)


@pytest.fixture(scope="module")
def torch():
    """PyTorch, with what its optimizers import when first used, which sets environment variables."""
    pytest.importorskip("torch._dynamo")
    return pytest.importorskip("torch")


def after_steps(case, start, steps=4, lib=disttorch, **settings):
    """The parameters after some steps whose gradients are recorded."""
    p = start * 1
    settings = {**CASES[case], **settings}
    optimizer = getattr(lib.optim, case.split("-")[0])([p], differentiable=True, **settings)
    x = lib.tensor(DATA)
    for _ in range(steps):
        (p.grad,) = lib.autograd.grad(((p.clone() * x).exp() + p.clone() ** 2).sum(), p, create_graph=True)
        optimizer.step()
    return p


@pytest.mark.parametrize("case", CASES)
def test_gradients_against_differences(case):
    start = disttorch.tensor(START, requires_grad=True)
    assert disttorch.autograd.gradcheck(lambda w: after_steps(case, w), (start,), eps=1e-6, atol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("SGD-")])  # docs/compatibility.md
def test_one_step_as_pytorch(case, torch):
    """PyTorch's next step changes the state in place, which its own gradients of the first need."""
    found = []
    torch.set_default_dtype(torch.float64)
    try:
        for lib in (disttorch, torch):
            start = lib.tensor(START, requires_grad=True)
            p = after_steps(case, start, steps=1, lib=lib)
            found.append((p.detach().numpy(), lib.autograd.grad((p**3).sum(), start)[0].numpy()))
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", ["SGD-momentum", "Adam", "AdamW", "SGD-nesterov"])
def test_a_learning_rate_learns(case):
    lr = disttorch.tensor(0.05, requires_grad=True)
    start = disttorch.tensor(START, requires_grad=True)
    assert disttorch.autograd.gradcheck(lambda lr: after_steps(case, start, lr=lr), (lr,))


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_betas_learn(name):
    betas = [disttorch.tensor(b, requires_grad=True) for b in (0.8, 0.95)]
    start = disttorch.tensor(START, requires_grad=True)
    check = disttorch.autograd.gradcheck
    assert check(lambda a, b: after_steps(name, start, betas=(a, b)), betas)


def test_state_takes_part():
    p = disttorch.tensor(START, requires_grad=True)
    mean = disttorch.tensor([0.1, 0.2, 0.3], requires_grad=True)

    def step(p, mean):
        q = p.clone()
        optimizer = optim.Adam([q], lr=0.1, differentiable=True)
        square = disttorch.ones(3)
        optimizer.state[q].update(step=disttorch.tensor(3.0), exp_avg=mean.clone(), exp_avg_sq=square)
        q.grad = disttorch.tensor(DATA)
        optimizer.step()
        return q, optimizer.state[q]["exp_avg"]

    assert disttorch.autograd.gradcheck(step, (p, mean))


def test_complex_parameters():
    start = disttorch.tensor(START + 1j * DATA, requires_grad=True)

    def steps(w):
        q = w.clone()
        optimizer = optim.Adam([q], lr=0.1, differentiable=True)
        for _ in range(2):
            q.grad = w * w
            optimizer.step()
        return q

    assert disttorch.autograd.gradcheck(steps, (start,))


def test_a_leaf_cannot_be_changed():
    w = disttorch.tensor(START, requires_grad=True)
    w.grad = disttorch.tensor(DATA)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        optim.SGD([w], differentiable=True).step()


def test_foreach_and_fused_are_refused():
    w = disttorch.tensor(START)
    w.grad = disttorch.tensor(DATA)
    with pytest.raises(AssertionError, match="_foreach ops don't support autograd"):
        optim.SGD([w], differentiable=True, foreach=True).step()
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        optim.Adam([w], differentiable=True, fused=True)
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        optim.Adam([w], foreach=True, fused=True)
