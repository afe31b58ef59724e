"""DistributedDataParallel by other names: built-in hooks, broadcast_buffers, bucket_cap_mb_list."""

import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.algorithms import ddp_comm_hooks
from disttorch.nn.parallel import DistributedDataParallel


def builtin_hooks(rank):
    found = {}
    for hook in dist.BuiltinCommHookType:
        model = DistributedDataParallel(nn.Linear(2, 1, bias=False))
        model._register_builtin_comm_hook(hook)
        model(torch.full((1, 2), float(rank))).sum().backward()
        found[model._get_ddp_logging_data()["comm_hook"]] = model.module.weight.grad.tolist()
        with pytest.raises(RuntimeError, match="can only be called once"):
            model._register_builtin_comm_hook(hook)
    return found


def test_files_of_hooks_by_shorter_names():
    assert ddp_comm_hooks.default is ddp_comm_hooks.default_hooks
    assert ddp_comm_hooks.powerSGD is ddp_comm_hooks.powerSGD_hook


def test_hooks_that_pytorch_has_built_in():
    average = [[0.5, 0.5]]
    wanted = {"BuiltinCommHookType.ALLREDUCE": average, "BuiltinCommHookType.FP16_COMPRESS": average}
    assert run_ranks(2, builtin_hooks, timeout=60) == [wanted] * 2


def buffers_at_the_start(rank):
    found = []
    for settings in ({}, {"forward_sync_buffers": False}, {"broadcast_buffers": False}):
        module = nn.Linear(1, 1)
        module.register_buffer("own", torch.tensor([float(rank)]))
        if "broadcast_buffers" in settings:
            with pytest.warns(FutureWarning, match="`broadcast_buffers` is deprecated"):
                DistributedDataParallel(module, **settings)
        else:
            DistributedDataParallel(module, **settings)
        found.append(module.own.item())
    return found


def test_the_older_name_leaves_buffers_alone_at_the_start_too():
    # "processes": what warnings are shown is the process's, not a thread's
    assert run_ranks(2, buffers_at_the_start, "processes", timeout=60) == [[0, 0, 0], [0, 0, 1]]


def buckets_by_list(rank):
    module = nn.Sequential(*[nn.Linear(512, 512, bias=False) for _ in range(4)])  # 1 MiB each
    model = DistributedDataParallel(module, bucket_cap_mb_list=[1, 2])
    for _ in range(2):
        model.zero_grad()
        model(torch.full((1, 512), float(rank))).sum().backward()
    return model.bucket_bytes_cap_list, model.bucket_bytes_cap >> 20, [n >> 20 for n in model.reducer.sizes()]


def test_a_cap_for_each_bucket():
    assert run_ranks(2, buckets_by_list, timeout=60) == [([1 << 20, 2 << 20], 2, [1, 2, 1])] * 2
