"""SyncBatchNorm: batch normalisation over all ranks."""

import numpy as np

import disttorch as torch
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.nn.parallel import DistributedDataParallel


def synchronised(rank):
    model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))
    assert type(model[0]) is nn.SyncBatchNorm
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    model = DistributedDataParallel(model)
    x = batch()[rank * 2 : rank * 2 + 2].requires_grad_()
    out = model(x)
    out.square().sum().backward()
    norm = model.module[0]
    return [
        t.detach().numpy().copy()
        for t in (out, x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var)
    ]


def alone(rank):
    norm = DistributedDataParallel(nn.SyncBatchNorm(2, track_running_stats=False)).eval()
    if rank == 0:  # no other rank takes part
        x = torch.arange(8.0).reshape(4, 2)
        plain = nn.BatchNorm1d(2, track_running_stats=False).eval()
        np.testing.assert_allclose(norm(x).detach().numpy(), plain(x).detach().numpy(), rtol=1e-6)


def test_sync_batch_norm_is_alone_in_evaluation():
    run_ranks(2, alone)


def batch():
    return torch.from_numpy(np.random.default_rng(3).standard_normal((4, 3, 5, 5)).astype(np.float32) * 2 + 1)


def test_sync_batch_norm_takes_infinities_without_a_warning():
    def body(rank):
        norm, x = nn.SyncBatchNorm(2), torch.tensor([[1.0, 2.0], [3.0, float("inf")]], requires_grad=True)
        out = norm(x)
        (out * torch.tensor([float("inf"), -float("inf")])[:, None]).sum().backward()
        return out[:, 0].isfinite().all().item(), out[:, 1].isnan().all().item(), x.grad.isnan().all().item()

    assert run_ranks(2, body) == [(True, True, True)] * 2


def test_sync_batch_norm_equals_one_process_with_the_whole_batch():
    model, x = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), batch().requires_grad_()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    out = model(x)
    out.square().sum().backward()
    first, second = run_ranks(2, synchronised)
    norm, close = model[0], {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(np.concatenate([first[0], second[0]]), out.detach().numpy(), **close)
    np.testing.assert_allclose(np.concatenate([first[1], second[1]]), x.grad.numpy(), **close)
    for got, expected in zip(first[2:4], (norm.weight.grad, norm.bias.grad), strict=True):
        np.testing.assert_allclose(got * 2, expected.numpy(), rtol=1e-4, atol=1e-4)  # averaged over two ranks
    for got, expected in zip(first[4:], (norm.running_mean, norm.running_var), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), **close)
