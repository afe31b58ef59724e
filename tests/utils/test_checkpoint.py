"""Checkpointing: the same gradients, the forward run twice, the same dropout."""

import contextlib

import pytest

import disttorch
from disttorch import nn
from disttorch.utils.checkpoint import (
    CheckpointError,
    check_backward_validity,
    checkpoint,
    checkpoint_sequential,
    detach_variable,
    get_device_states,
    set_device_states,
)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_the_same_gradients(use_reentrant):
    layer, x = nn.Linear(3, 3), disttorch.randn(4, 3, requires_grad=True)
    calls = []

    def part(v, scale, *, bias):
        calls.append(1)
        return layer(v).tanh() * scale + bias

    found = []
    for run in (part, lambda *a, **k: checkpoint(part, *a, use_reentrant=use_reentrant, **k)):
        layer.zero_grad()
        x.grad = None
        (run(x, 2.0, bias=1.0) ** 2).sum().backward()
        found.append([x.grad.clone(), *[p.grad.clone() for p in layer.parameters()]])
    assert len(calls) == 3
    for a, b in zip(*found, strict=True):
        assert disttorch.equal(a, b)


def test_dropout_is_the_same_again():
    dropout, x = nn.Dropout(0.5), disttorch.ones(100, requires_grad=True)
    out = checkpoint(dropout, x, use_reentrant=False)
    expected = disttorch.rand(1, generator=disttorch.Generator().manual_seed(0))
    before = disttorch.get_rng_state()
    out.sum().backward()
    assert disttorch.equal(x.grad, out.detach())
    assert disttorch.equal(disttorch.get_rng_state(), before)
    assert expected.numel() == 1


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_dropout_on_a_device_is_the_same_again(simulated_devices, use_reentrant):
    simulated_devices(2)
    dropout, x = nn.Dropout(0.5), disttorch.ones(100, device="cuda:1", requires_grad=True)
    out = checkpoint(lambda pair: dropout(pair["x"] * x), {"x": x.detach()}, use_reentrant=use_reentrant)
    before = disttorch.cuda.get_rng_state(1)
    out.sum().backward()
    assert disttorch.equal(x.grad, out.detach())
    assert disttorch.equal(disttorch.cuda.get_rng_state(1), before)


def test_states_of_devices(simulated_devices):
    simulated_devices(2)
    at_1 = disttorch.ones(2, device="cuda:1")
    devices, states = get_device_states(disttorch.ones(1), [at_1, {"again": at_1}], "text")
    drawn = disttorch.rand(3, device="cuda:1")
    set_device_states(devices, states)
    assert devices == [1]
    assert disttorch.equal(disttorch.rand(3, device="cuda:1"), drawn)


def test_parts_of_reentrant_checkpoints_that_programs_build_themselves():
    kept = disttorch.ones(2, requires_grad=True) * 2
    alone, number, plain = detach_variable((kept, 3, disttorch.ones(1)))
    assert alone.is_leaf
    assert alone.requires_grad
    assert number == 3
    assert not plain.requires_grad
    with pytest.raises(RuntimeError, match=r"Only tuple of tensors is supported\. Got Unsupported input type: list"):
        detach_variable([kept])
    check_backward_validity((3, kept))
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        check_backward_validity((3, plain))


def test_reentrant_ones_are_not_for_certain_inputs_alone():
    layer, x = nn.Linear(2, 1), disttorch.ones(1, 2, requires_grad=True)
    seen = []
    x.register_hook(lambda _: seen.append(disttorch.autograd._is_checkpoint_valid()))
    for run in (lambda y: disttorch.autograd.grad(y, x), lambda y: y.backward(inputs=[x])):
        with pytest.raises(RuntimeError, match=r"incompatible with \.grad\(\) or passing an `inputs` parameter"):
            run(checkpoint(layer, x, use_reentrant=True).sum())
        assert disttorch.autograd._is_checkpoint_valid()
    assert layer.weight.grad is None
    checkpoint(layer, x, use_reentrant=True).sum().backward()
    disttorch.autograd.grad(x.sum(), x)
    assert seen == [True, False]


def test_only_parameters_need_gradients():
    layer = nn.Linear(2, 1)
    checkpoint(layer, disttorch.ones(1, 2), use_reentrant=False).sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1]]


def test_several_outputs():
    x = disttorch.ones(2, requires_grad=True)
    a, b = checkpoint(lambda v: (v * 2, v * 3), x, use_reentrant=False)
    (a.sum() + b.sum()).backward()
    assert x.grad.tolist() == [5, 5]


