"""DistributedDataParallel with a graph that never changes, and what it tells of itself."""

import pytest

import disttorch as torch
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.algorithms.ddp_comm_hooks import default_hooks
from disttorch.nn.parallel import DistributedDataParallel
from disttorch.utils.checkpoint import checkpoint


class Net(nn.Module):
    """Uses `a` twice in reentrant checkpoints, `b` once, `dropped` for an output that no loss needs, `idle` never."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.dropped, self.idle = (nn.Linear(4, 4) for _ in range(4))
        with torch.no_grad():
            for i, p in enumerate(self.parameters()):
                p.copy_(torch.arange(p.numel(), dtype=torch.float32).reshape(p.shape) * 0.01 + 0.1 * i)

    def forward(self, x):
        y = checkpoint(self.a, x, use_reentrant=True)
        return self.b(checkpoint(self.a, y, use_reentrant=True)), self.dropped(x)


def batch(rank):
    return (torch.arange(8, dtype=torch.float32).reshape(2, 4) * (rank + 1) * 0.1).requires_grad_()


def steps(rank, cap):
    ddp, alone = DistributedDataParallel(Net(), static_graph=True, bucket_cap_mb=cap), Net()
    for step in range(3):
        ddp.zero_grad()
        alone.zero_grad()
        ddp(batch(rank + step))[0].sum().backward()
        (sum(alone(batch(r + step))[0].sum() for r in range(2)) / 2).backward()
        for (name, p), q in zip(ddp.module.named_parameters(), alone.parameters(), strict=True):
            assert (p.grad is None) == (q.grad is None), name
            assert q.grad is None or torch.allclose(p.grad, q.grad), (name, step)


@pytest.mark.parametrize("cap", [25, 1e-6])
def test_checkpoints_and_outputs_without_a_loss(cap):
    run_ranks(2, steps, args=(cap,))


def test_two_forwards_before_one_backward():
    def body(rank):
        ddp, alone = DistributedDataParallel(nn.Linear(4, 4), static_graph=True), nn.Linear(4, 4)
        alone.load_state_dict(ddp.module.state_dict())
        for _ in range(3):
            ddp.zero_grad()
            alone.zero_grad()
            for net in (ddp, alone):
                (net(batch(0)).sum() + net(batch(0)).sum()).backward()
            for p, q in zip(ddp.parameters(), alone.parameters(), strict=True):
                assert torch.allclose(p.grad, q.grad)

    run_ranks(2, body)


class Choice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x, both):
        return self.b(self.a(x)) if both else self.a(x)


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ((False, True), "Your training graph has changed in this iteration"),
        ((True, False), r"^Expected to have finished reduction in the prior .*got unused in the second iteration"),
    ],
)
def test_a_graph_that_changes_is_refused(order, text):
    def body(rank):
        ddp = DistributedDataParallel(Choice(), static_graph=True)
        ddp(batch(rank), order[0]).sum().backward()
        with pytest.raises(RuntimeError, match=text):
            ddp(batch(rank), order[1]).sum().backward()
        assert ddp._get_ddp_logging_data()["has_error"] == 1
        assert "training graph has changed" in ddp._get_ddp_logging_data()["error"]

    run_ranks(2, body)


def test_it_is_said_before_training():
    def body(rank):
        ddp = DistributedDataParallel(nn.Linear(4, 4))
        ddp(batch(rank)).sum().backward()
        with pytest.raises(RuntimeError, match="should be called before training loop starts"):
            ddp._set_static_graph()
        other = DistributedDataParallel(nn.Linear(4, 4))
        other._set_static_graph()
        assert other._get_ddp_logging_data()["static_graph"] == 1
        with pytest.warns(UserWarning, match="no need"):
            other._set_static_graph()

    run_ranks(1, body)


def test_what_it_tells_of_itself(monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "1234")

    def body(rank):
        net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2, bias=False))
        ddp = DistributedDataParallel(net, bucket_cap_mb=1.5)
        before = ddp._get_ddp_logging_data()
        assert "has_rebuilt_buckets" not in before
        for _ in range(3):
            ddp(batch(rank)).sum().backward()
        return ddp._get_ddp_logging_data()

    for rank, found in enumerate(run_ranks(2, body)):
        wanted = {
            "world_size": 2,
            "rank": rank,
            "module_name": "Sequential",
            "device_ids": "",
            "output_device": -1,
            "broadcast_buffers": 1,
            "bucket_cap_bytes": 3 << 19,
            "find_unused_parameters": 0,
            "gradient_as_bucket_view": 0,
            "iteration": 2,
            "dtypes": "float",
            "total_parameter_size_bytes": 112,
            "num_parameter_tensors": 3,
            "bucket_sizes": "112",
            "rebuilt_bucket_sizes": "112",
            "has_rebuilt_buckets": 1,
            "has_sync_bn": 0,
            "has_error": 0,
            "master_port": "1234",
        }
        assert {name: found[name] for name in wanted} == wanted
        assert sorted(found["prev_iteration_grad_ready_order_indices"].split(", ")) == ["0", "1", "2"]
        assert sorted(found["rebuilt_per_bucket_param_indices"].split()) == ["0", "1", "2"]
        assert "comm_hook" not in found


def test_it_tells_of_hooks_and_kinds():
    def body(rank):
        net = nn.Sequential(nn.Linear(4, 4), nn.SyncBatchNorm(4), nn.Linear(4, 4).double())
        ddp = DistributedDataParallel(net)
        ddp.register_comm_hook(None, default_hooks.allreduce_hook)
        return ddp._get_ddp_logging_data()

    (found,) = run_ranks(1, body)
    assert found["comm_hook"] == "allreduce_hook"
    assert found["has_sync_bn"] == 1
    assert found["dtypes"] == "double, float"
