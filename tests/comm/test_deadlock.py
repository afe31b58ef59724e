"""Ranks that wait for one another forever are told so, soon, with everybody's wait; ranks that only wait are not."""

import io
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

import numpy as np
import pytest
import zmq
from disttorch.comm import patience
from disttorch.comm.deadlock import COLLECTIVE, JOIN, RECEIVE, SEND, Detector, State, Wait, deadlocked
from disttorch.comm.testing import run_ranks

from disttorch import comm
from launching import wait_for
from reaching import reaching

KINDS = ["threads", "processes", "tcp"]
SOON = {"threads": 2.0, "processes": 3.0, "tcp": 5.0}  # seconds; what only the group's deadline would end takes 30
LONG = 2.5  # seconds: more than it takes to find a deadlock
BIG = 3_000_000  # elements: more than is sent without its receiver

WAITS = {  # what ranks 0 and 1 do, and parts of what each is told
    "receive and receive": (
        lambda g: g.recv(np.ones(3), 1, 4),
        lambda g: g.recv(np.ones(2), 0),
        ["rank 0: receives message(float64[3]) at", "from rank 1 with tag 4", "rank 1: receives message(float64[2])"],
    ),
    "receive and barrier": (
        lambda g: g.recv(np.ones(3), 1),
        lambda g: g.barrier(),
        ["rank 0: receives message(float64[3])", "rank 1: barrier() at", "test_deadlock.py:"],
    ),
    "another tag": (
        lambda g: g.recv(np.ones(3), 1, 5),
        lambda g: (g.send(np.ones(3), 0, 7), g.barrier()),
        ["from rank 1 with tag 5 (have come unasked: tag 7 of rank 1)", "rank 1: barrier()"],
    ),
    "anyone": (
        lambda g: g.recv(np.ones(3), None),
        lambda g: g.barrier(),
        ["rank 0: receives message(float64[3])", "from rank 1 with tag 0"],
    ),
    "in the background": (
        lambda g: g.recv(np.ones(3), 1),
        lambda g: g.all_reduce(np.ones(4), async_op=True).wait(),
        ["rank 1: all_reduce(float64[4], op=sum) at"],
    ),
    "a part of the group": (
        lambda g: g.part.all_reduce(np.ones(3)),
        lambda g: g.barrier(),
        ["rank 0: all_reduce(float64[3], op=sum) at", "in the group of ranks [1, 0]", "rank 1: barrier() at"],
    ),
}


