"""The parts of torch.distributed beyond the plain collectives."""

import io
import time
from datetime import timedelta

import pytest

import disttorch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.objects import dumps, loads
from launching import wait_for


def t(*values):
    return disttorch.tensor(values, dtype=disttorch.float32)


def test_sums_of_multiplied_elements():
    def body(rank):
        x = t(1, 2) * (rank + 1)
        dist.all_reduce(x, dist._make_nccl_premul_sum(0.5))
        return x.tolist()

    assert run_ranks(2, body) == [[1.5, 3.0]] * 2


def test_several_tensors_at_once():
    def body(rank):
        a, b = t(rank), t(rank, 1)
        dist.all_reduce_coalesced([a, b])
        found = [[disttorch.zeros(1), disttorch.zeros(2)] for _ in range(2)]
        dist.all_gather_coalesced(found, [t(rank), t(rank, rank)])
        return a.tolist(), b.tolist(), [[x.tolist() for x in row] for row in found]

    assert run_ranks(2, body) == [([1], [1, 2], [[[0], [0, 0]], [[1], [1, 1]]])] * 2


@pytest.mark.parametrize("kind", ["threads", "tcp"])
def test_a_monitored_barrier_names_who_is_missing(kind, tmp_path):
    for found in run_ranks(3, misses, kind, timeout=30, args=(tmp_path,)):
        assert found in (None, "[Rank 0]: Ranks 1, 2 failed to pass monitoredBarrier in 300 ms")


