"""Collectives of several tensors: started together, of unequal parts, and messages to oneself."""

import pytest

import disttorch
import disttorch.distributed as dist
from disttorch.distributed import ReduceOp, run_ranks

N = 3


def ranks(body):
    return run_ranks(N, body, timeout=30)


def as_nccl():
    group = dist.group.WORLD
    group.backend = "nccl"
    return group


@pytest.mark.parametrize("async_ops", [False, True])
def test_what_is_started_in_a_block_ends_with_it(async_ops):
    def body(rank):
        a, b = disttorch.full((2,), float(rank)), disttorch.full((2,), float(rank)).t()
        whole, part = disttorch.empty(N), disttorch.empty(1)
        with dist._coalescing_manager(async_ops=async_ops) as manager:
            assert dist.all_reduce(a) is None
            dist.all_reduce(b, ReduceOp.MAX)
            dist.all_gather_into_tensor(whole, disttorch.tensor([rank + 1.0]))
            dist.reduce_scatter_tensor(part, disttorch.arange(float(N)))
        assert len(manager.works) == 1
        if async_ops:
            manager.wait()
        dist.all_reduce(part)  # outside, as before
        return a.tolist(), b.tolist(), whole.tolist(), part.item()

    assert ranks(body) == [([3, 3], [2, 2], [1, 2, 3], 9)] * N


def test_a_block_in_a_block_is_refused_and_an_error_ends_it():
    def body(rank):
        twice = pytest.raises(ValueError, match="non-empty op list")
        with dist._coalescing_manager(), twice, dist._coalescing_manager():
            pass
        with pytest.raises(KeyError), dist._coalescing_manager():
            raise KeyError
        x = disttorch.ones(1)
        dist.all_reduce(x)
        return x.item()

    assert ranks(body) == [N] * N


def test_parts_of_unequal_size():
    def body(rank):
        as_nccl()
        outputs = [disttorch.empty(r + 1, 2) for r in range(N)]
        dist.all_gather(outputs, disttorch.full((rank + 1, 2), float(rank)))
        for r, out in enumerate(outputs):
            assert out.tolist() == [[r, r]] * (r + 1)
        inputs = [disttorch.full((r + 1,), float(rank * 10 + r)) for r in range(N)]
        mine = disttorch.empty(rank + 1)
        work = dist.reduce_scatter(mine, inputs, async_op=True)
        work.wait()
        assert work.result() == [mine]
        assert inputs[0].tolist() == [rank * 10]
        return mine.tolist()

    assert ranks(body) == [[30 + 3 * r] * (r + 1) for r in range(N)]


def test_only_nccl_takes_unequal_parts():
    def body(rank):
        with pytest.raises(ValueError, match="must have shape"):
            dist.all_gather([disttorch.empty(r + 1) for r in range(N)], disttorch.empty(rank + 1))

    ranks(body)


def test_messages_to_oneself_in_a_batch():
    def body(rank):
        received = [disttorch.full((peer + 1,), -1.0) for peer in range(N)]
        operations = []
        for peer in range(N):
            operations.append(dist.P2POp(dist.irecv, received[peer], peer))
            operations.append(dist.P2POp(dist.isend, disttorch.full((rank + 1,), float(peer)), peer))
        for work in dist.batch_isend_irecv(operations):
            work.wait()
        return [t.tolist() for t in received]

    assert ranks(body) == [[[float(rank)] * (peer + 1) for peer in range(N)] for rank in range(N)]


def test_batches_that_do_not_fit():
    def body(rank):
        x = disttorch.ones(2)
        with pytest.raises(ValueError, match="1 sends to itself and 0 receives"):
            dist.batch_isend_irecv([dist.P2POp(dist.isend, x, rank)])
        with pytest.raises(ValueError, match=r"float32 \(2,\), and receives float32 \(1,\)"):
            dist.batch_isend_irecv([dist.P2POp(dist.isend, x, rank), dist.P2POp(dist.irecv, x[:1], rank)])
        other = dist.new_group([0, 1, 2])
        with pytest.raises(ValueError, match="All ops need to use the same group"):
            dist.batch_isend_irecv([dist.P2POp(dist.isend, x, 0, other), dist.P2POp(dist.isend, x, 0)])

    ranks(body)
