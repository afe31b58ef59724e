"""torch.distributed's collectives, on ranks as threads: every function, every dtype, every reduction, errors."""

import math

import pytest

import disttorch
import disttorch.distributed as dist
from disttorch import comm
from disttorch.distributed import ReduceOp, run_ranks

N = 3


def t(*values, dtype="float32"):
    return disttorch.tensor(values, dtype=getattr(disttorch, dtype))


def ranks(body, n=N, **settings):
    return run_ranks(n, body, timeout=30, **settings)


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        (ReduceOp.SUM, [6, 12]), (ReduceOp.AVG, [2, 4]), (ReduceOp.PRODUCT, [6, 48]), (ReduceOp.MIN, [1, 2]),
        (ReduceOp.MAX, [3, 6]),
    ],
)  # fmt: skip
def test_all_reduce(op, wanted):
    def body(rank):
        x = t(rank + 1, 2 * rank + 2)
        assert dist.all_reduce(x, op) is None
        return x.tolist()

    assert ranks(body) == [wanted] * N


def test_averages_of_whole_numbers_lose_the_fraction():
    def body(rank):
        x, y = t(rank, -2 * rank - 1, dtype="int64"), t(255, 1, dtype="uint8")
        for tensor in (x, y):
            dist.all_reduce(tensor, ReduceOp.AVG)
        with pytest.raises(TypeError, match=r"Cannot use ReduceOp\.AVG with boolean inputs"):
            dist.all_reduce(disttorch.tensor([True]), ReduceOp.AVG)
        return x.tolist(), y.tolist()

    assert ranks(body, 2) == [([0, -2], [127, 1])] * 2  # uint8's sum is one of uint8's, as NCCL's


@pytest.mark.parametrize(("op", "wanted"), [("BAND", 0), ("BOR", 7), ("BXOR", 7)])
def test_bitwise_reductions(op, wanted):
    def body(rank):
        x = t(1 << rank, dtype="int64")
        dist.all_reduce(x, getattr(ReduceOp, op))
        return x.item()

    assert ranks(body) == [wanted] * N


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "complex64"]
)
def test_every_dtype(dtype):
    def body(rank):
        x = t(rank, 1, dtype=dtype)
        dist.all_reduce(x)
        return x.dtype is getattr(disttorch, dtype), x.tolist()

    assert ranks(body) == [(True, [3, 3])] * N


def test_bool_is_reduced_as_truth():
    def body(rank):
        x = t(rank == 1, False, True, dtype="bool")
        dist.all_reduce(x, ReduceOp.MAX)
        return x.tolist()

    assert ranks(body) == [[True, False, True]] * N


def test_half_precision_is_summed_in_single():
    def body(rank):
        x = t(2048.0 if rank == 0 else 0.5, dtype="float16")
        dist.all_reduce(x)
        return x.item()

    assert ranks(body, 5) == [2050.0] * 5  # 2048 + 0.5 is 2048 in float16, every time


@pytest.mark.parametrize("layout", ["transposed", "strided", "empty", "scalar"])
def test_tensors_of_any_layout(layout):
    def body(rank):
        whole = disttorch.full((3, 4), float(rank))
        x = {"transposed": whole.t(), "strided": whole[:, ::2], "empty": whole[:0], "scalar": whole[0, 0]}[layout]
        version = x._version
        dist.all_reduce(x)
        assert x._version > version
        return x.tolist() == disttorch.full(x.shape, 3.0).tolist()

    assert all(ranks(body))


def test_broadcast_and_reduce():
    def body(rank):
        x, y = t(rank), t(rank + 1)
        dist.broadcast(x, 2)
        dist.reduce(y, 1)
        z = t(rank)
        dist.broadcast(z, group_src=1)
        return x.item(), y.item() if rank == 1 else None, z.item()

    assert ranks(body) == [(2, None, 1), (2, 6, 1), (2, None, 1)]


def test_gathers():
    def body(rank):
        found = [t(0, 0) for _ in range(N)]
        dist.all_gather(found, t(rank, 10 * rank))
        flat, stacked = disttorch.zeros(2 * N), disttorch.zeros(N, 2)
        dist.all_gather_into_tensor(flat, t(rank, rank))
        dist.all_gather_into_tensor(stacked, t(rank, rank))
        mine = [t(0) for _ in range(N)] if rank == 1 else None
        dist.gather(t(rank), mine, dst=1)
        return [x.tolist() for x in found], flat.tolist(), stacked.tolist(), rank != 1 or [x.item() for x in mine]

    wanted = [[0, 0], [1, 10], [2, 20]], [0, 0, 1, 1, 2, 2], [[0, 0], [1, 1], [2, 2]]
    assert ranks(body) == [(*wanted, True), (*wanted, [0, 1, 2]), (*wanted, True)]