def stuck(group, case):
    group.part = group.split([1, 0])
    group.barrier()
    time.sleep(0.3 * group.rank)
    began = time.monotonic()
    with pytest.raises(comm.Deadlock) as info:
        WAITS[case][group.rank](group)
    return time.monotonic() - began, str(info.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", WAITS)
def test_who_waits_forever_is_told(kind, case):
    for seconds, text in run_ranks(2, stuck, kind, args=(case,), timeout=60):
        assert seconds < SOON[kind]
        assert text.startswith("every rank waits for another, and nothing is on its way:")
        assert all(part in text for part in WAITS[case][2]), text


def splits_alone(group):
    with pytest.raises(comm.Deadlock) as info:
        group.split([0, 1]) if group.rank == 0 else group.barrier()
    return str(info.value)


@pytest.mark.parametrize("kind", ["processes", "tcp"])
def test_a_group_that_one_rank_alone_makes(kind):
    for text in run_ranks(3, splits_alone, kind, timeout=60):
        assert "rank 0: makes a group of ranks [0, 1] at" in text
        assert "rank 2: barrier() at" in text


def sends_before_the_others_barrier(group):
    if group.rank == 0:
        group.send(np.ones(BIG), 1)
    group.barrier()
    if group.rank == 1:
        group.recv(np.ones(BIG), 0)


@reaching
def test_a_send_that_its_receiver_does_not_wait_for():
    """In shared memory, where long arrays are read where they lie; elsewhere the message is on its way meanwhile."""
    with pytest.raises(comm.Deadlock, match=r"rank 0: sends message\(float64\[3000000\]\) at .* to rank 1\n.*barrier"):
        run_ranks(2, sends_before_the_others_barrier, "processes", timeout=60)
    assert run_ranks(2, sends_before_the_others_barrier, "tcp", timeout=60) == [None, None]


def posts_first(group):
    """A receive that is posted takes its message while its rank waits for something else."""
    part = group.split([0, 1])
    got = np.zeros(BIG)
    if group.rank == 1:
        work = group.irecv(got, 0)
        part.all_reduce(np.ones(3), async_op=True).wait()
        group.barrier()
        work.wait()
    else:
        group.send(np.ones(BIG), 1)
        part.all_reduce(np.ones(3))
        group.barrier()
    return got.sum()


def posts_and_computes(group, folder):
    """A receive that is posted takes its message while its rank does something else, until the sender has gone on."""
    gone_on, got = Path(folder) / "gone on", np.zeros(BIG)
    if group.rank == 1:
        work = group.irecv(got, 0)
        wait_for(gone_on.exists, "a sender that goes on")
        work.wait()
    else:
        group.send(np.ones(BIG), 1)
        gone_on.touch()
    group.barrier()
    return got.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sender_does_not_wait_for_who_computes(kind, tmp_path):
    assert run_ranks(2, posts_and_computes, kind, args=(str(tmp_path),), timeout=60) == [0.0, BIG]


@pytest.mark.parametrize("kind", KINDS)
def test_a_posted_receive_does_not_wait_for_its_wait(kind):
    assert run_ranks(2, posts_first, kind, timeout=60) == [0.0, BIG]


def again(group, store_port):
    store = comm.StoreClient("127.0.0.1", store_port)
    first = comm.connect(comm.PrefixStore("first", store), group.rank, 2, timeout=30)
    with pytest.raises(comm.Deadlock):
        first.recv(np.ones(1), 1 - group.rank)
    first.close()
    with comm.connect(comm.PrefixStore("second", store), group.rank, 2, timeout=30) as second:
        total = np.ones(3)
        second.all_reduce(total)
    store.close()
    return total.tolist()


def test_groups_can_be_made_anew():
    with comm.StoreServer() as server:
        assert run_ranks(2, again, "processes", args=(server.port,), timeout=60) == [[2.0] * 3] * 2


def stuck_beside_daemons(group):
    """Threads of libraries, such as pyzmq's own, which wait or draw something now and then."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        push.bind("inproc://pair")
        pull.connect("inproc://pair")
        push.send(np.ones(100_000), copy=False, track=True)
        assert len(pull.recv()) == 800_000
    threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()
    with pytest.raises(comm.Deadlock):
        group.recv(np.ones(1), 1 - group.rank)
    return [thread.name for thread in threading.enumerate() if type(thread).__module__ == "zmq.utils.garbage"]


def test_threads_of_libraries_change_nothing():
    for beside in run_ranks(2, stuck_beside_daemons, "processes", timeout=60):
        assert beside


def test_threads_that_have_ended_are_forgotten():
    (group,) = comm.inproc_groups(1)
    for _ in range(5):
        thread = threading.Thread(target=lambda: group.all_reduce(np.ones(1)))
        thread.start()
        thread.join()
    group.barrier()
    assert group.attendance._users == {threading.current_thread()}


# What is no deadlock


def waits_with_a_limit(group):
    """Both wait for each other, but rank 0 does something else after a while."""
    if group.rank == 0:
        with pytest.raises(comm.DeadlineExceeded):
            group.irecv(np.ones(3), 1).wait(LONG)
        group.send(np.ones(3), 1)
    else:
        group.recv(np.ones(3), 0)


def sends_from_another_thread(group):
    """A thread that has used no group yet sends what both wait for."""
    if group.rank == 0:
        thread = threading.Thread(target=lambda: (time.sleep(LONG), group.send(np.ones(3), 1)))
        thread.start()
        group.recv(np.ones(3), 1)
        thread.join()
    else:
        group.recv(np.ones(3), 0)
        group.send(np.ones(3), 0)


def is_fed_from_outside(group):
    """Rank 0 waits for a daemon that listens to something outside; meanwhile a collective of its own is under way."""
    if group.rank == 0:
        inbox = queue.Queue()

        def listen():
            with (
                subprocess.Popen(["sleep", str(LONG)], stdout=subprocess.PIPE) as outside,
                DefaultSelector() as selector,
            ):
                selector.register(outside.stdout, EVENT_READ)
                inbox.put(selector.select())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        work = group.all_reduce(np.ones(3), async_op=True)
        group.send(np.ones(2 + len(inbox.get())), 1)
        work.wait()
        thread.join()
    else:
        group.recv(np.ones(3), 0)
        group.all_reduce(np.ones(3))


def computes(group):
    if group.rank == 0:
        time.sleep(LONG)
    group.barrier()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", [waits_with_a_limit, sends_from_another_thread, is_fed_from_outside, computes])
def test_who_will_go_on_by_itself(kind, act):
    assert run_ranks(2, act, kind, timeout=60) == [None, None]


def state(*waits, began=0, sent=None, takes=(), moved=0):
    return State(list(waits), {"": began}, {"": sent or {}}, list(takes), moved)


def barrier(number, *others):
    return Wait(COLLECTIVE, "", list(others), "barrier", number)


def receive(src, heard=0):
    return Wait(RECEIVE, "", [src], "receives", heard=(heard,))


@pytest.mark.parametrize(
    ("states", "forever"),
    [
        ([state(barrier(1, 1), began=1), state(receive(0))], True),
        ([state(barrier(1, 1), began=1), state(barrier(1, 0), began=1)], False),  # they have come
        ([state(receive(1), sent={1: 0}), state(receive(0))], True),
        ([state(receive(1), sent={1: 3}), state(receive(0, heard=3))], True),
        ([state(receive(1), sent={1: 4}), state(receive(0, heard=3))], False),  # its message is on its way
        ([state(receive(1), barrier(1, 1), began=1), state(barrier(1, 0), began=1)], False),
        ([state(), state(receive(0))], False),  # what rank 0 waits for is not known here
        ([state(Wait(SEND, "", [1], "sends")), state(barrier(1, 0), began=1)], True),
        ([state(Wait(SEND, "", [1], "sends")), state(barrier(1, 0), began=1, takes=[""])], False),
        ([state(Wait(JOIN, "/1", [1], "makes")), state(barrier(1, 0), began=1)], True),
        ([state(Wait(JOIN, "/1", [1], "makes")), state(Wait(JOIN, "/1", [0], "makes"))], False),
        ([state(Wait(JOIN, "/1", [1], "makes")), State([barrier(1, 0)], {"": 1, "/1": 0}, {"": {}}, [], 0)], False),
    ],
)
def test_states(states, forever):
    assert deadlocked(dict(enumerate(states))) == forever


def test_two_looks_must_agree_on_states_told_anew():
    ranks = {0: state(receive(1)), 1: state(receive(0))}

    def look(*numbers, **changes):
        changed = {rank: one._replace(**changes) for rank, one in ranks.items()}
        return detector.look(dict(zip(ranks, zip(numbers, changed.values(), strict=True), strict=True)))

    detector = Detector()
    assert look(5, 5) is None
    assert look(6, 5) is None  # rank 1 may have been elsewhere since
    assert look(7, 7, moved=1) is None
    assert look(8, 8) is None
    assert look(9, 9) == {0: "receives", 1: "receives"}
    assert detector.look({0: (10, ranks[0]), 1: (10, "train.py:3")}) is None
    assert look(11, 11) is None


def test_a_long_wait_is_told(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(patience.clock, "now", lambda: now[0])
    said = {0: ("barrier()", state(barrier(3, 1, 2))), 1: ("barrier()", state(barrier(3, 0, 2))), 2: ("send", "a.py:7")}
    first, second = (patience.Patience(rank, ["one", "two", "three"]) for rank in (0, 1))
    assert first.word(said) is second.word(said) is None
    now[0] += 61
    assert second.word(said) is None  # one rank tells
    text = "rank 0 has waited for 61 s (like 1 others): barrier\n"
    text += "  rank 2 on host three is at a.py:7; its last operation: send"
    assert first.word(said) == text
    assert first.word(said) is None
    now[0] += 60
    assert "for 121 s" in first.word(said)
    assert first.word({**said, 0: ("barrier()", state(barrier(4, 1, 2)))}) is None


def long_wait(group, seconds):
    patience.FIRST, sys.stderr = 0.5, io.StringIO()
    if group.rank == 1:
        time.sleep(seconds)
    group.barrier()
    return sys.stderr.getvalue()


def test_a_long_wait_is_told_by_a_process():
    told, nothing = run_ranks(2, long_wait, "processes", args=(3.0,), timeout=60)
    assert told.startswith("disttorch: rank 0 has waited for ")
    assert "rank 1 on host" in told
    assert "test_deadlock.py:" in told
    assert not nothing
