"""Several hosts with several ranks each: simulated by telling the ranks that they are on different hosts."""

import os

import numpy as np
import pytest
from disttorch.comm.testing import run_ranks

from disttorch import comm

LAYOUTS = ["aabb", "aab", "abab", "abcc"]


def on_hosts(group, port, layout, body):
    """Run `body` on a group whose ranks believe to be on the hosts of `layout`."""
    os.environ["DISTTORCH_HOST_ID"] = layout[group.rank]
    store = comm.StoreClient("127.0.0.1", port)
    with comm.connect(comm.PrefixStore("hosts", store), group.rank, group.size, timeout=30) as inner:
        assert type(inner._engine).__name__ == "HierarchicalEngine"
        result = body(inner)
    store.close()
    return result


def last_words(group):
    group.all_gather_object(1)
    for _ in range(3):
        group.all_reduce(np.ones(3))
    return [group.last_operation(rank) for rank in range(group.size)]


def test_what_a_rank_elsewhere_did_before_is_not_its_last_operation():
    with comm.StoreServer() as server:
        told = run_ranks(4, on_hosts, "tcp", args=(server.port, "aabb", last_words))
    assert all("all_reduce" in told[rank][rank ^ 1] for rank in range(4))
    assert not any("all_gather" in text for texts in told for text in texts)


def collectives(group):
    me, n = group.rank, group.size
    for size in (0, 5, 20_000, 1_500_000):
        for dtype in (np.float32, np.float16, np.int32):
            array = np.full(size, me + 1, dtype)
            group.all_reduce(array)
            assert (array == n * (n + 1) / 2).all()
            group.all_reduce(array, "avg")
            assert (array == n * (n + 1) / 2).all()
            for src in range(n):
                array = np.full(size, me, dtype)
                group.broadcast(array, src)
                assert (array == src).all()
    outs = [np.zeros(1000) for _ in range(n)]
    group.all_gather(outs, np.full(1000, float(me)))
    assert all((out == rank).all() for rank, out in enumerate(outs))
    group.all_to_all(outs, [np.full(1000, 10.0 * me + rank) for rank in range(n)])
    assert all((out == 10 * rank + me).all() for rank, out in enumerate(outs))
    total = np.full(3, float(me))
    group.reduce(total, 1, "max")
    assert (total == (n - 1 if me == 1 else me)).all()
    group.barrier()
    return group.broadcast_object({"from": 2}, 2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_collectives(layout):
    with comm.StoreServer() as server:
        results = run_ranks(len(layout), on_hosts, "tcp", args=(server.port, layout, collectives))
    assert results == [{"from": 2}] * len(layout)


def differ(group):
    group.barrier()
    one = np.ones(2)
    call = (lambda: group.all_gather([one] * 4, one)) if group.rank == 3 else (lambda: group.all_reduce(one))
    with pytest.raises(comm.CollectiveMismatch) as info:
        call()
    return str(info.value)


@pytest.mark.parametrize("layout", ["aabb", "aaab"])
def test_mismatch_reaches_every_rank(layout):
    with comm.StoreServer() as server:
        for text in run_ranks(4, on_hosts, "tcp", args=(server.port, layout, differ)):
            assert "rank 3: all_gather(float64[2])" in text
            assert "all_reduce(float64[2], op=sum)" in text