def test_scatters():
    def body(rank):
        x, y, z = t(-1), t(-1), t(-1)
        dist.scatter(x, [t(10 * r) for r in range(N)] if rank == 0 else None)
        dist.reduce_scatter(y, [t(rank + r) for r in range(N)])
        dist.reduce_scatter_tensor(z, t(*range(N)) * (rank + 1), ReduceOp.MAX)
        return x.item(), y.item(), z.item()

    assert ranks(body) == [(10 * r, 3 + 3 * r, 3 * r) for r in range(N)]


def test_all_to_all():
    def body(rank):
        out = [t(-1) for _ in range(N)]
        dist.all_to_all(out, [t(10 * rank + r) for r in range(N)])
        even = disttorch.zeros(N)
        dist.all_to_all_single(even, t(*[10 * rank + r for r in range(N)]))
        uneven = disttorch.zeros(N * (rank + 1))
        dist.all_to_all_single(uneven, t(*[rank] * 6), [rank + 1] * N, [1, 2, 3])
        return [x.item() for x in out], even.tolist(), uneven.tolist()

    wanted = [[10 * s + r for s in range(N)] for r in range(N)]
    assert ranks(body) == [(wanted[r], wanted[r], [s for s in range(N) for _ in range(r + 1)]) for r in range(N)]


def test_asynchronous_forms():
    def body(rank):
        x, y, found = t(rank), t(1.0), [t(0) for _ in range(N)]
        works = [dist.all_reduce(x, async_op=True), dist.all_reduce(y, ReduceOp.SUM, async_op=True)]
        works.append(dist.all_gather(found, t(rank), async_op=True))
        works.append(dist.barrier(async_op=True))
        assert all(w.wait() for w in works)
        assert all(w.is_completed() and w.is_success() and w.exception() is None for w in works)
        return x.item(), y.item(), [f.item() for f in found]

    assert ranks(body) == [(3, 3, [0, 1, 2])] * N


def test_point_to_point():
    def body(rank):
        x = t(rank)
        if rank == 0:
            dist.send(x + 5, 1)
            dist.isend(t(7), 2, tag=3).wait()
        elif rank == 1:
            assert dist.recv(x, 0) == 0
        else:
            dist.irecv(x, 0, tag=3).wait()
        return x.item()

    assert ranks(body) == [0, 5, 7]


def test_receiving_from_anyone():
    def body(rank):
        if rank:
            dist.send(t(rank), 0)
            return None
        found = []
        for _ in range(N - 1):
            x = t(0)
            sender = dist.recv(x)
            assert sender == x.item()
            found.append(sender)
        return sorted(found)

    assert ranks(body)[0] == [1, 2]


def test_a_ring_of_p2p_operations():
    def body(rank):
        x = t(-1)
        operations = [dist.P2POp(dist.isend, t(rank), (rank + 1) % N), dist.P2POp(dist.irecv, x, (rank - 1) % N)]
        for work in dist.batch_isend_irecv(operations):
            work.wait()
        return x.item()

    assert ranks(body) == [2, 0, 1]


def test_objects():
    values = [{"a": [1, 2.5, None, True]}, ("x", b"y", 1 + 2j), disttorch.arange(3)]

    def body(rank):
        every = [None] * N
        dist.all_gather_object(every, values[rank])
        assert every[0] == values[0]
        assert every[1] == values[1]
        assert disttorch.equal(every[2], values[2])
        listed = [rank, "x"] if rank == 1 else [None, None]
        dist.broadcast_object_list(listed, src=1)
        mine = [None]
        dist.scatter_object_list(mine, ["a", "b", "c"] if rank == 0 else None, src=0)
        gathered = [None] * N if rank == 2 else None
        dist.gather_object(rank, gathered, dst=2)
        if rank == 0:
            dist.send_object_list([1, "two"], 1)
        box = [None, None]
        if rank == 1:
            dist.recv_object_list(box, 0)
        return listed, mine, gathered, box

    assert ranks(body) == [
        ([1, "x"], ["a"], None, [None, None]),
        ([1, "x"], ["b"], None, [1, "two"]),
        ([1, "x"], ["c"], [0, 1, 2], [None, None]),
    ]


