"""Process groups written in Python: registering a backend, what its methods get, DDP on it, "fake"."""

import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed.backends import BackendConfig, Plugin
from disttorch.distributed.fake import FakeStore


class Counted(dist._Work):
    def __init__(self):
        super().__init__()
        self.waits = 0

    def wait(self, timeout=None):
        self.waits += 1
        return True


class Doubling(dist.ProcessGroup):
    """Two ranks of which the other always has the same."""

    def __init__(self, rank, size):
        super().__init__(rank, size)
        self.seen, self.ended = [], False

    def getBackendName(self):
        return "doubling"

    def allreduce(self, tensors, opts):
        self.seen.append((tuple(tensors[0].shape), opts.reduceOp))
        if opts.reduceOp == dist.ReduceOp.SUM:
            tensors[0].mul_(2)
        return Counted()

    def broadcast(self, tensors, opts):
        self.seen.append(opts.rootRank)
        return Counted()

    def allgather(self, outputs, inputs, opts):
        for out in outputs[0]:
            out.copy_(inputs[0])
        return Counted()

    def send(self, tensors, dst, tag):
        self.seen.append((dst, tag))
        return Counted()

    def shutdown(self):
        self.ended = True


@pytest.fixture
def backend(monkeypatch):
    """The backend "doubling", forgotten afterwards."""
    cls = dist.Backend
    for name in ("_plugins", "backend_capability", "backend_type_map"):
        monkeypatch.setattr(cls, name, dict(getattr(cls, name)))
    monkeypatch.setattr(cls, "backend_list", list(cls.backend_list))
    cls.register_backend("doubling", lambda store, rank, size, timeout: Doubling(rank, size), devices="cpu")
    yield "doubling"
    del cls.DOUBLING


@pytest.fixture
def group(backend):
    with dist.rank_scope():
        dist.init_process_group(backend, store=FakeStore(), rank=1, world_size=2)
        yield dist.group.WORLD
        dist.destroy_process_group()


def test_registering(backend):
    assert dist.Backend.DOUBLING == "doubling"
    assert isinstance(dist.Backend._plugins["DOUBLING"], Plugin)
    assert dist.Backend.backend_type_map["doubling"] is dist.ProcessGroup.BackendType.CUSTOM
    assert dist.is_backend_available("doubling")
    with pytest.raises(RuntimeError, match="DOUBLING c10d backend already exist"):
        dist.Backend.register_backend("doubling", print)
    with pytest.warns(UserWarning, match="Device capability of other:1 unspecified"):
        dist.Backend.register_backend("other:1", print)
    assert dist.BackendConfig("other:1").device_backend_map == {"cpu": "other:1", "cuda": "other:1"}
    delattr(dist.Backend, "OTHER:1")


def test_functions_hand_over_to_methods(group):
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend(), group.name()) == (1, 2, "doubling", "doubling")
    assert isinstance(group, dist.ProcessGroup)
    x = torch.ones(2, 3)
    dist.all_reduce(x)
    dist.all_reduce(x, dist.ReduceOp.MAX)
    assert x.tolist() == [[2, 2, 2], [2, 2, 2]]
    assert group.seen == [((2, 3), dist.ReduceOp.SUM), ((2, 3), dist.ReduceOp.MAX)]
    work = dist.broadcast(x, 0, async_op=True)
    assert work.wait()
    assert group.seen[-1] == 0
    parts = [torch.zeros(2, 3) for _ in range(2)]
    dist.all_gather(parts, x)
    assert all(bool((part == 2).all()) for part in parts)
    dist.send(x, 0, tag=7)
    assert group.seen[-1] == (0, 7)


def test_objects_travel_too(group):
    found = [None, None]
    dist.all_gather_object(found, {"a": (1, 2)})
    assert found == [{"a": (1, 2)}] * 2


def test_a_method_that_is_missing_is_named(group):
    with pytest.raises(RuntimeError, match="Backend doubling does not support reduce_scatter"):
        dist.reduce_scatter(torch.ones(1), [torch.ones(1)] * 2)


def test_ddp_averages_over_it(group):
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 1, bias=False))
    model(torch.ones(1, 3)).sum().backward()
    assert model.module.weight.grad.tolist() == [[1, 1, 1]]
    assert dist.ReduceOp.SUM in [seen[1] for seen in group.seen if seen != 0]


def test_new_groups_of_it(group):
    pair, alone = dist.new_group([0, 1]), dist.new_group([0])
    assert type(pair) is Doubling
    assert pair.rank() == 1
    assert alone == dist.GroupMember.NON_GROUP_MEMBER
    dist.destroy_process_group(pair)
    assert pair.ended


def test_a_creator_must_return_a_group(backend):
    dist.Backend._plugins["DOUBLING"] = Plugin(lambda options, given: (options.group_rank, given), True)
    with dist.rank_scope(), pytest.raises(TypeError, match="must return a ProcessGroup, got tuple"):
        dist.init_process_group(backend, store=FakeStore(), rank=0, world_size=1)


def test_a_group_in_python_beside_our_own_ones(backend):
    def body(rank):
        default = dist.group.WORLD
        default.store = store
        mine = dist.new_group(backend="doubling")
        t = torch.ones(1)
        dist.all_reduce(t, group=mine)
        return t.item(), mine.rank()

    store = FakeStore()
    assert dist.run_ranks(2, body) == [(2.0, 0), (2.0, 1)]


def test_our_own_group_beside_one_in_python(group):
    with pytest.raises(RuntimeError, match="does not support splitting"):
        dist.split_group(group, [[0, 1]])
    alone = dist.new_group([1], backend="gloo")
    t = torch.ones(1)
    dist.all_reduce(t, group=alone)
    assert t.item() == 1.0
    dist.destroy_process_group(alone)


def test_fake():
    with dist.rank_scope():
        dist.init_process_group("fake", store=FakeStore(), rank=3, world_size=8)
        x, parts = torch.arange(2), torch.zeros(8, 2, dtype=torch.int64)
        dist.all_reduce(x)
        dist.all_gather_into_tensor(parts, x)
        dist.barrier()
        assert parts.tolist() == [[0, 1]] * 8
        dist.destroy_process_group()


def test_backend_config():
    for given, expected in {
        "gloo": "cpu:gloo,cuda:gloo", "NCCL": "cuda:nccl", "cpu:gloo,cuda:nccl": "cpu:gloo,cuda:nccl",
    }.items():  # fmt: skip
        assert str(BackendConfig(given)) == expected
    for wrong in ("cpu:gloo,cuda:nccl,", "cpu:gloo,cuda:nccl,cpu:mpi"):
        with pytest.raises(ValueError, match="backend"):
            BackendConfig(wrong)


def test_a_group_may_have_properties_of_its_own():
    class Named(Doubling):
        group_name = property(lambda self: "mine")
        group_desc = property(lambda self: "of mine")

    group = Named(0, 1)
    assert (group.group_name, group.group_desc, group.rank(), group.size()) == ("mine", "of mine", 0, 1)
    assert (Doubling(0, 1).group_name, Doubling(0, 1).group_desc) == ("", "undefined")
