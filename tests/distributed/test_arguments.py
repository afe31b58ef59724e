"""What torch.distributed's functions say of arguments that do not fit, and what travels as an object."""

import argparse
from collections import OrderedDict
from datetime import timedelta

import numpy as np
import pytest

import disttorch
import disttorch.distributed as dist
import disttorch.distributed._functional_collectives as functional
from disttorch.distributed import ReduceOp, run_ranks
from disttorch.distributed.argparse_util import check_env, env

ONE, TWO = disttorch.ones(1), disttorch.ones(1, dtype=disttorch.int64)


def ranks(body, n=2):
    return run_ranks(n, body, timeout=30)


@pytest.mark.parametrize(
    "call",
    [
        lambda: dist.all_gather_into_tensor([1], ONE), lambda: dist.all_gather_into_tensor(ONE, None),
        lambda: dist.reduce_scatter_tensor(1, ONE), lambda: dist.reduce_scatter_tensor(ONE, ReduceOp.SUM),
        lambda: dist.all_to_all_single(ONE, 2), lambda: dist.all_gather([ONE, ONE], 3), lambda: dist.isend("x", 0),
        lambda: dist.P2POp(dist.irecv, [1], 0), lambda: dist.gather(None), lambda: dist.scatter([ONE]),
    ],
)  # fmt: skip
def test_what_is_no_tensor_is_named(call):
    def body(rank):
        with pytest.raises(TypeError, match=r"Expected parameter `\w+` of type torch\.Tensor"):
            call()

    ranks(body)


@pytest.mark.parametrize(
    "call",
    [
        lambda: dist.all_gather([ONE, TWO], ONE), lambda: dist.reduce_scatter(ONE, [ONE, TWO]),
        lambda: dist.all_to_all([ONE, ONE], [TWO, TWO]), lambda: dist.all_to_all_single(ONE, TWO),
        lambda: dist.gather(ONE, [ONE, TWO], group_dst=dist.get_rank()),
        lambda: dist.scatter(ONE, [ONE, TWO], group_src=dist.get_rank()),
    ],
)  # fmt: skip
def test_dtypes_that_differ_in_one_call(call):
    def body(rank):
        with pytest.raises(ValueError, match=r"different dtypes\. Found torch\.float32 and torch\.int64"):
            call()

    ranks(body)


def test_lists_that_are_none():
    def body(rank):
        with pytest.raises(TypeError, match="Expected parameter `gather_list` of type List"):
            dist.gather(ONE, ONE)
        with pytest.raises(TypeError, match="Expected parameter `scatter_list` of type List"):
            dist.scatter(ONE, np)
        with pytest.raises(ValueError, match="``gather_list`` must be specified on destination rank"):
            dist.gather(ONE, [], group_dst=rank)
        with pytest.raises(ValueError, match="``scatter_list`` must be specified on source rank"):
            dist.scatter(ONE, [], group_src=rank)
        found = [disttorch.zeros(2), disttorch.zeros(2)]
        dist.group.WORLD.allgather(found, disttorch.full((2,), rank + 1.0)).wait()
        return [t.tolist() for t in found]

    assert ranks(body) == [[[1, 1], [2, 2]]] * 2


def test_tensors_without_dimensions():
    def body(rank):
        whole, mine = disttorch.zeros(2), disttorch.tensor(5.0)
        dist.all_gather_into_tensor(whole, disttorch.tensor(rank + 1.0))
        dist.reduce_scatter_tensor(mine, whole)
        return whole.tolist(), mine.item()

    assert ranks(body) == [([1, 2], 2), ([1, 2], 4)]


def test_names_of_reductions():
    def body(rank):
        for name in ("prod", "x"):
            with pytest.raises(RuntimeError, match=f"Unrecognized reduce_op: {name}"):
                functional.all_reduce(ONE, name, dist.group.WORLD)
            with pytest.raises(RuntimeError, match=f"Unrecognized reduce_op: {name}"):
                functional.reduce_scatter_tensor(disttorch.ones(2), name, 0, dist.group.WORLD)

    ranks(body)


