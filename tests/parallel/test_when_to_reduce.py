"""When gradients and buffers of a DistributedDataParallel model travel, and which parameters need none."""

import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.algorithms.ddp_comm_hooks import default_hooks
from disttorch.futures import Future
from disttorch.nn.parallel import DistributedDataParallel
from disttorch.utils.checkpoint import checkpoint


def test_one_backward_for_each_synchronised_forward():
    def body(rank):
        ddp = DistributedDataParallel(nn.Linear(1, 1, bias=False))
        x, found = torch.full((1, 1), rank + 1.0), []
        loss = ddp(x).sum()
        loss.backward(retain_graph=True)
        found.append(ddp.module.weight.grad.item())
        loss.backward()  # without a forward of its own: this rank's gradient alone
        found.append(ddp.module.weight.grad.item())
        ddp.zero_grad()
        ddp.module(x).sum().backward()  # past the wrapper
        found.append(ddp.module.weight.grad.item())
        ddp(x).sum().backward()
        return [*found, ddp.module.weight.grad.item()]

    assert run_ranks(2, body) == [[1.5, 2.5, 1, 3], [1.5, 3.5, 2, 3]]


class Counting(nn.Module):
    """Its buffer tells of the forwards."""

    def __init__(self, rank):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer("seen", torch.zeros(1))
        self.rank = rank

    def forward(self, x):
        if self.training:
            self.seen += self.rank + 1
        return self.layer(x)


def test_the_first_forward_after_a_synchronised_one_has_the_buffers_of_rank_0():
    def body(rank):
        ddp, x = DistributedDataParallel(Counting(rank)), torch.ones(1, 1)
        ddp(x).sum().backward()
        found = [ddp.module.seen.item()]
        ddp.eval()
        with torch.no_grad():
            ddp(x)  # an evaluation, with rank 0's statistics
            found.append(ddp.module.seen.item())
            ddp.module.seen += rank
            ddp(x)  # the second finds nothing to share
        found.append(ddp.module.seen.item())
        ddp.train()(x).sum().backward()
        found.append(ddp.module.seen.item())
        ddp(x).sum().backward()
        return [*found, ddp.module.seen.item()]

    assert run_ranks(2, body) == [[1, 1, 1, 2, 3], [2, 1, 2, 4, 4]]


@pytest.mark.parametrize("shared", [True, False])
def test_join_shares_the_buffers_of_the_last_rank_that_computes(shared):
    def body(rank):
        ddp = DistributedDataParallel(Counting(rank), forward_sync_buffers=shared)
        with ddp.join():
            for _ in range(2 + rank):
                ddp(torch.ones(1, 1)).sum().backward()
        return ddp.module.seen.item()

    assert run_ranks(2, body) == ([6, 6] if shared else [2, 6])


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer("scale", torch.full((1,), 2.0))

    def forward(self, x):
        return self.layer(x) * self.scale


def test_two_forwards_may_save_a_buffer_before_one_backward():
    def body(rank):
        ddp, x = DistributedDataParallel(Scaled()), torch.full((1, 1), rank + 1.0)
        (ddp(x) + ddp(x)).sum().backward()
        return ddp.module.layer.weight.grad.item()

    assert run_ranks(2, body) == [6, 6]


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)

    def forward(self, x):
        return self.a(x), self.b(x)


def test_outputs_without_a_loss_leave_their_parameters_alone():
    def body(rank):
        ddp, x = DistributedDataParallel(Heads(), find_unused_parameters=True), torch.full((1, 2), rank + 1.0)
        for _ in range(2):
            ddp.zero_grad()
            ddp(x)[0].sum().backward()
            alone = ddp.module.b.weight.grad is None
        ddp(x)[rank].sum().backward()
        return alone, ddp.module.a.weight.grad.tolist(), ddp.module.b.weight.grad.tolist()

    assert run_ranks(2, body) == [(True, [[2, 2]], [[1, 1]])] * 2


