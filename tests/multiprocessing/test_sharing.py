"""Tensors in shared memory: moved there, and sent through queues and as arguments."""

import gc
import os
import pickle
from multiprocessing import resource_sharer
from multiprocessing.reduction import ForkingPickler

import pytest

import disttorch
import spawned
from disttorch import multiprocessing as mp
from disttorch import nn
from disttorch.multiprocessing import memory


@pytest.fixture(autouse=True)
def no_sharer():
    """Multiprocessing's thread that hands descriptors over lives until told otherwise."""
    yield
    resource_sharer.stop(timeout=5)


def channels_last():
    return disttorch.arange(24.0).reshape(1, 2, 3, 4).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: disttorch.arange(6.0).reshape(2, 3),
        lambda: disttorch.tensor(3, dtype=disttorch.int16),
        lambda: disttorch.zeros(0, 4),
        lambda: disttorch.ones(3, dtype=disttorch.bfloat16),
        lambda: disttorch.arange(6).reshape(2, 3).t(),
        channels_last,
        lambda: disttorch.arange(10.0)[::3],
    ],
)
def test_sharing_keeps_values_and_the_order_of_dimensions(make):
    t, before = make(), make()
    assert not t.is_shared()
    assert t.share_memory_() is t
    assert t.is_shared()
    assert t.dtype is before.dtype
    assert disttorch.equal(t, before)
    if before.numel() and before.numel() * before.element_size() == before.untyped_storage().nbytes():
        assert t.stride() == before.stride()
    address = t.data_ptr()
    assert t.share_memory_().data_ptr() == address


def test_views_of_a_shared_tensor_are_shared():
    t = disttorch.zeros(4, 4).share_memory_()
    assert t[1].is_shared()
    assert not t[1].clone().is_shared()


def test_a_module_shares_its_parameters_and_buffers():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).share_memory()
    assert all(t.is_shared() for t in model.state_dict().values())
    model(disttorch.ones(4, 3)).sum().backward()


def test_memory_is_released_with_the_last_tensor():
    gc.collect()  # what earlier tests left in cycles may hold files too
    before = os.listdir("/proc/self/fd")
    t = disttorch.zeros(1000).share_memory_()
    view = t[3:]
    del t
    view.fill_(2)
    del view
    gc.collect()
    assert os.listdir("/proc/self/fd") == before


def test_the_same_file_is_mapped_once():
    t = disttorch.arange(4.0).share_memory_()
    found = memory.find(t._data)
    assert memory.attach(os.dup(found.fd)) is found


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_a_queue_hands_memory_over(method, kind):
    context = mp.get_context(method)
    there, done = getattr(context, kind)(), context.Event()
    process = context.Process(target=spawned.double, args=(there, done))
    process.start()
    t = disttorch.arange(4.0)
    there.put(t)
    back = there.get() if method == "fork" else None
    while back is None or len(back) == 4:  # our own message may come back first
        if back is not None:
            there.put(back)
        back = there.get()
    assert back.tolist() == [2, 4, 6]
    assert t.tolist() == [0, 2, 4, 6]
    back[0] = 9
    assert t[1] == 9
    done.set()
    process.join()
    assert process.exitcode == 0
    there.close()


@pytest.mark.parametrize("shared", [True, False], ids=["shared before", "shared by being sent"])
def test_a_module_sent_to_a_process_is_the_same_memory(shared):
    module = nn.Linear(2, 1)
    before = [p.detach().clone() for p in module.parameters()]
    ours, theirs = mp.Pipe()
    process = mp.get_context("spawn").Process(
        target=spawned.add_one, args=(module.share_memory() if shared else module, theirs)
    )
    process.start()
    theirs.close()
    assert ours.recv() == [True, True]
    process.join()
    ours.close()
    for p, b in zip(module.parameters(), before, strict=True):
        assert disttorch.equal(p, b + 1)


def test_a_sender_that_has_ended_is_named():
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=spawned.send_and_leave, args=(queue,))
    process.start()
    process.join()
    with pytest.raises(RuntimeError, match="the process that sent this tensor has ended"):
        queue.get()
    queue.close()


def test_a_computed_tensor_is_refused():
    from multiprocessing.reduction import ForkingPickler

    t = disttorch.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        ForkingPickler.dumps(t)


def test_ordinary_pickle_copies():
    t = disttorch.arange(3.0).share_memory_()
    other = pickle.loads(pickle.dumps(t))
    assert disttorch.equal(other, t)
    assert not other.is_shared()


def test_simulated_devices_travel_by_value(simulated_devices):
    from multiprocessing.reduction import ForkingPickler

    simulated_devices(2)
    t = disttorch.ones(2, device="cuda:1")
    assert t.is_shared()
    back = pickle.loads(ForkingPickler.dumps(t))
    assert str(back.device) == "cuda:1"
    assert back.tolist() == [1, 1]


def test_strategies():
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy("file_system")
    with pytest.raises(AssertionError, match="nonsense"):
        mp.set_sharing_strategy("nonsense")


def test_modules_as_arguments_of_spawn():
    models = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    mp.spawn(spawned.check_tied, args=(models[0], models[0].weight, models[1]), nprocs=2)


def test_what_arrives_has_the_dtype_that_kernels_look_for():
    t = disttorch.ones(3).share_memory_()
    arrived = pickle.loads(ForkingPickler.dumps(t))
    assert arrived._data.dtype is t._data.dtype
