"""Collectives as methods of a process group."""

import threading
import time
from datetime import timedelta

import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch.distributed import process_group, run_ranks
from disttorch.distributed.process_group import world


def collectives(rank):
    group, size = dist.group.WORLD, dist.get_world_size()
    mine = torch.tensor([rank + 1.0, 2.0])
    total, copy = mine.clone(), mine.clone()
    options = dist.AllreduceOptions()
    options.reduceOp = dist.ReduceOp.MAX
    group.allreduce([total], options).wait()
    group.broadcast([copy], 1).wait()
    gathered = [torch.zeros(2) for _ in range(size)]
    group.allgather([gathered], [mine]).wait()
    root = dist.GatherOptions(rootRank=1)
    collected = [torch.zeros(2) for _ in range(size)] if rank == 1 else []
    group.gather([collected] if rank == 1 else [], [mine], root).wait()
    part = torch.zeros(1)
    group.scatter([part], [list(mine.split(1))] if rank == 0 else [], dist.ScatterOptions(rootRank=0)).wait()
    share = torch.zeros(1)
    group.reduce_scatter([share], [list(mine.split(1))]).wait()
    group.barrier(dist.BarrierOptions()).wait()
    if rank == 0:
        group.send([mine], 1, tag=7).wait()
    else:
        group.recv([total], 0, tag=7).wait()
    return [x.tolist() for x in (total, copy, *gathered, *collected, part, share)]


def test_they_do_what_the_functions_do():
    first, second = run_ranks(2, collectives)
    assert first == [[2, 2], [2, 2], [1, 2], [2, 2], [1], [3]]
    assert second == [[1, 2], [2, 2], [1, 2], [2, 2], [1, 2], [2, 2], [2], [4]]


def test_one_tensor_at_a_time():
    def body(rank):
        with pytest.raises(RuntimeError, match="allreduce: requires a single-element tensor list, got 2 tensors"):
            dist.group.WORLD.allreduce([torch.ones(1), torch.ones(1)])

    run_ranks(1, body)


def test_arguments_that_do_not_fit_are_told_as_gloo_does():
    one, two, double = torch.zeros(1), torch.zeros(2), torch.zeros(1, dtype=torch.float64)

    def root(kind, rank, tensor=0):
        return kind(rootRank=rank, rootTensor=tensor)

    def body(rank):
        group = dist.group.WORLD
        for text, call in [
            ("broadcast: invalid root rank: -1", lambda: group.broadcast([one], root(dist.BroadcastOptions, -1))),
            ("broadcast: invalid root tensor: 1", lambda: group.broadcast([one], root(dist.BroadcastOptions, 0, 1))),
            ("broadcast: invalid tensor type at index 0", lambda: group.broadcast([one, double])),
            (r"broadcast: invalid tensor size at index 0 \(expected \(1\), got \(2\)\)",
             lambda: group.broadcast([one, two])),
            ("allreduce: requires non-empty tensor list", lambda: group.allreduce([])),
            ("allreduce_coalesced: requires non-empty", lambda: group.allreduce_coalesced([])),
            ("allreduce_coalesced: tensors must all have", lambda: group.allreduce_coalesced([one, double])),
            ("reduce: invalid root rank: 1", lambda: group.reduce([one], root(dist.ReduceOptions, 1))),
            ("allgather: requires input/output tensor lists", lambda: group.allgather([], [one])),
            ("allgather: requires non-empty input tensor list", lambda: group.allgather([[one]], [])),
            ("allgather: invalid output tensor list at index 0", lambda: group.allgather([[one, one]], [one])),
            ("gather: invalid root rank: -1", lambda: group.gather([[one]], [one], root(dist.GatherOptions, -1))),
            ("gather: requires a single-element output list", lambda: group.gather([], [one])),
            ("gather: Incorrect output list size 2", lambda: group.gather([[one, one]], [one])),
            ("gather: invalid tensor type at index 0", lambda: group.gather([[double]], [one])),
            ("gather: requires a single-element input tensor list", lambda: group.gather([[one]], [])),
            ("scatter: requires a single-element output tensor list", lambda: group.scatter([], [[one]])),
            ("broadcast: invalid root tensor: 0", lambda: group.broadcast([])),
            ("scatter: requires a single-element input list", lambda: group.scatter([one], [])),
            ("scatter: invalid tensor size at index 0", lambda: group.scatter([one], [[two]])),
        ]:  # fmt: skip
            with pytest.raises(RuntimeError, match=text):
                call()

    run_ranks(1, body)