def test_objects_that_could_run_code_are_refused():
    def body(rank):
        with pytest.raises(TypeError, match="only numbers, strings"):
            dist.all_gather_object([None] * N, object())

    ranks(body)


@pytest.mark.filterwarnings("ignore:Running all_reduce on global rank")
def test_groups():
    def body(rank):
        evens, odds = dist.new_group([0, 2]), dist.new_group([1, 3])
        mine = odds if rank % 2 else evens
        x = t(rank)
        dist.all_reduce(x, group=mine)
        dist.all_reduce(t(0), group=evens if rank % 2 else odds)  # not a member: nothing happens
        assert dist.get_world_size(mine) == 2
        assert dist.get_rank(mine) == rank // 2
        assert dist.get_rank(evens if rank % 2 else odds) == -1
        assert dist.get_process_group_ranks(mine) == [rank % 2, rank % 2 + 2]
        assert dist.get_global_rank(mine, 1) == rank % 2 + 2
        assert dist.get_group_rank(mine, rank) == rank // 2
        y = t(rank)
        dist.broadcast(y, rank % 2 + 2, group=mine)  # the source is a global rank
        small, every = dist.new_subgroups(2)
        z = t(rank)
        dist.all_reduce(z, group=small)
        dist.destroy_process_group(mine)
        return x.item(), y.item(), z.item(), len(every)

    assert ranks(body, 4) == [(2, 2, 1, 2), (4, 3, 1, 2), (2, 2, 5, 2), (4, 3, 5, 2)]


def test_what_a_group_knows_of_itself():
    def body(rank):
        assert dist.is_initialized()
        assert dist.get_backend() == "gloo"
        assert dist.get_rank() == rank
        assert dist.get_world_size(dist.group.WORLD) == N
        assert dist.group.WORLD.rank() == rank
        assert dist.group.WORLD.size() == N
        dist.monitored_barrier(timeout=20)

    ranks(body)
    assert not dist.is_initialized()
    assert dist.is_available()
    assert dist.group.WORLD is None


def test_simulated_devices(simulated_devices):
    simulated_devices(N)

    def body(rank):
        x = disttorch.full((2,), float(rank), device=f"cuda:{rank}")
        dist.all_reduce(x)
        found = [disttorch.zeros(2, device=x.device) for _ in range(N)]
        dist.all_gather(found, x + rank)
        return str(x.device), x.tolist(), [f[0].item() for f in found]

    assert ranks(body) == [(f"cuda:{r}", [3, 3], [3, 4, 5]) for r in range(N)]


@pytest.mark.parametrize("kind", ["processes", "tcp"])
def test_processes(kind):
    import spawned

    assert run_ranks(2, spawned.reduce_rank, kind, timeout=40) == [3.0, 3.0]


def test_one_rank_is_a_world():
    def body(rank):
        x = t(5)
        dist.all_reduce(x, ReduceOp.AVG)
        out = disttorch.zeros(1)
        dist.all_gather_into_tensor(out, x)
        return out.item()

    assert ranks(body, 1) == [5]


# -- errors -----------------------------------------------------------------------------------------------------------
def test_without_a_group():
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        dist.all_reduce(t(1))
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        dist.get_rank()


def test_wrong_arguments():
    def body(rank):
        with pytest.raises(TypeError, match=r"`tensor` of type torch\.Tensor"):
            dist.all_reduce([1])
        with pytest.raises(TypeError, match=r"`tensor_list` of type List\[torch\.Tensor\]"):
            dist.all_gather(t(1), t(1))
        with pytest.raises(ValueError, match="output tensor size must be equal to world_size times"):
            dist.all_gather_into_tensor(t(1), t(1))
        with pytest.raises(ValueError, match="is not part of group"):
            dist.broadcast(t(1), 7)
        with pytest.raises(ValueError, match="Can't specify both"):
            dist.broadcast(t(1), 0, group_src=0)
        with pytest.raises(RuntimeError, match="does not divide equally"):
            dist.all_to_all_single(t(1, 2), t(1, 2))
        if rank:
            with pytest.raises(ValueError, match="must NOT be specified on non-destination"):
                dist.gather(t(1), [t(1)] * N)
        else:
            with pytest.raises(ValueError, match="must be specified on destination"):
                dist.gather(t(1))
        dist.barrier()
        return True

    assert all(ranks(body))


