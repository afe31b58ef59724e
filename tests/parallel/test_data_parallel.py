"""DataParallel on simulated devices: values, gradients, buffers, errors, the shares that replicas see."""

import io
import threading

import numpy as np
import pytest

import disttorch as torch
from disttorch import nn
from disttorch.nn.parallel import data_parallel, gather, parallel_apply, replicate


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))


@pytest.mark.parametrize("devices", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 7, 16])
def test_equals_the_module_itself(simulated_devices, devices, batch):
    simulated_devices(devices)
    alone, wrapped = net(), nn.DataParallel(net().cuda())
    x = torch.randn(batch, 5)
    expected, got = alone(x), wrapped(x.cuda())
    assert str(got.device) == "cuda:0"
    np.testing.assert_allclose(got.detach().cpu().numpy(), expected.detach().numpy(), atol=1e-6)
    expected.square().mean().backward()
    got.square().mean().backward()
    for a, b in zip(alone.parameters(), wrapped.parameters(), strict=True):
        np.testing.assert_allclose(b.grad.cpu().numpy(), a.grad.numpy(), atol=1e-6)


class Watching(nn.Module):
    """Notes which share it saw, on which device, in which thread."""

    def __init__(self, seen):
        super().__init__()
        self.seen, self.weight = seen, nn.Parameter(torch.ones(1))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x, scale=1.0, note=None):
        self.calls += 1
        self.seen.append((str(x.device), x.size(0), threading.get_ident(), note, torch.cuda.current_device()))
        return {"out": x * self.weight * scale, "pair": (x.sum(), None)}


def test_shares_devices_and_threads(simulated_devices):
    simulated_devices(3)
    seen: list = []
    wrapped = nn.DataParallel(Watching(seen).cuda())
    with pytest.warns(UserWarning, match="all input tensors were scalars"):
        result = wrapped(torch.ones(10, 2, requires_grad=True).cuda(), scale=torch.ones(10, 1).cuda() * 3, note="hello")
    assert sorted((d, n, note, current) for d, n, _, note, current in seen) == [
        ("cuda:0", 4, "hello", 0), ("cuda:1", 4, "hello", 1), ("cuda:2", 2, "hello", 2),
    ]  # fmt: skip
    assert len({thread for _, _, thread, _, _ in seen}) == 3
    assert result["out"].shape == (10, 2)
    assert bool((result["out"] == 3).all())
    assert result["pair"][0].tolist() == [8, 8, 4]
    assert result["pair"][1] is None
    assert wrapped.module.calls.item() == 1  # what the first replica writes to a buffer lasts


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        if x.device.index == 1:
            raise KeyError("lost")
        return x * self.weight


def test_an_error_names_its_replica(simulated_devices):
    simulated_devices(2)
    with pytest.raises(KeyError, match=r"(?s)Caught KeyError in replica 1 on device 1.*in forward.*lost"):
        nn.DataParallel(Failing().cuda())(torch.ones(4, 1).cuda())


def test_parameters_elsewhere_are_refused(simulated_devices):
    simulated_devices(2)
    with pytest.raises(
        RuntimeError, match=r"on device cuda:0 \(device_ids\[0\]\) but found one of them on device: cpu"
    ):
        nn.DataParallel(net())(torch.ones(4, 5).cuda())


def test_without_devices_it_is_the_module(simulated_devices):
    simulated_devices(0)
    module = net()
    x = torch.randn(3, 5)
    assert torch.equal(nn.DataParallel(module)(x), module(x))


def test_the_function_and_chosen_devices(simulated_devices):
    simulated_devices(4)
    module = net().to("cuda:2")
    x = torch.randn(6, 5).to("cuda:2")
    out = data_parallel(module, x, device_ids=[2, 3], output_device=1)
    assert str(out.device) == "cuda:1"
    np.testing.assert_allclose(out.detach().cpu().numpy(), module(x).detach().cpu().numpy(), atol=1e-6)


def test_no_graph_without_gradients_and_keys_with_a_prefix(simulated_devices):
    simulated_devices(2)
    wrapped = nn.DataParallel(net().cuda())
    with torch.no_grad():
        assert not wrapped(torch.ones(4, 5).cuda()).requires_grad
    assert next(iter(wrapped.state_dict())) == "module.0.weight"


def test_gradients_of_gradients(simulated_devices):
    simulated_devices(2)
    module = nn.Linear(2, 1, bias=False).cuda()
    wrapped = nn.DataParallel(module)
    x = torch.ones(4, 2, device="cuda", requires_grad=True)
    (g,) = torch.autograd.grad((wrapped(x) ** 3).sum(), x, create_graph=True)
    g.sum().backward()
    assert module.weight.grad is not None
    assert bool(module.weight.grad.isfinite().all())


def test_parallel_apply_without_devices(simulated_devices):
    simulated_devices(2)
    layers = [nn.Linear(3, 2).to(f"cuda:{i}") for i in range(2)]
    inputs = [torch.ones(2, 3, device=f"cuda:{i}") for i in range(2)]
    for given in (inputs, [(x,) for x in inputs]):
        for out, layer, x in zip(parallel_apply(layers, given), layers, inputs, strict=True):
            assert out.device == x.device
            np.testing.assert_array_equal(out.detach().cpu().numpy(), layer(x).detach().cpu().numpy())


def test_a_key_error_prints_as_it_is(simulated_devices):
    simulated_devices(2)
    with pytest.raises(KeyError, match=r"Caught KeyError in replica 0 on device 0\.\nOriginal Traceback"):
        parallel_apply([lambda: {}["gone"]] * 2, [(), ()])


def test_replicas_compute_under_the_callers_autocast(simulated_devices):
    simulated_devices(2)
    wrapped, x = nn.DataParallel(net().cuda()), torch.ones(4, 5).cuda()
    with torch.autocast("cuda"):
        assert wrapped(x).dtype == torch.float16
    assert wrapped(x).dtype == torch.float32


def test_a_buffer_that_requires_a_gradient_gets_every_replicas(simulated_devices):
    simulated_devices(2)

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.ones(3, device="cuda", requires_grad=True))

        def forward(self, x):
            return x * self.scale

    module = Scaled()
    nn.DataParallel(module)(torch.full((2, 3), 2.0, device="cuda")).sum().backward()
    assert module.scale.grad.tolist() == [4, 4, 4]


def test_lazy_modules_need_an_input_first(simulated_devices):
    simulated_devices(2)
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
        nn.DataParallel(nn.LazyLinear(2).cuda())(torch.ones(4, 3).cuda())


def test_replicas_can_be_saved_and_warn_of_zero_grad(simulated_devices):
    simulated_devices(2)
    for detach in (False, True):
        replicas = replicate(net().cuda(), devices=[0, 1], detach=detach)
        file = io.BytesIO()
        torch.save(replicas, file)
        assert file.tell() > 500
    with pytest.warns(UserWarning, match=r"Calling \.zero_grad\(\) from a module created with nn\.DataParallel"):
        replicas[1].zero_grad()


def test_gather_to_minus_one_is_the_cpu(simulated_devices):
    simulated_devices(2)
    assert gather([torch.ones(1, device="cuda:0"), torch.ones(1, device="cuda:1")], -1).device.type == "cpu"
