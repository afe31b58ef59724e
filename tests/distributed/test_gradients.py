"""Collectives that gradients pass through: the gradient of the sum of all ranks' losses."""

import pytest

import disttorch
import disttorch.distributed as dist
import disttorch.distributed.nn.functional as F
from disttorch.distributed import ReduceOp, run_ranks

N = 3
CALLS = {
    "broadcast": lambda x: F.broadcast(x, 1),
    "reduce": lambda x: F.reduce(x, 1) if dist.get_rank() == 1 else 0 * F.reduce(x, 1),
    "all_reduce": F.all_reduce,
    "average": lambda x: F.all_reduce(x, ReduceOp.AVG),
    "all_gather": lambda x: disttorch.stack(F.all_gather(x)),
    "reduce_scatter": lambda x: F.reduce_scatter(x[0], list(x)),
    "gather": lambda x: disttorch.stack(F.gather(x, 2)),
    "scatter": lambda x: F.scatter(list(x), 2),
    "all_to_all": lambda x: disttorch.cat(F.all_to_all([x[0]] * N, list(x))),
    "all_to_all_single": lambda x: F.all_to_all_single(x, x),
    "uneven": lambda x: F.all_to_all_single(
        x.new_zeros(3 * (1 + dist.get_rank()), 2), x.repeat(2, 1), [1 + dist.get_rank()] * N, [1, 2, 3]
    ),
}


def value(rank):
    return disttorch.arange(6.0, dtype=disttorch.float64).reshape(N, 2) * (rank + 1) / 7


def weighted(rank, out):
    """A loss of this rank's output that no other rank shares."""
    weights = disttorch.arange(out.numel(), dtype=out.dtype).reshape(out.shape).sin() + rank
    return (out.square() * weights).sum()


def slopes(rank, name):
    """The gradient at this rank's x, and the same by moving one element after the other of every rank."""
    x = value(rank).requires_grad_()
    weighted(rank, CALLS[name](x)).backward()
    numeric = disttorch.zeros(N, 2, dtype=disttorch.float64)
    for owner in range(N):
        for i in range(6):
            totals = []
            for move in (1e-5, -1e-5):
                moved = value(rank)
                if rank == owner:
                    moved.view(-1)[i] += move
                loss = weighted(rank, CALLS[name](moved))
                dist.all_reduce(loss)
                totals.append(loss.item())
            if rank == owner:
                numeric.view(-1)[i] = (totals[0] - totals[1]) / 2e-5
    return x.grad.tolist(), numeric.tolist()


@pytest.mark.parametrize("name", CALLS)
def test_gradients(name):
    for got, wanted in run_ranks(N, slopes, timeout=60, args=(name,)):
        disttorch.testing.assert_close(disttorch.tensor(got), disttorch.tensor(wanted), atol=1e-6, rtol=1e-6)


def test_other_reductions_have_no_gradient():
    def body(rank):
        x = value(rank).requires_grad_()
        y = F.all_reduce(x, ReduceOp.MAX)
        with pytest.raises(RuntimeError, match="has no gradient here"):
            y.sum().backward()
        return y.max().item()

    assert run_ranks(2, body) == [10 / 7] * 2


def test_differentiated_twice():
    def body(rank):
        x = disttorch.tensor([rank + 1.0], requires_grad=True)
        (first,) = disttorch.autograd.grad(F.all_reduce(x).pow(3).sum(), x, create_graph=True)
        first.sum().backward()
        return x.grad.item()

    total = 1 + 2  # loss: 2 ranks' total cubed; each rank's gradient 2 * 3 total², whose sum's is 2 * 2 * 6 total
    assert run_ranks(2, body) == [2 * 2 * 6 * total] * 2
