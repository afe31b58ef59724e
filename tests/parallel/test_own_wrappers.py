"""What data-parallel wrappers that programs write for themselves are made of: DataParallel's parts, and the operations
of the graph below them.
"""

import pytest

import disttorch as torch
from disttorch import nn
from disttorch.nn.parallel._functions import Broadcast, Gather, ReduceAddCoalesced, Scatter, _get_stream
from disttorch.nn.parallel.data_parallel import DataParallel
from disttorch.nn.parallel.parallel_apply import parallel_apply
from disttorch.nn.parallel.replicate import replicate
from disttorch.nn.parallel.scatter_gather import gather, scatter_kwargs


def test_files_do_not_hide_their_functions():
    assert nn.parallel.replicate is replicate
    assert nn.parallel.parallel_apply is parallel_apply
    assert nn.parallel.DataParallel is DataParallel
    assert callable(nn.parallel.data_parallel)


class Unequal(DataParallel):
    """One sample for the first device, the rest for the others, as wrappers do that spare the first device."""

    replicated: tuple = ()

    def scatter(self, inputs, kwargs, device_ids):
        (x,) = inputs
        parts = Scatter.apply(device_ids, [1, len(x) - 1], self.dim, x)
        return [(p,) for p in parts], [{} for _ in parts]

    def replicate(self, module, device_ids):
        replicas = super().replicate(module, device_ids)
        self.replicated = (*self.replicated, len(replicas))
        return replicas


def test_methods_can_be_overridden(simulated_devices):
    simulated_devices(2)
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 2).cuda(), torch.randn(5, 3, device="cuda", requires_grad=True)
    found = []
    for model in (layer, Unequal(layer)):
        layer.zero_grad()
        x.grad = None
        (model(x) ** 2).sum().backward()
        found.append([layer.weight.grad.clone(), layer.bias.grad.clone(), x.grad.clone()])
    assert model.replicated == (2,)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_the_parts_called_one_by_one(simulated_devices):
    simulated_devices(2)
    model = nn.DataParallel(nn.Linear(3, 2).cuda())
    x = torch.randn(4, 3).cuda()
    rows, columns = model.scatter((x,), {}, [0, 1])
    outputs = model.parallel_apply(model.replicate(model.module, [0, 1]), rows, columns)
    torch.testing.assert_close(model.gather(outputs, 0), model.module(x))
    rows, columns = scatter_kwargs((), {"x": x}, [0, 1])
    assert [(len(r), c["x"].get_device()) for r, c in zip(rows, columns, strict=True)] == [(0, 0), (0, 1)]
    assert gather([c["x"] for c in columns], "cpu").shape == (4, 3)


def test_copies_have_gradients(simulated_devices):
    simulated_devices(2)
    x, still = torch.tensor([1.0, 2.0], device="cuda", requires_grad=True), torch.ones(1, device="cuda")
    first, kept, second, _ = Broadcast.apply([0, 1], x, still)
    assert (first.get_device(), second.get_device(), kept.requires_grad) == (0, 1, False)
    (total,) = ReduceAddCoalesced.apply(0, 1, first * 3, second * 5)
    total.sum().backward()
    assert (total.tolist(), x.grad.tolist()) == ([8, 16], [8, 8])


@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_cut_and_joined_with_gradients(simulated_devices, where):
    simulated_devices(2)
    x = torch.arange(5.0, device=where).requires_grad_()
    a, b = Scatter.apply([0, 1], [2, 3], 0, x)
    joined = Gather.apply("cpu", 0, a * 2, b * 3)
    joined.sum().backward()
    assert joined.tolist() == [0, 2, 6, 9, 12]
    assert (x.grad.tolist(), x.grad.device) == ([2, 2, 3, 3, 3], x.device)


def test_scalars_are_joined_to_a_vector(simulated_devices):
    simulated_devices(2)
    parts = [torch.tensor(float(i), device=i, requires_grad=True) for i in (0, 1)]
    with pytest.warns(UserWarning, match="all input tensors were scalars"):
        joined = Gather.apply(1, 0, *parts)
    (joined * torch.tensor([2.0, 3.0], device=1)).sum().backward()
    assert [p.grad.item() for p in parts] == [2, 3]
    for function, text in ((Gather, "Gather"), (Broadcast, "Broadcast")):
        with pytest.raises(AssertionError, match=f"{text} function not implemented for CPU tensors"):
            function.apply(*([0, 0] if function is Gather else [[0]]), torch.ones(1))


def test_a_stream_for_copies(simulated_devices):
    simulated_devices(1)
    assert _get_stream(torch.device("cpu")) is None
    assert _get_stream(torch.device("cuda:0")) is _get_stream(torch.device("cuda:0"))