def test_different_calls_name_each_rank():
    def body(rank):
        if rank == 1:
            dist.all_reduce(t(1, 2))
        else:
            dist.all_reduce(t(1))

    with pytest.raises(dist.DistError) as caught:
        ranks(body)
    assert "all_reduce" in str(caught.value)


def test_an_error_of_one_rank_reaches_the_others():
    def body(rank):
        if rank == 1:
            raise KeyError("mine")
        dist.barrier()

    with pytest.raises(KeyError, match="mine"):
        ranks(body)


def test_averages_are_exact():
    def body(rank):
        x = t(0.1 * (rank + 1), dtype="float64")
        dist.all_reduce(x, ReduceOp.AVG)
        return x.item()

    found = ranks(body)
    assert len(set(found)) == 1
    assert math.isclose(found[0], 0.2)


def oldest_names(rank):
    whole, part = disttorch.zeros(4), disttorch.zeros(2)
    with pytest.warns(FutureWarning, match="_all_gather_base` is a private function"):
        dist._all_gather_base(whole, disttorch.full((2,), float(rank)))
    with pytest.warns(FutureWarning, match="_reduce_scatter_base` is a private function"):
        dist.distributed_c10d._reduce_scatter_base(part, whole, async_op=True).wait()
    return whole.tolist(), part.tolist()


def test_the_oldest_names():
    # "processes": what warnings are shown is the process's, not a thread's
    assert run_ranks(2, oldest_names, "processes", timeout=60) == [([0, 0, 1, 1], [0, 0]), ([0, 0, 1, 1], [2, 2])]


def test_all_gather_of_complex_and_real_numbers():
    def body(rank):
        mine = disttorch.tensor([1.0 + rank, 2.0])
        pair = disttorch.view_as_complex(mine)
        real, number = [disttorch.zeros(2) for _ in range(2)], [disttorch.zeros(2, 2)[i].clone() for i in range(2)]
        number[1] = disttorch.zeros((), dtype=disttorch.complex64)
        dist.all_gather(real, pair)
        dist.all_gather(number, mine)
        with pytest.raises(ValueError, match="tensors with different dtypes"):
            dist.all_gather(real, pair.to(disttorch.complex128))
        return [t.tolist() for t in (*real, *number)]

    assert ranks(body, 2) == [[[1.0, 2.0], [2.0, 2.0], [1.0, 2.0], 2.0 + 2.0j]] * 2


def test_what_collectives_of_whole_tensors_refuse():
    def body(rank):
        mine = disttorch.ones(2)
        with pytest.raises(TypeError, match="output tensor must have the same type as input tensor"):
            dist.all_gather_into_tensor(disttorch.zeros(3, dtype=disttorch.int64), mine)
        with pytest.raises(ValueError, match="output tensor size must be equal to world_size times input tensor size"):
            dist.all_gather_into_tensor(disttorch.zeros(3), mine)
        with pytest.raises(TypeError, match="input tensor must be the same type as the output tensor"):
            dist.reduce_scatter_tensor(mine, disttorch.zeros(3, dtype=disttorch.int64))
        with pytest.raises(ValueError, match="input tensor must be the same size as output size times world size"):
            dist.reduce_scatter_tensor(mine, disttorch.zeros(3))

    ranks(body, 2)


def test_messages_may_gain_and_lose_dimensions_of_one_element():
    def body(rank):
        number, row = t(4.0).reshape(()), disttorch.zeros(1, 3)
        if rank == 0:
            dist.send(t(7.0), dst=1)
            dist.send(t(1.0, 2.0, 3.0), dst=1)
            dist.send(disttorch.ones(2, 3), dst=1)
            return None
        dist.recv(number, src=0)
        dist.recv(row, src=0)
        with pytest.raises(comm.CollectiveMismatch, match="differ in dtype or shape"):
            dist.recv(disttorch.ones(3, 2), src=0)
        return number.item(), row.tolist()

    assert ranks(body, 2)[1] == (7.0, [[1.0, 2.0, 3.0]])


def test_a_factor_is_given_by_calling_the_operation():
    def body(rank):
        x = t(rank + 1.0)
        dist.all_reduce(x, ReduceOp.PREMUL_SUM(disttorch.tensor([2.0])))
        return x.item()

    assert ranks(body, 2) == [6.0, 6.0]
    with pytest.raises(RuntimeError, match=r"Only PREMUL_SUM supports calling with a factor, got RedOpType\.SUM"):
        ReduceOp.SUM(2.0)
