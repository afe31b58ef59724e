"""DistributedDataParallel's mixed precision, optimizers within backward, and modules replicated where they stand."""

import copy

import numpy as np
import pytest

import disttorch as torch
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed._composable import replicate
from disttorch.distributed.optim import _apply_optimizer_in_backward, _get_in_backward_optimizers
from disttorch.nn.parallel import DistributedDataParallel
from disttorch.nn.parallel.distributed import _MixedPrecision


class Seeing(nn.Module):
    """Two layers of tied weights and a scale, which note the dtypes that they compute in."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 6, bias=False), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.ones(6))
        self.register_buffer("shift", torch.full((6,), 0.1))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x, *, where):
        self.seen = [p.dtype for p in self.parameters()] + [x.dtype, where["mask"].dtype, where["index"].dtype]
        out = self.second(torch.tanh(self.first(x))) * self.scale + self.shift
        return out * where["mask"]


def batch(rank):
    return torch.from_numpy(np.random.default_rng(rank).standard_normal((5, 6)).astype(np.float32))


def lowered(rank, precision, steps=3):
    model = DistributedDataParallel(Seeing(), mixed_precision=precision)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    where = {"mask": torch.ones(6), "index": torch.arange(2)}
    for _ in range(steps):
        out = model(batch(rank), where=where)
        out.float().square().mean().backward()
        gradients = [p.grad.clone() for p in model.parameters()]
        optimizer.step()
        optimizer.zero_grad()
    kinds = {str(t.dtype) for t in [*model.parameters(), *gradients, *optimizer.state_dict()["state"].values()]}
    buffers = model.module.shift.dtype, model.module.count.dtype
    return model.module.seen, str(out.dtype), kinds, buffers, [g.numpy() for g in gradients]


def test_a_module_computes_in_16_bits_and_is_trained_in_32():
    half = torch.bfloat16
    (seen, out, kinds, buffers, first), (*_, second) = run_ranks(2, lowered, args=(_MixedPrecision(half, half, half),))
    assert seen == [half] * 3 + [half, half, torch.int64]  # weights are tied: three parameters
    assert (out, kinds, buffers) == ("torch.bfloat16", {"torch.float32"}, (half, torch.int64))
    *_, exact = run_ranks(2, lowered, args=(None,))[0]
    for a, b, c in zip(first, second, exact, strict=True):
        assert np.array_equal(a, b)  # the same on every rank
        np.testing.assert_allclose(a, c, rtol=0, atol=0.02)
        assert not np.array_equal(a, c)


def rounded(rank, precision):
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False), mixed_precision=precision)
    model(torch.tensor([[1.0 + rank / 1024]])).sum().backward()
    return model.module.weight.grad.item(), model.reducer.hook is None


@pytest.mark.parametrize(
    ("param", "reduce", "expected"),
    [
        (None, torch.float16, 1.0),  # 1 + 1/2048 has no float16
        (None, torch.float32, 1 + 1 / 2048),
        (torch.float16, None, 1.0),  # the inputs have, their average has not
        (torch.float16, torch.float32, 1 + 1 / 2048),
        (torch.bfloat16, torch.float32, 1.0),
    ],
)
def test_gradients_are_averaged_in_the_dtype_for_it(param, reduce, expected):
    precision = _MixedPrecision(param_dtype=param, reduce_dtype=reduce)
    assert run_ranks(2, rounded, args=(precision,)) == [(expected, reduce is torch.float32)] * 2


def test_names_to_ignore_keep_their_dtype_and_no_second_hook_is_taken():
    def body(rank):
        model = Seeing()
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, ["scale", "shift"])
        wrapped = DistributedDataParallel(model, mixed_precision=_MixedPrecision(*[torch.float16] * 3))
        wrapped(batch(rank), where={"mask": torch.ones(6), "index": torch.arange(2)})
        with pytest.raises(RuntimeError, match="can only be called once"):
            wrapped.register_comm_hook(None, lambda state, bucket: None)
        return sorted(map(str, model.seen[:3])), model.shift.dtype

    assert run_ranks(1, body) == [(["torch.float16", "torch.float16", "torch.float32"], torch.float32)]


def in_backward(rank, optimizer_class, before):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6))
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, ["2.bias"])
    if before:
        _apply_optimizer_in_backward(optimizer_class, model.parameters(), {"lr": 0.03})
    wrapped = DistributedDataParallel(model)
    if not before:
        _apply_optimizer_in_backward(optimizer_class, model.parameters(), {"lr": 0.03})
    start = model[0].weight.tolist()
    wrapped(batch(rank)).square().sum().backward()
    assert all(p.grad is None for p in model.parameters())
    assert model[0].weight.tolist() != start
    return [p.tolist() for p in model.parameters()]


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("before", [True, False])
def test_optimizers_in_backward_step_alone_where_the_wrapper_leaves_a_parameter_alone(optimizer_class, before):
    first, second = run_ranks(2, in_backward, args=(optimizer_class, before))
    assert first[:3] == second[:3]
    if optimizer_class is torch.optim.SGD:  # Adam's first step knows the sign alone
        assert first[3] != second[3]


def averaged(rank, accumulate):
    torch.manual_seed(0)
    plain = nn.Linear(6, 6)
    stepping = copy.deepcopy(plain)
    _apply_optimizer_in_backward(torch.optim.Adam, stepping.parameters(), {"lr": 0.03})
    models = [DistributedDataParallel(plain), DistributedDataParallel(stepping)]
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.03)
    for step in range(4):
        for model in models:
            with model.no_sync():
                if accumulate:
                    model(batch(rank)).square().sum().backward()
            model(batch(rank + step)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert stepping.weight.grad is None
    assert len(_get_in_backward_optimizers(stepping)) == 2
    return [p.tolist() for p in plain.parameters()] == [p.tolist() for p in stepping.parameters()], plain.bias.tolist()


@pytest.mark.parametrize("accumulate", [False, True])
def test_optimizers_in_backward_train_like_one_behind_it(accumulate):
    (same, bias), (also, other) = run_ranks(2, averaged, args=(accumulate,))
    assert same
    assert also
    assert bias == other


def test_an_optimizer_in_backward_without_a_wrapper():
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
    _apply_optimizer_in_backward(torch.optim.SGD, layer.parameters(), {"lr": 0.5})
    _apply_optimizer_in_backward(torch.optim.SGD, layer.parameters(), {"lr": 0.25})  # a second one
    layer(torch.ones(1, 1)).sum().backward()
    assert (layer.weight.item(), layer.weight.grad) == (0.25, None)
    silent = nn.Linear(1, 1, bias=False)
    _apply_optimizer_in_backward(torch.optim.SGD, silent.parameters(), {"lr": 0.5}, register_hook=False)
    silent(torch.ones(1, 1)).sum().backward()
    assert silent.weight.grad.item() == 1


def replicated(rank):
    torch.manual_seed(rank)
    model = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    with torch.no_grad():
        model[1].running_mean.fill_(rank)
    names = list(model.state_dict())
    again = replicate(model, ignored_modules=[model[2]], bucket_cap_mb=1)
    assert again is model
    assert isinstance(model, nn.Sequential)
    assert type(model).__name__ == "DDPSequential"
    assert list(model.state_dict()) == names
    own = model[2].weight.tolist()
    model.set_requires_gradient_sync(False)
    model.eval()
    model(batch(rank)).sum().backward()
    alone = model[0].weight.grad.clone()
    model.set_requires_gradient_sync(True)
    model(batch(rank)).sum().backward()
    assert model[2].weight.tolist() == own
    with pytest.raises(AssertionError, match="does not support deepcopy"):
        copy.deepcopy(model)
    return alone.tolist(), model[0].weight.grad.tolist(), model[0].weight.tolist(), model[1].running_mean.tolist()


def test_a_module_averages_where_it_stands():
    first, second = run_ranks(2, replicated)
    assert first[0] != second[0]
    assert first[1:3] == second[1:3]  # gradients and parameters
    np.testing.assert_allclose(first[1], np.add(first[0], second[0]), rtol=1e-5)  # twice their average
    assert (first[3], second[3]) == ([0, 0, 0], [1, 1, 1])  # buffers are left alone


def test_what_replicate_refuses():
    with pytest.raises(RuntimeError, match=r"Expected device_id to be int or torch.device, but got <class 'str'>"):
        replicate(nn.Linear(1, 1), device_id="cpu")
    with pytest.raises(NotImplementedError, match="mixed_precision"):
        replicate(nn.Linear(1, 1), mixed_precision=_MixedPrecision(torch.float16))


def test_replicate_moves_inputs_and_takes_a_hook(simulated_devices):
    simulated_devices(1)

    def body(rank):
        model = replicate(nn.Linear(2, 1).to("cuda:0"), device_id=torch.device("cuda:0"))
        seen = []

        def hook(state, bucket):
            seen.append(state)
            future = torch.futures.Future()
            future.set_result(bucket.buffer().zero_())
            return future

        model.register_comm_hook("state", hook)
        model(torch.ones(1, 2)).sum().backward()
        return seen, model.weight.grad.tolist()

    assert run_ranks(1, body) == [(["state"], [[0, 0]])]