def test_several_tensors_under_one_handle():
    def body(rank):
        group, mine = dist.group.WORLD, [torch.full((1, 2), float(rank)), torch.full((2,), 2.0)]
        summed = [t.clone() for t in mine]
        result = group.allreduce_coalesced(summed).get_future().wait()
        gathered, parts = [torch.zeros(2, 2), torch.zeros(4)], [torch.zeros(1), torch.zeros(1)]
        group.allgather_into_tensor_coalesced(gathered, mine).wait()
        group.reduce_scatter_tensor_coalesced(parts, [mine[0].view(2), mine[1]]).wait()
        return [[x.tolist() for x in found] for found in (result, gathered, parts)]

    expected = [[[[1, 1]], [4, 4]], [[[0, 0], [1, 1]], [2, 2, 2, 2]], [[1], [4]]]
    assert run_ranks(2, body) == [expected] * 2


def test_a_tensor_that_occurs_twice_is_reduced_once():
    def body(rank):
        x, y = torch.tensor([rank + 1]), torch.tensor([0.5])
        dist.all_reduce_coalesced([x, y, x])
        return x.tolist(), y.tolist()

    assert run_ranks(2, body) == [([3], [1])] * 2


def test_lists_to_gather_into_that_do_not_fit():
    one = torch.zeros(1)

    def body(rank):
        for text, outputs in [
            ("output lists should be equal to world size 1, got 2", [[one], [one]]),
            ("invalid size of output tensor at index 0", [[torch.zeros(0)]]),
            ("invalid tensor type at index 0", [[one.double()]]),
            ("invalid output size", [[one, one]]),
        ]:
            with pytest.raises(RuntimeError, match=text):
                dist.all_gather_coalesced(outputs, [one])

    run_ranks(1, body)


def test_futures_of_works_complete_without_being_waited_for():
    def body(rank):
        first, second, third = torch.ones(1), torch.ones(2), torch.ones(1)
        done = [dist.all_reduce(t, async_op=True).get_future() for t in (first, second)]
        later = dist.all_reduce_coalesced([third], async_op=True).then(lambda f: f.value()[0] * 2)
        found = torch.futures.wait_all(done)
        together = torch.futures.collect_all([later]).wait()
        polled = dist.all_reduce(torch.ones(1), async_op=True).get_future()
        while not polled.done():
            time.sleep(0.001)
        return [x.tolist() for [x] in found], together[0].value().tolist(), polled.value()[0].item()

    assert run_ranks(2, body) == [([[2], [2, 2]], [4], 2)] * 2


def test_wait_all_waits_for_all_and_raises_the_first_error():
    bad, good, late = torch.futures.Future(), torch.futures.Future(), []
    bad.set_exception(ValueError("first"))
    thread = threading.Thread(target=lambda: (time.sleep(0.05), late.append(1), good.set_result(3)))
    thread.start()
    with pytest.raises(ValueError, match="first"):
        torch.futures.wait_all([bad, good])
    assert late == [1]
    thread.join()


def test_leaving_a_group_that_one_is_not_in():
    def body(rank):
        group = dist.new_group([1])
        dist.destroy_process_group(group)
        return dist.get_world_size()

    assert run_ranks(2, body) == [2, 2]


class Words(dist.Store):
    """A store of one's own with the four methods that PyTorch asks for."""

    def __init__(self):
        super().__init__()
        self.words = {}

    def set(self, key, value):
        self.words[key] = value

    def get(self, key):
        return self.words[key]

    def add(self, key, amount):
        self.words[key] = str(int(self.words.get(key, b"0")) + amount).encode()
        return int(self.words[key])

    def compare_set(self, key, expected, desired):
        if self.words.get(key, b"") == expected:
            self.words[key] = desired
        return self.words.get(key, expected)