def test_split_sizes():
    def body(rank):
        for wrong in ("ab", [1.0, 1.0]):
            with pytest.raises(TypeError, match="output_split_sizes must be a list of ints"):
                dist.all_to_all_single(disttorch.ones(2), disttorch.ones(2), wrong, [1, 1])
        with pytest.raises(AssertionError, match="must either be specified together"):
            functional.all_to_all_single(disttorch.ones(2), [1, 1], None, dist.group.WORLD)
        for wrong in ([0, 0], [1], [2, 0]):
            with pytest.raises(ValueError, match="src_dst must have each rank from 0 to 1 once"):
                functional.permute_tensor(ONE, wrong, dist.group.WORLD)

    ranks(body)


def test_roots_and_tags():
    def body(rank):
        with pytest.raises(ValueError, match="Must specify src or group_src"):
            dist.broadcast(ONE)
        with pytest.raises(TypeError, match=r"dst must be a rank \(int\), got str"):
            dist.reduce(ONE, "0")
        with pytest.raises(TypeError, match=r"group_src must be a rank \(int\), got Tensor"):
            dist.broadcast(ONE, group_src=disttorch.ones(2))
        with pytest.raises(TypeError, match="tag must be an int, got str"):
            dist.isend(ONE, 1 - rank, tag="a")
        with pytest.raises(RuntimeError, match="Tag must be nonnegative, got -1"):
            dist.irecv(ONE, 1 - rank, tag=-1)
        with pytest.raises(ValueError, match="Group rank None is not part of group"):
            dist.get_global_rank(dist.group.WORLD, None)
        x = disttorch.full((2,), float(rank))
        dist.broadcast(x, np.int64(1))
        dist.broadcast(x, disttorch.tensor(1))
        return x.tolist()

    assert ranks(body) == [[1, 1]] * 2


def test_groups_that_are_none():
    def body(rank):
        for wrong in ("x", 3, ONE, dist):
            with pytest.raises(ValueError, match="Invalid process group specified"):
                dist.all_reduce(ONE, group=wrong)

    ranks(body)


def test_ranks_outside_a_group_are_warned():
    def body(rank):
        group = dist.new_group([0])
        if rank == 1:
            with pytest.warns(UserWarning, match="Running all_reduce on global rank 1 which does not belong"):
                assert dist.all_reduce(ONE, group=group) is None
            with pytest.warns(UserWarning, match="Running batch_isend_irecv"):
                assert dist.batch_isend_irecv([dist.P2POp(dist.isend, ONE, 0, group)]) == []
            with pytest.warns(UserWarning, match="Running recv_object_list"):
                assert dist.recv_object_list([None], 0, group) == -1

    ranks(body)


def test_new_groups():
    def body(rank):
        assert dist.new_group([5], use_local_synchronization=True) is None  # PyTorch looks only at lists with this rank
        assert dist.get_process_group_ranks(dist.new_group([True, 0])) == [0, 1]
        with pytest.raises(TypeError, match=r"ranks must be ranks \(ints\), got float"):
            dist.new_group([0.0])
        with pytest.raises(ValueError, match=r"Rank 1 has appeared in both subgroup \[0, 1\] and \[1\]"):
            dist.new_subgroups_by_enumeration([[0, 1], [1]])
        with pytest.raises(ValueError, match=r"'group_size' \(0\) must be positive"):
            dist.new_subgroups(0)
        for nothing in (None, [], [[]]):
            with pytest.raises(ValueError, match="'ranks_per_subgroup_list' cannot be empty"):
                dist.new_subgroups_by_enumeration(nothing)

    ranks(body)


def test_messages_are_checked_as_they_are_described():
    def body(rank):
        pair = dist.new_group([1, 0], sort_ranks=False)
        with pytest.raises(ValueError, match="Invalid ``op``"):
            dist.P2POp(dist.send, ONE, 0)
        with pytest.raises(ValueError, match="Must specify peer or group_peer"):
            dist.P2POp(dist.isend, ONE)
        with pytest.raises(ValueError, match="Can't specify both"):
            dist.P2POp(dist.isend, ONE, 1, None, 0, 1)
        message = dist.P2POp(dist.isend, ONE, group=pair, group_peer=0)
        for none in (message, [], None, [message, 1]):
            with pytest.raises(ValueError, match="Invalid ``p2p_op_list``"):
                dist.batch_isend_irecv(none)
        assert (message.peer, message.group_peer, message.group, message.tag) == (1, 0, pair, 0)
        assert repr(message).startswith(f"P2POp(isend pg={pair.group_name}, group_src={1 - rank}, group_dst=0,")

    ranks(body)