def test_what_an_unused_parameter_holds_is_averaged_again():
    def body(rank):
        ddp = DistributedDataParallel(Heads(), find_unused_parameters=True, gradient_as_bucket_view=True)
        x = torch.full((1, 2), rank + 1.0)
        sum(ddp(x)).sum().backward()
        ddp.module.a(x)
        for _ in range(2):  # `b` is unused on rank 1, then on both; no gradient is forgotten
            a, b = ddp(x)
            (a + b if rank == 0 else a).sum().backward()
        return ddp.module.b.weight.grad.tolist()

    assert run_ranks(2, body) == [[[2.5, 2.5]]] * 2


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.block, self.last = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(checkpoint(self.block, checkpoint(self.block, x, use_reentrant=False), use_reentrant=False))


def test_checkpoints_that_are_not_reentrant_and_unused_parameters():
    def body(rank):
        ddp, alone = DistributedDataParallel(Normed(), find_unused_parameters=True), Normed()
        alone.load_state_dict(ddp.module.state_dict())
        x = torch.arange(12.0).reshape(3, 4).cos()
        for _ in range(2):
            for net in (ddp, alone):
                net.zero_grad()
                net(x).square().sum().backward()
            for p, q in zip(ddp.parameters(), alone.parameters(), strict=True):
                assert torch.allclose(p.grad, q.grad)

    run_ranks(2, body)


class Recomputed(nn.Module):
    """Its parts from `first` on run again in backward, which reaches them before any other parameter."""

    def __init__(self, first):
        super().__init__()
        self.parts, self.first = nn.ModuleList(nn.Linear(4, 4) for _ in range(3)), first

    def forward(self, x):
        for i, part in enumerate(self.parts):
            x = part(x) if i < self.first else checkpoint(part, x, use_reentrant=True)
        return x


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("bucket_cap_mb", [25, 1e-5])
def test_reentrant_checkpoints_up_to_the_output(first, bucket_cap_mb):
    def body(rank):
        torch.manual_seed(0)
        ddp, alone = DistributedDataParallel(Recomputed(first), bucket_cap_mb=bucket_cap_mb), Recomputed(3)
        alone.load_state_dict(ddp.module.state_dict())
        inputs = torch.arange(24.0).reshape(2, 3, 4).cos()
        for _ in range(3):
            ddp.zero_grad()
            ddp(inputs[rank]).square().sum().backward()
        alone(inputs.reshape(6, 4)).square().sum().backward()
        for p, q in zip(ddp.parameters(), alone.parameters(), strict=True):
            assert torch.allclose(p.grad, q.grad / 2)

    run_ranks(2, body)


def averaged_flat(_, bucket):
    """A hook that puts the gradients together by itself."""
    flat = torch.cat([g.flatten() for g in bucket.gradients()])
    assert torch.equal(flat, bucket.buffer())
    dist.all_reduce(flat)
    done = Future()
    done.set_result(flat / 2)
    return done


@pytest.mark.parametrize(
    ("answer", "got"), [(lambda b: torch.zeros(3), "a tensor of 3"), (lambda b: [b.buffer()], "list")]
)
def test_a_hook_that_answers_something_else_is_refused(answer, got):
    def hook(_, bucket):
        done = Future()
        done.set_result(answer(bucket))
        return done

    def body(rank):
        ddp = DistributedDataParallel(nn.Linear(2, 2))
        ddp.register_comm_hook(None, hook)
        with pytest.raises(RuntimeError, match=f"a tensor of the bucket's 6 elements, but got {got}"):
            ddp(torch.ones(1, 2)).sum().backward()

    run_ranks(2, body)


def test_a_hook_may_answer_in_another_shape():
    def hook(_, bucket):
        done = Future()
        done.set_result(bucket.buffer().reshape(3, 2) * 2)
        return done

    def body(rank):
        ddp = DistributedDataParallel(nn.Linear(2, 2))
        ddp.register_comm_hook(None, hook)
        ddp(torch.ones(1, 2)).sum().backward()
        return ddp.module.weight.grad.tolist()

    assert run_ranks(2, body) == [[[2, 2], [2, 2]]] * 2


@pytest.mark.parametrize("hook", [averaged_flat, default_hooks.allreduce_hook])
def test_a_hook_finds_no_gaps_between_gradients(hook):
    def body(rank):
        ddp = DistributedDataParallel(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1)))
        ddp.register_comm_hook(None, hook)
        ddp(torch.full((1, 3), rank + 1.0)).sum().backward()
        return ddp.module[0].weight.grad.tolist() == (ddp.module[1].weight * 1.5).t().expand(5, 3).tolist()

    assert run_ranks(2, body) == [True, True]
