"""A failure is reported on every rank, soon, by name; and the group can be made anew afterwards."""

import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from disttorch.comm import errors
from disttorch.comm.testing import Died, run_ranks

from disttorch import comm
from launching import wait_for

KINDS = ["threads", "processes", "tcp"]


def caught(run):
    """The error that `run` raises; a deadline would be one of 60 s and more."""
    with pytest.raises(comm.CommError) as info:
        run()
    return info.value


def tell(folder, rank):
    (folder / str(rank)).touch()


def until_told(folder, count):
    """Wait until so many ranks are as far; in a way that needs no group."""
    wait_for(lambda: len(list(folder.iterdir())) == count, f"{count} ranks that tell")


CALLS = {
    "op": [lambda g: g.all_reduce(np.ones(3)), lambda g: g.all_reduce(np.ones(3), "max")],
    "dtype": [lambda g: g.all_reduce(np.ones(3)), lambda g: g.all_reduce(np.ones(3, np.float32))],
    "shape": [lambda g: g.all_reduce(np.ones(3)), lambda g: g.all_reduce(np.ones((3, 1)))],
    "long": [lambda g: g.all_reduce(np.ones(300_000)), lambda g: g.all_reduce(np.ones(400_000))],
    "name": [lambda g: g.barrier(), lambda g: g.all_reduce(np.ones(3))],
    "root": [lambda g: g.broadcast(np.ones(3), 0), lambda g: g.broadcast(np.ones(3), 1)],
    "rooted": [lambda g: g.broadcast(np.ones(3), 0), lambda g: g.reduce(np.ones(3), 0)],
    "long root": [lambda g: g.broadcast(np.ones(300_000), 0), lambda g: g.broadcast(np.ones(300_000), 1)],
    "long, one way": [
        lambda g: g.reduce(np.ones(300_000), 1),
        lambda g: g.gather(np.ones(300_000), [np.ones(300_000)] * 3 if g.rank == 0 else None, 0),
    ],
    "scatter": [
        lambda g: g.scatter(np.ones(2), [np.ones(2)] * 3 if g.rank == 1 else None, 1),
        lambda g: g.scatter(np.ones(3), [np.ones(3)] * 3 if g.rank == 1 else None, 1),
    ],
    "gather": [
        lambda g: g.gather(np.ones(2), [np.ones(2)] * 3 if g.rank == 1 else None, 1),
        lambda g: g.all_gather([np.ones(2)] * 3, np.ones(2)),
    ],
}


def mismatch(group, case, odd):
    group.barrier()
    call = CALLS[case][group.rank == odd]
    error = caught(lambda: call(group))
    later = caught(group.barrier)
    return type(error).__name__, str(error), type(later).__name__


def mismatches(group, port, odd):
    """All cases, each in a group of its own."""
    results = {}
    store = comm.StoreClient("127.0.0.1", port)
    for case in CALLS:
        inner = comm.connect(
            comm.PrefixStore(f"{case}{odd}", store), group.rank, group.size, transport=group.kind, timeout=20
        )
        results[case] = mismatch(inner, case, odd)
        inner.close()
    store.close()
    return results


def check_mismatch(results):
    for name, text, later in results:
        assert name == "CollectiveMismatch", text
        assert all(f"rank {rank}: " in text for rank in range(3)), text
        assert text.count("test_failures.py:") == 3
        assert later == "GroupClosed"


@pytest.mark.parametrize("odd", [0, 2])
@pytest.mark.parametrize("case", CALLS)
def test_mismatch_is_raised_on_every_thread(case, odd):
    check_mismatch(run_ranks(3, mismatch, args=(case, odd)))


@pytest.mark.parametrize("odd", [0, 2])
@pytest.mark.parametrize("kind", ["processes", "tcp"])
def test_mismatch_is_raised_on_every_process(kind, odd):
    with comm.StoreServer() as server:
        results = run_ranks(3, mismatches, kind, args=(server.port, odd))
    for case in CALLS:
        check_mismatch([result[case] for result in results])


def message_mismatch(group):
    if group.rank == 0:
        group.send(np.ones(3, np.float32), 1)
        return None
    error = caught(lambda: group.recv(np.ones(4), 0))
    return type(error).__name__, str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_message_mismatch(kind):
    name, text = run_ranks(2, message_mismatch, kind)[1]
    assert name == "CollectiveMismatch"
    assert "rank 0: sends message(float32[3]) at" in text
    assert "rank 1: receives message(float64[4]) at" in text


def dies(group, how, blocked_in, allocated, folder):
    group.barrier()
    if group.rank == 1:
        until_told(folder, 2)  # its last messages have come
        os.kill(os.getpid(), how)
    tell(folder, group.rank)
    array = group.allocate(500_000) if allocated else np.ones(500_000)
    into = np.ones(3)
    run = {
        "all_reduce": lambda: group.all_reduce(array),
        "broadcast": lambda: group.broadcast(array, 1),
        "recv": lambda: group.recv(into, 1),
        "async": lambda: group.all_reduce(array, async_op=True).wait(),
    }[blocked_in]
    error = caught(run)
    return error


