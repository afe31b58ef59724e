"""One rank of test_mpi: every collective, handed to MPI."""

from datetime import timedelta

import pytest
from disttorch.comm import CollectiveMismatch, DeadlineExceeded

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn


def main() -> None:
    dist.init_process_group("mpi")
    rank, n = dist.get_rank(), dist.get_world_size()
    assert dist.get_backend() == "mpi"
    for name in "float16 bfloat16 float32 float64 int8 uint8 int16 int32 int64 complex64".split():
        x = torch.full((5,), rank + 1).to(getattr(torch, name))
        dist.all_reduce(x)
        assert x.real.tolist() == [n * (n + 1) / 2] * 5, (name, x)
    for op, wanted in (("MAX", n), ("MIN", 1), ("AVG", (n + 1) / 2), ("PRODUCT", [1, 1, 2, 6][n])):
        x = torch.full((3,), float(rank + 1))
        work = dist.all_reduce(x, getattr(dist.ReduceOp, op), async_op=True)
        work.wait()
        assert x.tolist() == [wanted] * 3, (op, x)
    flag = torch.tensor([rank == 0, False])
    dist.all_reduce(flag, dist.ReduceOp.BOR)
    assert flag.tolist() == [True, False]
    x = torch.full((2,), float(rank))
    dist.broadcast(x, n - 1)
    assert x.tolist() == [n - 1.0] * 2
    x = torch.ones(2)
    dist.reduce(x, 0)
    assert x.tolist() == [n if rank == 0 else 1] * 2
    found = [torch.zeros(2) for _ in range(n)]
    dist.all_gather(found, torch.full((2,), float(rank)))
    assert [f[0].item() for f in found] == list(range(n))
    dist.gather(torch.full((1,), float(rank)), found_0 := [torch.zeros(1) for _ in range(n)] if rank == 0 else None, 0)
    assert rank or [f.item() for f in found_0] == list(range(n))
    out = torch.zeros(1)
    dist.scatter(out, [torch.tensor([float(i)]) for i in range(n)] if rank == 0 else None, 0)
    assert out.item() == rank
    dist.reduce_scatter(out, [torch.tensor([float(i)]) for i in range(n)])
    assert out.item() == rank * n
    got = torch.zeros(n)
    dist.all_to_all_single(got, torch.full((n,), float(rank)))
    assert got.tolist() == list(range(n))
    things = [None] * n
    dist.all_gather_object(things, {"rank": rank})
    assert things == [{"rank": r} for r in range(n)]
    given = ["a"] if rank == 0 else [None]
    dist.broadcast_object_list(given, 0)
    assert given == ["a"]
    net = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
    net(torch.full((1, 2), float(rank))).sum().backward()
    assert net.module.weight.grad.tolist() == [[(n - 1) / 2] * 2]
    if n > 1:
        if rank == 0:
            dist.send(torch.tensor([7.0]), 1, tag=3)
        if rank == 1:
            assert dist.recv(out, 0, tag=3) == 0
            assert out.item() == 7
        pair = dist.new_group([0, 1])
        if rank < 2:
            dist.all_reduce(out.fill_(1), group=pair)
            assert out.item() == 2
            late = dist.new_group([0, 1], timeout=timedelta(seconds=0.5), use_local_synchronization=True)
            if rank == 0:
                with pytest.raises(DeadlineExceeded):
                    dist.barrier(late)
        dist.barrier()
        with pytest.raises(CollectiveMismatch, match=r"rank 0: barrier\(\) at .*mpi_ranks.py"):
            dist.barrier() if rank == 0 else dist.all_reduce(x)
    dist.destroy_process_group()
    print("all is well", flush=True)


main()
