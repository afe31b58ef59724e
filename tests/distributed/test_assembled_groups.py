"""ProcessGroup(store, rank, size), and the backends that serve it."""

import gc
from datetime import timedelta

import pytest
from disttorch.comm import HashStore
from disttorch.comm.clock import spawn
from disttorch.comm.errors import CommError

import disttorch as torch
import disttorch.distributed as dist
from disttorch.distributed.distributed_c10d import _set_pg_timeout
from disttorch.distributed.group_methods import AllreduceOptions
from disttorch.distributed.process_group import BackendType

CPU = torch.device("cpu")


def assembled(store, rank, size=2):
    group = dist.ProcessGroup(store, rank, size)
    group._set_default_backend(BackendType.GLOO)
    backend = dist.ProcessGroupGloo(store, rank, size, timedelta(seconds=20))
    backend._set_sequence_number_for_group()
    group._register_backend(CPU, BackendType.GLOO, backend)
    return group


def on_ranks(body, size=2):
    """What `body(store, rank)` returns on each rank, a thread without a default group; an error as itself."""
    store, results = HashStore(), {}

    def run(rank):
        try:
            results[rank] = body(store, rank)
        except Exception as error:
            results[rank] = error

    threads = [spawn(lambda rank=rank: run(rank), f"rank{rank}") for rank in range(size)]
    for thread in threads:
        thread.join(30)
    return [results[rank] for rank in range(size)]


def test_collectives_without_a_default_group():
    def body(store, rank):
        group = assembled(store, rank)
        x = torch.full((2,), rank + 1.0)
        dist.all_reduce(x, group=group)
        y = torch.full((2,), float(rank))
        group.broadcast([y], root=1).wait()
        parts = [torch.zeros(2) for _ in range(2)]
        group.allgather([parts], [torch.full((2,), float(rank))]).wait()
        count = group._get_sequence_number_for_group()
        group.shutdown()
        gathered = [part.tolist() for part in parts]
        return dist.get_rank(group), dist.get_world_size(group), group.name(), x.tolist(), y.tolist(), gathered, count

    assert on_ranks(body) == [(rank, 2, "gloo", [3, 3], [1, 1], [[0, 0], [1, 1]], 3) for rank in range(2)]


def test_backends_belong_to_devices():
    group = dist.ProcessGroup(HashStore(), 0, 1)
    assert isinstance(group, dist.ProcessGroup)
    assert (group.rank(), group.size(), group.name()) == (0, 1, "undefined")
    assert not hasattr(group, "nonsense")
    for ask in (lambda: group._get_backend(CPU), lambda: dist.all_reduce(torch.ones(1), group=group)):
        with pytest.raises(RuntimeError, match="No backend type associated with device type cpu"):
            ask()
    with pytest.raises(ValueError, match="no backend of type NCCL is registered, and none is given"):
        group._register_backend(CPU, dist.ProcessGroup.BackendType.NCCL)
    backend = dist.ProcessGroupGloo(HashStore(), 0, 1)
    group._register_backend(CPU, BackendType.GLOO, backend)
    group._register_backend("cuda:0", BackendType.GLOO)
    assert group._get_backend(CPU) is group._get_backend(torch.device("cuda", 1)) is backend
    with pytest.raises(ValueError, match="the group is for rank 1 of 2, the backend for rank 0 of 1"):
        dist.ProcessGroup(HashStore(), 1, 2)._register_backend(CPU, BackendType.GLOO, backend)
    assert dist.Backend.backend_type_map["gloo"] is BackendType.GLOO
    group.shutdown()


def test_the_timeout_of_one_call_is_not_that_of_the_next():
    def body(store, rank):
        group = assembled(store, rank)
        by_itself(group).wait()
        if rank == 1:
            store.wait(["late"], timedelta(seconds=20))
        x = torch.ones(2)
        work = group.allreduce([x])
        if rank == 0:
            with pytest.raises(CommError, match="did not finish"):
                work.wait(timedelta(seconds=0.6))
            store.set("late", b"1")
        work.wait()
        group.shutdown()
        return x.tolist()

    assert on_ranks(body) == [[2, 2]] * 2


def test_a_backend_in_python_serves():
    class Same(dist.ProcessGroup):
        def allreduce(self, tensors, opts):
            tensors[0].mul_(self.size())

    group = dist.ProcessGroup(HashStore(), 1, 3)
    group._register_backend(CPU, BackendType.CUSTOM, Same(1, 3))
    x = torch.ones(2)
    dist.all_reduce(x, group=group)
    assert x.tolist() == [3, 3]


def test_who_waits_is_told_of_an_abort():
    def body(store, rank):
        group = assembled(store, rank)
        if rank == 0:
            group.abort()
            return "aborted"
        try:
            group.allreduce([torch.ones(2)]).wait()
        finally:
            group.shutdown()
        return "not told"

    aborted, told = on_ranks(body)
    assert aborted == "aborted"
    assert isinstance(told, CommError)
    assert "rank 0 has aborted the process group" in str(told)


def test_an_abort_ends_what_this_rank_waits_for():
    def body(store, rank):
        group = assembled(store, rank)
        if rank == 1:
            store.wait(["over"], timedelta(seconds=20))
            group.shutdown()
            return None
        work = group.allreduce([torch.ones(2)])
        group.abort()
        try:
            work.wait()
        except CommError as error:
            return str(error)
        finally:
            store.set("over", b"1")

    assert "rank 0 has aborted the process group" in on_ranks(body)[0]


def by_options(group):
    options = AllreduceOptions()
    options.timeout = timedelta(seconds=0.3)
    return group.allreduce([torch.ones(2)], options)


def by_itself(group):
    return group.allreduce([torch.ones(2)], timeout=timedelta(seconds=0.3))


def from_then_on(group):
    group.set_timeout(timedelta(seconds=0.3))
    return group.allreduce([torch.ones(2)])


def by_its_private_name(group):
    _set_pg_timeout(timedelta(seconds=0.3), group)
    with pytest.raises(TypeError, match="got 3"):
        _set_pg_timeout(3, group)
    return group.allreduce([torch.ones(2)])


@pytest.mark.parametrize("start", [by_options, by_itself, from_then_on, by_its_private_name])
def test_timeouts(start):
    def body(store, rank):
        group = assembled(store, rank)
        try:
            if rank == 0:
                dist.all_reduce(torch.ones(2), group=group)
                start(group).wait()
            else:
                dist.all_reduce(torch.ones(2), group=group)
                store.wait(["over"], timedelta(seconds=20))
        finally:
            store.set("over", b"1")
            group.shutdown()

    late = on_ranks(body)[0]
    assert isinstance(late, CommError)
    assert "all_reduce did not finish within 0.3 s" in str(late)


@pytest.mark.parametrize("cycle", [False, True])
def test_who_drops_a_group_has_left_it(cycle):
    def body(store, rank):
        group = assembled(store, rank)
        dist.all_reduce(torch.ones(2), group=group)
        if rank == 1:
            if cycle:
                group.itself = group
            del group
            gc.collect()
            return None
        try:
            group.allreduce([torch.ones(2)], timeout=timedelta(seconds=15)).wait()
        finally:
            group.shutdown()

    told = on_ranks(body)[0]
    assert isinstance(told, CommError)
    assert "rank 1" in str(told)
    assert "did not finish" not in str(told)


def test_a_collective_ends_before_a_group_that_nobody_has():
    def body(store, rank):
        x = torch.ones(2)
        assembled(store, rank).allreduce([x]).wait()
        return x.tolist()

    assert on_ranks(body) == [[2, 2]] * 2