@pytest.mark.parametrize("kind", ["processes", "tcp"])
@pytest.mark.parametrize("blocked_in", ["all_reduce", "broadcast", "recv", "async"])
def test_a_killed_rank_is_named_on_all_others(kind, blocked_in, tmp_path):
    results = run_ranks(3, dies, kind, args=(signal.SIGKILL, blocked_in, True, tmp_path), may_die=[1])
    assert isinstance(results[1], Died)
    assert results[1].exitcode == -signal.SIGKILL
    for error in (results[0], results[2]):
        assert isinstance(error, comm.PeerLost), error
        assert error.rank == 1
        assert "barrier() at" in error.last_op


def stops(group, came, noticed):
    """Rank 1 stops; rank 0 lets it go on once all others have noticed."""
    pids = group.all_gather_object(os.getpid())
    if group.rank == 1:
        until_told(came, 2)
        os.kill(os.getpid(), signal.SIGSTOP)
        return None
    tell(came, group.rank)
    error = caught(lambda: group.all_reduce(np.ones(3)))
    tell(noticed, group.rank)
    if group.rank == 0:
        until_told(noticed, 2)
        os.kill(pids[1], signal.SIGCONT)
    return error


@pytest.mark.parametrize("kind", ["processes", "tcp"])
def test_a_stopped_rank_is_named_within_the_heartbeat_limit(kind, tmp_path):
    folders = tmp_path / "came", tmp_path / "noticed"
    for folder in folders:
        folder.mkdir()
    results = run_ranks(3, stops, kind, args=folders, heartbeat_limit=2.0)
    for error in (results[0], results[2]):
        assert isinstance(error, comm.PeerLost), error
        assert error.rank == 1
        assert error.silent_for > 1.5


def told(group, port, folder):
    if group.rank == 1:
        store = comm.StoreClient("127.0.0.1", port)
        comm.notify_death(store, 2, "killed by SIGKILL (exit code -9)")
        store.close()
    if group.rank == 2:
        until_told(folder, 2)
        return None
    error = caught(group.barrier)
    tell(folder, group.rank)
    return error


def test_the_launchers_notice_is_heard(tmp_path):
    """Rank 2 lives, but the launcher says that it does not."""
    with comm.StoreServer() as server:
        results = run_ranks(3, _own_store, "tcp", args=(server.port, tmp_path))
    for error in results[:2]:
        assert isinstance(error, comm.PeerLost), error
        assert error.rank == 2
        assert "SIGKILL" in str(error)


def _own_store(group, port, folder):
    store = comm.StoreClient("127.0.0.1", port)
    with comm.connect(comm.PrefixStore("world", store), group.rank, group.size, timeout=20) as inner:
        outcome = told(inner, port, folder)
    store.close()
    return outcome


def late(group, folder):
    group.timeout = 0.4
    if group.rank == 1:
        until_told(folder, 1)
        return None
    error = caught(lambda: group.all_reduce(np.ones(3)))
    tell(folder, 0)
    return error


@pytest.mark.parametrize("kind", KINDS)
def test_deadline_names_who_is_missing(kind, tmp_path):
    error = run_ranks(2, late, kind, args=(tmp_path,))[0]
    assert isinstance(error, comm.DeadlineExceeded)
    assert error.missing == ("rank 1",)
    assert "all_reduce did not finish within 0.4 s; still waiting for rank 1" in str(error)


