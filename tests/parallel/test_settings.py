"""What the data parallel classes take, keep and refuse."""

import copy
import pickle

import numpy as np
import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from disttorch.distributed.algorithms.model_averaging.hierarchical_model_averager import HierarchicalModelAverager
from disttorch.distributed.optim import ZeroRedundancyOptimizer
from disttorch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from disttorch.nn.parallel import DistributedDataParallel


def alone(test):
    """In a world of one rank."""

    def run():
        run_ranks(1, lambda rank: test())

    return run


@alone
def test_lazy_modules_are_refused():
    with pytest.raises(RuntimeError, match="Modules with uninitialized parameters can't be used with `Distributed"):
        DistributedDataParallel(nn.LazyLinear(3))


@alone
def test_a_capacity_of_0_is_each_parameter_alone():
    ddp = DistributedDataParallel(nn.Linear(2, 2), bucket_cap_mb=0)
    ddp(torch.ones(1, 2)).sum().backward()
    assert [len(bucket.parameters) for bucket in ddp.reducer.buckets] == [1, 1]
    with pytest.raises(ValueError, match="bucket_cap_mb must not be negative, got -1"):
        DistributedDataParallel(nn.Linear(2, 2), bucket_cap_mb=-1)


@alone
def test_copies_keep_the_settings():
    ddp = DistributedDataParallel(nn.Linear(2, 2), gradient_as_bucket_view=True, find_unused_parameters=True)
    for made in (copy.deepcopy(ddp), pickle.loads(pickle.dumps(ddp))):
        assert made.gradient_as_bucket_view
        assert made.find_unused_parameters


@alone
def test_a_second_hook_is_refused_in_the_words_of_what_registers_it():
    ddp = DistributedDataParallel(nn.Linear(2, 2))
    ddp._register_builtin_comm_hook(dist.BuiltinCommHookType.ALLREDUCE)
    with pytest.raises(RuntimeError, match=r"^register_builtin_comm_hook or register_comm_hook can only"):
        ddp._register_builtin_comm_hook(dist.BuiltinCommHookType.ALLREDUCE)


@alone
def test_sharded_optimizers_refuse_what_is_no_parameter():
    make = lambda params: ZeroRedundancyOptimizer(params, torch.optim.SGD, lr=0.1)  # noqa: E731
    with pytest.raises(ValueError, match="ZeroRedundancyOptimizer got an empty parameter list"):
        make([])
    with pytest.raises(TypeError, match="iterable of Tensors or dicts, but got int"):
        make(5)
    with pytest.raises(TypeError, match=r"iterable of Tensors or dicts$"):
        make([torch.ones(1, requires_grad=True), {}])
    with pytest.raises(TypeError, match="iterable of Tensors, but got"):
        make(torch.ones(1, requires_grad=True))
    with pytest.raises(ValueError, match="``period_group_size_dict`` 3 must be equal to the size"):
        HierarchicalModelAverager({2: 3})


def test_prefixes_are_taken_off_in_place():
    state = nn.Sequential(nn.Linear(1, 1)).state_dict(prefix="module.")
    consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == ["0.weight", "0.bias"]
    assert "0" in state._metadata
    assert nn.Sequential(nn.Linear(1, 1)).load_state_dict(state)


def test_data_parallel_without_devices_is_the_module():
    net = nn.Linear(2, 2)
    wrapped = nn.DataParallel(net, device_ids=[0])
    assert wrapped.device_ids == []
    assert torch.equal(wrapped(torch.ones(1, 2)), net(torch.ones(1, 2)))


def test_power_sgd_starts_from_the_numbers_of_its_seed():
    # PyTorch: manual_seed(RandomState(3).randint(10**9)), randn(1, 20, 2), randn(1, 30, 2)
    start = torch.randn(1, 20, 2, generator=torch.Generator().manual_seed(int(np.random.RandomState(3).randint(10**9))))

    def body(rank):
        state = PowerSGDState(None, 2, start_powerSGD_iter=2, min_compression_rate=1, random_seed=3)
        ddp = DistributedDataParallel(nn.Linear(20, 30, bias=False))
        ddp.register_comm_hook(state, powerSGD_hook)
        x = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 20)).astype(np.float32))
        for _ in range(3):
            ddp.zero_grad()
            ddp(x).square().sum().backward()
        whole = nn.Linear(20, 30, bias=False)
        whole.load_state_dict(ddp.module.state_dict())
        whole(x).square().sum().backward()
        p, _ = torch.linalg.qr(whole.weight.grad @ start[0])
        assert torch.allclose(ddp.module.weight.grad, p @ (p.t() @ whole.weight.grad), rtol=1e-3, atol=1e-3)

    run_ranks(2, body)


def test_power_sgd_with_an_epsilon_leaves_zeros():
    def body(rank):
        state = PowerSGDState(None, 1, start_powerSGD_iter=2, orthogonalization_epsilon=1e-8)
        ddp = DistributedDataParallel(nn.Linear(8, 8, bias=False))
        ddp.register_comm_hook(state, powerSGD_hook)
        for _ in range(4):
            ddp.zero_grad()
            (ddp(torch.ones(1, 8)) * 0).sum().backward()
        assert not ddp.module.weight.grad.any()
        assert not any(p.any() for p in state.p_memory_dict[0])

    run_ranks(2, body)


def test_synchronised_statistics_keep_their_digits_far_from_zero():
    rng = np.random.default_rng(0)
    whole = torch.from_numpy(rng.standard_normal((5, 3, 2)) + 1e6)
    alone = nn.BatchNorm1d(3, dtype=torch.float64)
    wanted = alone(whole)

    def body(rank):
        norm = nn.SyncBatchNorm(3, dtype=torch.float64)
        share = slice(0, 1) if rank == 0 else slice(1, 5)
        assert torch.allclose(norm(whole[share]), wanted[share], rtol=0, atol=1e-7)
        assert torch.allclose(norm.running_var, alone.running_var, rtol=1e-8)

    run_ranks(2, body)