def test_a_store_of_ones_own_below_a_prefix():
    store = dist.PrefixStore("p", Words())
    assert not store.has_extended_api()
    store.append("a", b"po")
    store.append("a", b"tato")
    store.multi_set(["b", "c"], [b"1", b"2"])
    assert store.get("a") == b"potato"
    assert store.multi_get(["c", "b"]) == [b"2", b"1"]


def test_a_store_says_which_name_nobody_knows():
    with pytest.raises(dist.DistNetworkError, match=r"timed out after 200ms .*\(no-such-host.invalid, 29400\)"):
        dist.TCPStore("no-such-host.invalid", 29400, 1, True, timeout=0.2)
    with pytest.raises(NotImplementedError, match="master_listen_fd"):
        dist.TCPStore("localhost", 0, 1, True, master_listen_fd=3)


def test_what_a_reduce_op_is():
    for op in (dist.ReduceOp.SUM, dist.ReduceOp.BXOR, dist._make_nccl_premul_sum(2.0)):
        assert isinstance(op, dist.ReduceOp)
    assert not isinstance("sum", dist.ReduceOp)


def test_a_group_that_only_its_members_make():
    def body(rank):
        other = dist.new_group([1 - rank], use_local_synchronization=True)
        mine = dist.new_group([rank], use_local_synchronization=True)
        return other, mine.size()

    assert run_ranks(2, body) == [(None, 1)] * 2


def test_what_is_split_over_ranks_is_not_there():
    from disttorch.distributed.fsdp import FullyShardedDataParallel
    from disttorch.distributed.tensor import DTensor, Partial, Replicate, Shard

    assert not isinstance(torch.ones(1), DTensor)
    with pytest.raises(NotImplementedError, match="tensor parallelism"):
        DTensor(torch.ones(1))
    assert Shard(1) == Shard(dim=1) != Shard(0)
    assert {Replicate(), Replicate()} == {Replicate()}
    assert (Shard(1).is_shard(), Shard(1).is_shard(0), Replicate().is_replicate()) == (True, False, True)
    assert (Partial().is_partial("sum"), Partial("avg").is_partial("sum"), Shard(0).is_partial()) == (
        True,
        False,
        False,
    )
    with pytest.raises(NotImplementedError, match="use DistributedDataParallel"):
        FullyShardedDataParallel(torch.nn.Linear(1, 1))