def leaves(group):
    if group.rank == 0:
        return None
    return caught(lambda: group.all_reduce(np.ones(3)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_rank_that_leaves_early(kind):
    error = run_ranks(2, _leaves, kind)[1]
    assert isinstance(error, comm.CommError)
    assert "rank 0" in str(error)


def _leaves(group):
    if group.rank == 0:
        group.close()
        return None
    return leaves(group)


def splits_after_a_departure(group, early):
    """Rank 2 leaves, before or after the others have begun to wait for it in a group of some of the ranks."""
    if group.rank == 2:
        time.sleep(0.0 if early else 0.7)
        group.close()
        return None
    time.sleep(0.5 if early else 0.0)
    began = time.monotonic()

    def make_and_use():
        group.split([3, 2, 0]).barrier()

    error = caught(make_and_use) if group.rank != 1 else group.split([3, 2, 0])
    waited = time.monotonic() - began
    outcome = type(error).__name__, str(error), waited
    alive = group.split([0, 1, 3], by_members=True)
    alive.barrier()  # those that are left can go on; the parent is not broken
    return outcome


def check_splits(results):
    for name, text, waited in (results[0], results[3]):
        assert name == "GroupClosed", text
        assert "rank 2 closed the group" in text
        assert waited < 20, "a deadline, not news"
    assert results[1][0] == "NoneType"


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_group_with_a_rank_that_has_left(kind, early):
    check_splits(run_ranks(4, splits_after_a_departure, kind, args=(early,)))


def splits_on_two_hosts(group, port, early):
    os.environ["DISTTORCH_HOST_ID"] = "aabb"[group.rank]
    store = comm.StoreClient("127.0.0.1", port)
    with comm.connect(comm.PrefixStore("hosts", store), group.rank, group.size, timeout=30) as inner:
        outcome = splits_after_a_departure(inner, early)
    store.close()
    return outcome


def test_a_group_with_a_rank_that_has_left_another_host():
    with comm.StoreServer() as server:
        check_splits(run_ranks(4, splits_on_two_hosts, "tcp", args=(server.port, False)))


def again(group, port):
    store = comm.StoreClient("127.0.0.1", port)
    for attempt in range(3):
        inner = comm.connect(comm.PrefixStore(f"attempt{attempt}", store), group.rank, group.size, timeout=20)
        with pytest.raises(comm.CollectiveMismatch):
            inner.all_reduce(np.ones(3 + inner.rank))
        inner.close()
    with comm.connect(comm.PrefixStore("good", store), group.rank, group.size, timeout=20) as inner:
        total = np.ones(3)
        inner.all_reduce(total)
    store.close()
    return total[0]


@pytest.mark.parametrize("kind", KINDS)
def test_made_anew_after_failures(kind):
    with comm.StoreServer() as server:
        assert run_ranks(2, again, kind, args=(server.port,)) == [2, 2]


def raises(group):
    if group.rank == 1:
        raise KeyError("the first failure")
    group.barrier()


@pytest.mark.parametrize("kind", KINDS)
def test_run_ranks_raises_the_first_failure(kind):
    with pytest.raises(KeyError, match="the first failure") as info:
        run_ranks(3, raises, kind)
    assert "rank 1" in info.value.__notes__[0]


def hangs(group, until):
    while group.rank == 0 and time.monotonic() < until:
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_run_ranks_ends_at_its_deadline(kind):
    limit = 1.0 if kind == "threads" else 5.0
    with pytest.raises(comm.DeadlineExceeded, match="still waiting for rank 0") as info:
        run_ranks(2, hangs, kind, timeout=limit, args=(time.monotonic() + limit + 1,))
    assert "in hangs" in "".join(info.value.__notes__)


def test_closures_are_refused_for_processes():
    with pytest.raises(TypeError, match="closures are refused"):
        run_ranks(2, lambda group: None, "processes")


def test_meeting_names_who_did_not_come():
    with pytest.raises(comm.DeadlineExceeded, match="rank 1"):
        comm.connect(comm.HashStore(), 0, 2, timeout=0.2)


def test_closing_releases_a_waiting_thread():
    groups = comm.inproc_groups(2)
    outcome = []
    waiting = threading.Thread(target=lambda: outcome.append(caught(groups[0].barrier)))
    waiting.start()
    time.sleep(0.1)
    groups[0].abort("no longer wanted")
    groups[1].abort("no longer wanted")
    waiting.join(5)
    assert not waiting.is_alive()
    for group in groups:
        group.close()
        group.close()
    with pytest.raises(comm.GroupClosed):
        groups[0].barrier()


BAD = {
    "array must be a NumPy array, got list": lambda g: g.all_reduce([1.0]),
    "array must be C-contiguous": lambda g: g.all_reduce(np.ones((3, 4)).T),
    "array must be writable": lambda g: g.all_reduce(np.broadcast_to(np.ones(1), (1,))),
    "op must be one of sum, avg": lambda g: g.all_reduce(np.ones(3), "mean"),
    "op 'band' needs an integer or bool array, got float64": lambda g: g.all_reduce(np.ones(3), "band"),
    "src must be a rank between 0 and 1, got 2": lambda g: g.broadcast(np.ones(3), 2),
    "outputs must hold one array per rank": lambda g: g.all_gather([np.ones(3)], np.ones(3)),
    r"outputs\[1\] must have shape \(3,\), got \(4,\)": lambda g: g.all_gather([np.ones(3), np.ones(4)], np.ones(3)),
    r"outputs\[0\] must have dtype float64, got int64": lambda g: g.all_gather([np.ones(3, int)] * 2, np.ones(3)),
    "inputs must be given on rank 0": lambda g: g.scatter(np.ones(3), None, 0) if g.rank == 0 else g.broadcast([], 0),
    "dst must be another rank": lambda g: g.send(np.ones(3), g.rank),
    "ranks must be distinct": lambda g: g.split([0, 0]),
}


def test_bad_arguments():
    def body(group):
        for text, call in BAD.items():
            if group.rank == 0 or "on rank 0" not in text:
                with pytest.raises((TypeError, ValueError), match=text):
                    call(group)
        group.barrier()  # nothing was sent, nothing is broken

    run_ranks(2, body)


@pytest.mark.parametrize(
    "error",
    [
        comm.PeerLost(3, "node7", 5.2, "all_reduce(float32[3], op=sum) at train.py:12", "killed by SIGKILL"),
        comm.CollectiveMismatch({0: "barrier() at a.py:1", 1: "broadcast(...) at b.py:2"}),
        comm.DeadlineExceeded("all_reduce", 1800.0, ("rank 1", "rank 4")),
        comm.StoreTimeout("waiting for keys", 300.0, ("a",)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__


def test_every_error_is_exported_and_drawn():
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert getattr(comm, name) is value
            assert name in errors.__doc__