def test_sequential():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(5)])
    x = disttorch.randn(3, 2, requires_grad=True)
    model(x).sum().backward()
    wanted, x.grad = x.grad, None
    checkpoint_sequential(model, 2, x, use_reentrant=False).sum().backward()
    assert disttorch.allclose(x.grad, wanted)


def squares(function):
    """The gradients of a sum of squares through `function` and a layer, and how often the function was called."""
    layer, x, calls = nn.Linear(3, 3), disttorch.arange(6.0).reshape(2, 3).requires_grad_(), []
    with disttorch.no_grad():
        layer.weight.copy_(disttorch.arange(9.0).reshape(3, 3).sin())
        layer.bias.zero_()

    def block(v):
        calls.append(1)
        return layer(v).tanh()

    function(block, x)
    return [x.grad, layer.weight.grad], len(calls)


def plain(function, *args, **options):
    return function(*args)


def twice(run):
    def steps(block, x):
        loss = run(block, x).square().sum()
        loss.backward(retain_graph=True)
        loss.backward()

    return steps


def nested(run):
    return lambda block, x: run(lambda v: run(block, v) * 2, x).square().sum().backward()


def of_gradients(run):
    def steps(block, x):
        (g,) = disttorch.autograd.grad(run(block, x).sum(), x, create_graph=True)
        g.square().sum().backward()

    return steps


@pytest.mark.parametrize(("program", "calls"), [(twice, 3), (nested, 2), (of_gradients, 3)])
def test_the_graph_is_as_without_checkpoints(program, calls):
    wanted, _ = squares(program(plain))
    found, count = squares(program(lambda *a: checkpoint(*a, use_reentrant=False)))
    assert all(disttorch.allclose(a, b) for a, b in zip(found, wanted, strict=True))
    assert count == calls


def test_a_block_is_computed_no_further_than_needed():
    x, seen = disttorch.ones(2, requires_grad=True), []

    def block(v):
        seen.append("begun")
        v = v.tanh()
        seen.append("ended")
        return v + 1

    checkpoint(block, x, use_reentrant=False).sum().backward()
    assert seen == ["begun", "ended", "begun"]
    checkpoint(block, x, use_reentrant=False, early_stop=False).sum().backward()
    assert seen[3:] == ["begun", "ended", "begun", "ended"]


def test_a_block_that_changes_is_refused():
    x, calls = disttorch.ones(3, requires_grad=True), []

    def other(v):
        calls.append(1)
        return v.tanh().sin() if len(calls) % 2 else v.tanh()

    with pytest.raises(CheckpointError, match=r"(?s)A different number of tensors.*forward: 2.*recomputation: 1\."):
        checkpoint(other, x, use_reentrant=False).sum().backward()

    def shorter(v):
        calls.append(1)
        return v[len(calls) % 2 :].tanh()

    with pytest.raises(CheckpointError, match="have different metadata than during the forward pass"):
        checkpoint(shorter, x, use_reentrant=False).sum().backward()
    calls[:] = [1]
    with pytest.raises(CheckpointError, match=r"(?s)forward: 1.*recomputation: 2\."):
        checkpoint(other, x, use_reentrant=False, early_stop=False).sum().backward()
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(shorter, x, use_reentrant=False, determinism_check="bogus")
    with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
        checkpoint(shorter, x, use_reentrant=True, debug=True)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_autocast_is_as_in_the_forward(use_reentrant):
    layer, x = nn.Linear(64, 64), disttorch.randn(8, 64, requires_grad=True)
    found = []
    for run in (plain, checkpoint):
        x.grad = None
        with disttorch.autocast("cpu", dtype=disttorch.bfloat16):
            y = run(lambda v: layer(layer(v)).tanh(), x, use_reentrant=use_reentrant)
        y.float().square().sum().backward()
        found.append(x.grad)
    assert disttorch.equal(*found)


def test_contexts_of_the_forward_and_of_the_second_time():
    x, entered = disttorch.ones(2, requires_grad=True), []

    @contextlib.contextmanager
    def noted(name):
        entered.append(name)
        yield

    contexts = lambda: (noted("forward"), noted("again"))  # noqa: E731
    y = checkpoint(disttorch.tanh, x, use_reentrant=False, context_fn=contexts)
    assert entered == ["forward"]
    y.sum().backward()
    assert entered == ["forward", "again"]