def test_a_launchers_process_has_no_mpi(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    assert not dist.is_mpi_available()
    with pytest.raises(RuntimeError, match="start the program with mpiexec, or use 'gloo'"):
        dist.init_process_group("mpi")


def test_a_thread_that_is_done_is_a_rank_that_has_left():
    def body(rank):
        if rank == 1:
            return "done"
        with pytest.raises(dist.DistError, match="rank 1 closed the group"):
            dist.all_reduce(torch.ones(1))
        return "told"

    assert run_ranks(3, body, timeout=10) == ["told", "done", "told"]


def test_switches_go_without_their_name():
    before = torch.backends.cudnn.enabled
    with torch.backends.cudnn.flags(not before):
        assert torch.backends.cudnn.enabled is not before
    assert torch.backends.cudnn.enabled is before


def test_the_newer_names():
    def body(rank):
        whole, part = torch.zeros(2), torch.zeros(1)
        dist.all_gather_single(whole, torch.full((1,), float(rank)))
        dist.reduce_scatter_single(part, whole)
        return whole.tolist(), part.tolist()

    assert run_ranks(2, body) == [([0, 1], [0]), ([0, 1], [2])]


def test_a_group_made_by_hand():
    from disttorch.comm import HashStore
    from disttorch.comm.clock import spawn

    store, results = HashStore(), {}

    def rank(number):
        options = dist.ProcessGroupGloo._Options()
        options._timeout = 20.0
        options._devices = [dist.ProcessGroupGloo.create_device(hostname="localhost")]
        group = dist.ProcessGroupGloo(store, number, 2, options)
        x = torch.full((2,), number + 1.0)
        group.allreduce([x]).wait()
        dist.broadcast(x, group=group, group_src=1)
        results[number] = group.rank(), group.size(), group.name(), x.tolist()
        group.comm.close()

    threads = [spawn(lambda number=number: rank(number), f"rank{number}") for number in range(2)]
    for thread in threads:
        thread.join(30)
    assert results == {number: (number, 2, "gloo", [3.0, 3.0]) for number in range(2)}
    assert dist.ProcessGroupGloo.create_device(interface="lo").address == "127.0.0.1"
    assert process_group.CommGroup.create_device(interface="lo").address == "127.0.0.1"
    with pytest.raises(ValueError, match="Specify either `hostname` or `interface`"):
        dist.ProcessGroupGloo.create_device()


def test_a_group_of_nccl_made_by_hand():
    from disttorch.comm import HashStore
    from disttorch.comm.clock import spawn

    options = dist.ProcessGroupNCCL.Options(is_high_priority_stream=True)
    options.config.max_ctas = 8
    options._timeout = 20.0
    assert (options.backend, options.config.min_ctas) == ("nccl", None)
    store, results = HashStore(), {}

    def rank(number):
        group = dist.ProcessGroupNCCL(store, number, 2, options)
        x = torch.full((2,), number + 1.0)
        group.allreduce([x]).wait()
        results[number] = group.rank(), group.name(), group.comm.timeout, x.tolist()
        group.comm.close()

    threads = [spawn(lambda number=number: rank(number), f"rank{number}") for number in range(2)]
    for thread in threads:
        thread.join(30)
    assert results == {number: (number, "nccl", 20.0, [3.0, 3.0]) for number in range(2)}


@pytest.mark.parametrize("joined", [False, True])
def test_a_group_beside_the_default_one(joined):
    from disttorch.comm import HashStore

    from disttorch.distributed.distributed_c10d import Backend, _new_process_group_helper, _world

    store = HashStore()

    def body(rank):
        job = dist.group.WORLD
        assert job.group_desc == "default_pg"
        if not joined:
            world().default = None
        made, part = _new_process_group_helper(2, rank, [], Backend("gloo"), store, group_name="other", timeout=20.0)
        _world.pg_group_ranks[made] = {0: 0, 1: 1}
        part.set(f"rank {rank}", "here")
        x = torch.full((2,), rank + 1.0)
        dist.broadcast(x, src=1, group=made)
        found = x.tolist(), dist.get_rank(made), made.group_name, store.get(f"other/rank {rank}")
        dist.destroy_process_group(made)
        with pytest.raises(ValueError, match="Invalid process group"):
            dist.destroy_process_group(made)
        world().default = job
        return found

    assert run_ranks(2, body) == [([2.0, 2.0], r, "other", b"here") for r in range(2)]


def test_a_work_of_a_future():
    future = torch.futures.Future()
    work = dist._create_work_from_future(future)
    assert not work.is_completed()
    with pytest.raises(dist.DistError, match=r"a work's future did not finish within 0.01 s"):
        work.wait(timedelta(seconds=0.01))
    future.set_result([torch.ones(1)])
    assert work.wait(timedelta(seconds=10))
    assert work.is_success()
    assert work.get_future() is future
    failed = torch.futures.Future()
    failed.set_exception(KeyError("lost"))
    assert isinstance(dist._create_work_from_future(failed).exception(), KeyError)


def test_names_of_groups():
    """A group has one name on all its ranks, and another than every other group, also where some ranks are in few."""

    def body(rank):
        first, second = dist.new_group([0]), dist.new_group([0, 1])
        local = [dist.new_group([0, 1], use_local_synchronization=True) for _ in range(2)]
        part = dist.split_group(split_ranks=[[0], [1]])
        mine, _ = dist.new_subgroups(1, group_desc="alone")
        assert mine.group_desc == "alone"
        dist.destroy_process_group(second)
        groups = [dist.group.WORLD, second, *local, part, mine, dist.new_group([0, 1])]
        return [group.group_name for group in groups if group], rank or first.group_name

    (names, first), (others, _) = run_ranks(2, body)
    assert (names[0], first, names[1], names[-1]) == ("0", "1", "2", "5")
    assert (names[:4], names[-1]) == (others[:4], others[-1])
    assert len({*names, *others, first}) == 10