def test_reduce_ops_are_numbers():
    assert (int(ReduceOp.MAX), ReduceOp.MAX == 4, ReduceOp.MAX == ReduceOp.MIN) == (4, True, False)
    assert ReduceOp(ReduceOp.MAX) == ReduceOp.MAX
    with pytest.raises(TypeError, match="op must be a ReduceOp, got 'SUM'"):
        ReduceOp("SUM")


def test_a_rank_is_an_int():
    with pytest.raises(TypeError, match=r"rank must be an int, got float: 0\.5"):
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0.5, world_size=1)
    assert not dist.is_initialized()


def test_a_group_ends_once():
    def body(rank):
        group = dist.new_group()
        dist.destroy_process_group(group)
        with pytest.raises(ValueError, match="Invalid process group specified"):
            dist.destroy_process_group(group)
        assert dist.get_pg_count() == 1
        work = dist.barrier(async_op=True)
        assert work.synchronize() is None
        return work.wait()

    assert ranks(body) == [True] * 2


def test_the_future_of_what_has_ended():
    def body(rank):
        work, barrier = dist.all_reduce(disttorch.ones(1), async_op=True), dist.barrier(async_op=True)
        work.wait()
        barrier.wait()
        return work.get_future().value()[0].item(), barrier.get_future().value()

    assert ranks(body) == [(2, [])] * 2


def test_values_travel_as_what_they_are():
    values = [
        {1, 2}, frozenset("a"), 2**70, -(2**65), range(1, 9, 2), slice(1, None), timedelta(days=1),
        OrderedDict(b=1, a={3}), disttorch.Size([2, 3]), disttorch.float16, disttorch.device("cpu"), np.float32(2.5),
        np.bool_(True), {"nested": [({4, 5}, 1j)]},
    ]  # fmt: skip

    def body(rank):
        found = [None] * 2
        dist.all_gather_object(found, values)
        assert found == [values] * 2
        assert [type(v) for v in found[0]] == [type(v) for v in values]
        array = np.arange(6, dtype=np.uint16).reshape(2, 3)
        dist.all_gather_object(found, [array.T, np.array(["x", "yz"])])
        assert type(found[0][0]) is np.ndarray
        assert found[0][0].dtype == np.uint16
        assert (found[0][0] == array.T).all()
        assert found[0][1].tolist() == ["x", "yz"]

    ranks(body)


def test_lists_for_objects():
    def body(rank):
        longer = [None] * 3
        dist.all_gather_object(longer, rank)
        assert longer == [0, 1, None]
        with pytest.raises(IndexError):
            dist.all_gather_object([None], rank)
        with pytest.raises(ValueError, match=r"must NOT be specified on non-destination|must be specified on dest"):
            dist.gather_object(rank, [None] * 2 if rank else [], dst=0)
        if rank == 0:
            dist.send_object_list([1, 2], 1)
        else:
            with pytest.raises(ValueError, match="recv_object_list: rank 0 sent 2 objects, this rank expects 1"):
                dist.recv_object_list([None], 0)

    ranks(body)


def test_arguments_whose_defaults_are_in_the_environment(monkeypatch):
    def parsed(*line):
        parser = argparse.ArgumentParser()
        parser.add_argument("-f", "--foo", action=env, default="bar")
        parser.add_argument("--many", action=env, type=int, required=True)
        parser.add_argument("--loud", "-v", action=check_env)
        return tuple(vars(parser.parse_args(line)).values())

    assert parsed("--many", "2") == ("bar", 2, False)
    with pytest.raises(SystemExit):
        parsed()
    for name, value in (("FOO", "baz"), ("MANY", "3"), ("LOUD", "1")):
        monkeypatch.setenv(f"PET_{name}", value)
    assert parsed() == ("baz", 3, True)
    assert parsed("-f", "qux", "--many=4") == ("qux", 4, True)
    monkeypatch.setenv("PET_LOUD", "0")
    assert parsed()[2] is False
    assert parsed("-v")[2] is True
