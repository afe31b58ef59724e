"""DistributedDataParallel: N ranks equal one process with the N-fold batch; buckets, errors, no_sync, unused
parameters.
"""

import numpy as np
import pytest

import disttorch as torch
import disttorch.distributed as dist
import disttorch.nn.functional as F
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.nn.parallel import DistributedDataParallel

KINDS = ["threads", "processes", "tcp"]


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


def net(seed: int = 0) -> LeNet:
    """The same network in every thread and process: its values come from a generator of its own."""
    made, source = LeNet(), np.random.default_rng(seed)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.from_numpy(source.standard_normal(tuple(p.shape)).astype(np.float32)) * 0.1)
    return made


def batches(steps: int, size: int):
    source = np.random.default_rng(7)
    for _ in range(steps):
        images = source.standard_normal((size, 1, 32, 32)).astype(np.float32)
        yield torch.from_numpy(images), torch.from_numpy(source.integers(0, 10, size))


def train(model, rank: int, world: int, steps: int = 3) -> list[np.ndarray]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for images, labels in batches(steps, 8):
        share = slice(rank * 8 // world, (rank + 1) * 8 // world)
        loss = F.cross_entropy(model(images[share]), labels[share])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [p.detach().numpy().copy() for p in model.parameters()]


def wrapped(rank: int) -> list[np.ndarray]:
    model = DistributedDataParallel(net(seed=rank), bucket_cap_mb=0.1)  # rank 0's values win
    return train(model, rank, dist.get_world_size())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_equals_one_process_with_the_whole_batch(world, kind):
    alone = train(net(), 0, 1)
    for values in run_ranks(world, wrapped, kind):
        for mine, theirs in zip(values, alone, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)


def test_the_same_bits_on_every_rank_and_in_every_run():
    first, second = run_ranks(4, wrapped), run_ranks(4, wrapped)
    for values in first[1:] + second:
        assert all(np.array_equal(a, b) for a, b in zip(values, first[0], strict=True))


def accumulated(rank: int) -> tuple:
    model = DistributedDataParallel(nn.Linear(3, 1, bias=False))
    x = torch.ones(2, 3) * (rank + 1)
    with model.no_sync():
        model(x).sum().backward()
        alone = model.module.weight.grad.numpy().copy()
    model(x).sum().backward()
    return alone, model.module.weight.grad.numpy().copy()


def test_no_sync_accumulates_alone_and_the_next_backward_averages_the_sum():
    for rank, (alone, averaged) in enumerate(run_ranks(2, accumulated)):
        assert np.array_equal(alone, np.full((1, 3), 2.0 * (rank + 1)))
        assert np.array_equal(averaged, np.full((1, 3), 6.0))  # twice 2 and twice 4, averaged


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x, both=False):
        return self.spare(self.used(x)) if both else self.used(x)


def unused(rank: int, find: bool, everywhere: bool) -> object:
    model = DistributedDataParallel(Branches(), find_unused_parameters=find)
    both = not everywhere and rank == 0
    model(torch.ones(1, 2), both=both).sum().backward()
    return None if model.module.spare.weight.grad is None else model.module.spare.weight.grad.numpy().copy()


def test_a_parameter_without_gradient_is_named():
    with pytest.raises(RuntimeError, match=r"did not receive grad for rank \d: spare.weight, spare.bias"):
        run_ranks(2, unused, args=(False, True))


def test_unused_parameters_can_be_found():
    assert run_ranks(2, unused, args=(True, True)) == [None, None]
    mine, theirs = run_ranks(2, unused, args=(True, False))
    assert np.array_equal(mine, theirs)
    assert np.abs(mine).sum() > 0


def buffers(rank: int) -> np.ndarray:
    model = DistributedDataParallel(nn.BatchNorm1d(2))
    for step in range(2):
        model(torch.ones(3, 2) * (rank + step))
    model.eval()
    model(torch.ones(3, 2))
    return model.module.running_mean.numpy().copy()


def test_buffers_follow_rank_0():
    first, second = run_ranks(2, buffers)
    assert np.array_equal(first, second)


def different(rank: int) -> None:
    DistributedDataParallel(nn.Linear(3, 2 + rank))


def test_models_that_differ_are_named():
    with pytest.raises(
        RuntimeError,
        match=r"rank 1 has parameter weight of shape \[3, 3\] .* where rank 0 has weight of shape \[2, 3\]",
    ):
        run_ranks(2, different)


def frozen(rank: int) -> None:
    DistributedDataParallel(nn.Linear(3, 2).requires_grad_(False))


def test_a_module_without_gradients_is_refused():
    with pytest.raises(
        RuntimeError, match="not needed when a module doesn't have any parameters that require a gradient"
    ):
        run_ranks(1, frozen)


def on_devices(rank: int) -> list[np.ndarray]:
    device = torch.device("cuda", rank)
    model = DistributedDataParallel(net().to(device), device_ids=[rank])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for images, labels in batches(3, 8):
        share = slice(rank * 4, rank * 4 + 4)
        loss = F.cross_entropy(model(images[share]), labels[share].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [p.detach().cpu().numpy() for p in model.parameters()]


def test_each_rank_on_its_simulated_device(simulated_devices):
    simulated_devices(2)
    alone = train(net(), 0, 1)
    for values in run_ranks(2, on_devices):
        for mine, theirs in zip(values, alone, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)


def gradients_stay_views(rank: int) -> bool:
    model = DistributedDataParallel(nn.Linear(2, 2))
    bucket = model.reducer.buckets[0].buffer.numpy()
    for to_none in (True, False):
        model(torch.ones(1, 2)).sum().backward()
        if not all(np.shares_memory(p.grad.numpy(), bucket) for p in model.parameters()):
            return False
        model.zero_grad(set_to_none=to_none)
    return True


def test_gradients_are_views_of_their_buckets():
    assert run_ranks(2, gradients_stay_views) == [True, True]