def caught(function, *args, **kwargs):
    with pytest.raises(dist.DistError) as error:
        function(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize("kind", ["threads", "tcp"])
def test_a_monitored_barrier_says_on_every_rank_who_failed(kind, tmp_path):
    first, second, _ = run_ranks(3, one_misses, kind, timeout=30, args=(tmp_path,))
    assert first == "[Rank 0]: Rank 2 failed to pass monitoredBarrier in 300 ms"
    assert second.startswith(
        "Rank 1 successfully reached monitoredBarrier, but received errors while waiting for send/recv from rank 0. "
        "Please check rank 0 logs for faulty rank."
    )
    assert "Rank 2 failed to pass monitoredBarrier" in second


def stays_away(folder, waiting):
    """What a rank does that does not come, and that has not left when the others stop waiting."""
    wait_for(lambda: len(list(folder.iterdir())) == waiting, f"{waiting} ranks that have stopped waiting")


def given_up(folder, rank, function, *args, **kwargs):
    """What `function` raised; who stays away learns that it did."""
    text = caught(function, *args, **kwargs)
    (folder / str(rank)).touch()
    return text


def one_misses(rank, folder):
    if rank == 2:
        return stays_away(folder, 2)
    return given_up(folder, rank, dist.monitored_barrier, timeout=timedelta(seconds=0.3))


@pytest.mark.parametrize("kind", ["threads", "tcp"])
@pytest.mark.parametrize("limit", [0, -2])
def test_a_monitored_barrier_without_time(kind, limit, tmp_path):
    first, _ = run_ranks(2, no_time, kind, timeout=30, args=(limit, tmp_path))
    assert first.startswith(f"Rank 0 timed out in monitoredBarrier after {1000 * limit} ms.")


def no_time(rank, limit, folder):
    if rank:
        return stays_away(folder, 1)
    return given_up(folder, rank, dist.monitored_barrier, timeout=timedelta(seconds=limit))


def test_a_barrier_with_a_timeout_meets_one_without(tmp_path):
    def body(rank):
        dist.barrier(timeout=timedelta(seconds=10)) if rank else dist.barrier()
        dist.barrier(timeout=10, async_op=True).wait()
        with pytest.raises(TypeError, match=r"Expected timeout argument to be of type datetime\.timedelta, got soon"):
            dist.barrier(timeout="soon")
        return stays_away(tmp_path, 1) if rank else given_up(tmp_path, rank, dist.barrier, timeout=0.3)

    first, _ = run_ranks(2, body, timeout=30)
    assert first == "barrier did not finish within 0.3 s; still waiting for rank 1 (the limit is the timeout argument)"


def test_a_function_that_takes_too_long_is_named():
    def waits(rank):
        time.sleep(1)

    with pytest.raises(dist.DistError, match=r"^waits on 2 threads did not finish within 0\.2 s"):
        run_ranks(2, waits, timeout=0.2)


def misses(rank, folder):
    if rank:
        return stays_away(folder, 1)
    return given_up(folder, rank, dist.monitored_barrier, timeout=0.3, wait_all_ranks=True)


def test_groups_made_by_their_members_alone():
    def body(rank):
        pair = dist.new_group([0, 1], use_local_synchronization=True) if rank < 2 else None
        both = dist.new_group([1, 2])
        x = t(1)
        if rank < 2:
            dist.all_reduce(x, group=pair)
        if rank:
            dist.all_reduce(x, group=both)
        return x.item()

    assert run_ranks(3, body) == [2, 3, 3]


def test_wrong_sizes_of_all_to_all_name_both_calls():
    def body(rank):
        n = 2 + 2 * rank
        with pytest.raises(dist.DistError, match="rank 1 sends 2 elements to rank 0, which expects 1") as caught:
            dist.all_to_all_single(disttorch.zeros(n), disttorch.zeros(n))
        assert str(caught.value).count("test_completeness.py:") == 2

    run_ranks(2, body)


class Own:
    def __init__(self, value):
        self.value = value


def test_pickling_is_asked_for_by_name(monkeypatch):
    monkeypatch.delenv("DISTTORCH_ALLOW_PICKLE", raising=False)
    with pytest.raises(TypeError, match="allow_pickle"):
        dumps(Own(3))
    monkeypatch.setenv("DISTTORCH_ALLOW_PICKLE", "1")
    data = dumps([Own(3)])
    assert loads(data)[0].value == 3
    monkeypatch.delenv("DISTTORCH_ALLOW_PICKLE")
    with pytest.raises(TypeError, match="has not allowed"):
        loads(data)


class Either(nn.Module):
    """Rank 0 uses one half of it first and the other then; rank 1 uses the second half only."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)

    def forward(self, x, first):
        return (self.one if first else self.two)(x)


def test_what_was_accumulated_alone_counts_as_used():
    def body(rank):
        net = nn.parallel.DistributedDataParallel(Either(), find_unused_parameters=True)
        with net.no_sync():
            net(t(2).reshape(1, 1), rank == 0).sum().backward()
        net(t(4).reshape(1, 1), False).sum().backward()
        return net.module.one.weight.grad.item(), net.module.two.weight.grad.item()

    assert run_ranks(2, body) == [(1.0, 5.0)] * 2


def test_a_wrapped_model_is_saved_and_loaded():
    def body(rank):
        net = nn.parallel.DistributedDataParallel(nn.Linear(2, 1)).eval()
        file = io.BytesIO()
        disttorch.save(net, file)
        file.seek(0)
        copy = disttorch.load(file, weights_only=False)
        assert not copy.training
        copy(disttorch.full((1, 2), float(rank))).sum().backward()
        return copy.module.weight.grad.tolist()

    assert run_ranks(2, body) == [[[0.5, 0.5]]] * 2


def test_objects_as_tensors():
    from disttorch.distributed.distributed_c10d import _get_global_rank, _object_to_tensor, _tensor_to_object

    data, size = _object_to_tensor({"a": [1, "x"]}, disttorch.device("cpu"), None)
    assert (data.dtype, size.tolist()) == (disttorch.uint8, [data.numel()])
    padded = disttorch.cat([data, disttorch.zeros(5, dtype=disttorch.uint8)])
    assert _tensor_to_object(padded, size, None) == {"a": [1, "x"]}
    assert run_ranks(2, lambda rank: _get_global_rank(dist.group.WORLD, 1)) == [1, 1]


def test_the_groups_that_a_rank_knows():
    from disttorch.distributed import distributed_c10d as c10d

    def body(rank):
        dist.new_group([1, 0], sort_ranks=False)
        assert c10d._world.default_pg is dist.group.WORLD
        assert dist.group.WORLD._get_backend(disttorch.device("cpu")).name() == "gloo"
        names = [backend for backend, _ in c10d._pg_map.values()]
        return names, list(c10d._world.pg_group_ranks.values()), len(c10d._pg_names)

    assert run_ranks(2, body) == [(["gloo", "gloo"], [{0: 0, 1: 1}, {1: 0, 0: 1}], 2)] * 2
    assert not c10d._pg_map
