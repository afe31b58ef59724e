"""Messages between hosts that do without encryption: they move while their rank does something else, in order, and
leave nothing behind.
"""

import os
import signal
import threading
import time

import numpy as np
import pytest
from disttorch.comm import attended, wire
from disttorch.comm.attended import AttendedPointToPoint
from disttorch.comm.parcels import ParcelMail
from disttorch.comm.streams import GULP, MESSAGES
from disttorch.comm.tcp import STREAMED
from disttorch.comm.testing import Died, run_ranks

from disttorch import comm

LIMIT = 20.0  # seconds
LONG = 20_000_000  # bytes: more than the kernel holds, less than what is taken in unasked


def noise(seed, size):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def until(ready):
    end = time.monotonic() + LIMIT
    while not ready() and time.monotonic() < end:
        time.sleep(0.005)
    return ready()


def caught(run):
    with pytest.raises(comm.CommError) as info:
        run()
    return info.value


def is_attended(group):
    return type(group._p2p), type(group._p2p.mailbox.mail)


def test_open_messages_go_by_tcp():
    assert run_ranks(2, is_attended, "tcp") == [(AttendedPointToPoint, ParcelMail)] * 2


def sender_is_away(group):
    """Rank 0 meets rank 1 in a collective, and does nothing for its message meanwhile."""
    if group.rank == 0:
        work = group.isend(noise(0, LONG), 1)
        group.barrier()
        return work.wait()
    got = np.empty(LONG, np.uint8)
    group.recv(got, 0)
    group.barrier()
    return (got == noise(0, LONG)).all()


def receiver_is_away(group, posted):
    """Rank 1 is in a collective until rank 0 has sent all."""
    got = np.empty(LONG, np.uint8)
    if group.rank == 0:
        group.send(noise(0, LONG), 1)
        group.barrier()
        return True
    work = group.irecv(got, 0) if posted else None
    group.barrier()
    if work is None:
        group.recv(got, 0)
    elif not until(lambda: work.ended):
        return "it did not come by itself"
    return (got == noise(0, LONG)).all()


@pytest.mark.parametrize(
    ("body", "args"), [(sender_is_away, ()), (receiver_is_away, (True,)), (receiver_is_away, (False,))]
)
def test_messages_move_while_a_rank_does_something_else(body, args):
    assert run_ranks(2, body, "tcp", args=args) == [True, True]


def both_send_first(group, size):
    got, peer = np.empty(size, np.uint8), 1 - group.rank
    for turn in range(3):
        group.send(noise(group.rank + turn, size), peer)
        group.recv(got, peer)
        assert (got == noise(peer + turn, size)).all()


@pytest.mark.parametrize("size", [0, 1, STREAMED, STREAMED + 1, 50_000_000])
def test_both_may_send_first(size):
    run_ranks(2, both_send_first, "tcp", args=(size,))


SIZES = [10, 3_000_000, 0, STREAMED, 2 * GULP, 5_000_001, 1000]


def in_any_order(group):
    """Ranks 1 and 2 send all sizes under two tags; rank 0 takes the second tag first."""
    if group.rank:
        works = [
            group.isend(noise([group.rank, tag, index], size), 0, tag)
            for index, size in enumerate(SIZES)
            for tag in (1, 2)
        ]
        return [work.wait() for work in works]
    for tag in (2, 1):
        for peer in (2, 1):
            for index, size in enumerate(SIZES):
                got = np.empty(size, np.uint8)
                assert group.recv(got, peer, tag) == peer
                assert (got == noise([peer, tag, index], size)).all(), (tag, peer, index)
    assert group._p2p._mail.busy is False
    assert group._p2p.mailbox.kept() == 0
    return True


def test_order_of_each_sender_and_tag():
    assert run_ranks(3, in_any_order, "tcp")[0]


def from_anyone(group):
    size, count = 1_000_000, 5
    if group.rank:
        for index in range(count):
            group.send(np.full(size, 10 * group.rank + index, np.uint8), 0)
        return None
    came = {1: [], 2: []}
    got = [np.empty(size, np.uint8) for _ in range(2 * count)]
    for work, array in [(group.irecv(array), array) for array in got]:
        came[work.result()].append(int(array[0]))
        assert (array == array[0]).all()
    return came


def test_from_any_source():
    assert run_ranks(3, from_anyone, "tcp")[0] == {1: [10, 11, 12, 13, 14], 2: [20, 21, 22, 23, 24]}


def several_threads(group):
    """Threads of both ranks talk beside one another, each under its own tag."""
    peer, wrong = 1 - group.rank, []

    def talk(tag):
        got = np.empty(400_000, np.uint8)
        for turn in range(10):
            work = group.irecv(got, peer, tag)
            group.send(np.full(got.size, 10 * tag + turn, np.uint8), peer, tag)
            work.wait()
            if not (got == 10 * tag + turn).all():
                wrong.append((tag, turn))

    threads = [threading.Thread(target=talk, args=(tag,), daemon=True) for tag in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    return wrong, [thread.is_alive() for thread in threads]


def test_threads_may_share_it():
    assert run_ranks(2, several_threads, "tcp") == [([], [False] * 4)] * 2


def takes_no_more(group):
    """What nobody asks for is taken in up to a limit; then its sender waits, as long as its deadline lets it."""
    size, count = 4_000_000, 30
    if group.rank == 0:
        works = [group.isend(np.full(size, index, np.uint8), 1) for index in range(count)]
        group.timeout = 0.5
        late = group.isend(np.ones(size, np.uint8), 1)
        error = caught(late.wait)
        group.timeout = LIMIT
        group.barrier()
        return (
            [work.wait(LIMIT) for work in [*works, late]] == [True] * (count + 1),
            type(error).__name__,
            error.missing,
        )
    group.barrier()
    kept = group._p2p.mailbox.kept()
    got = np.empty(size, np.uint8)
    for index in range(count):
        group.recv(got, 0)
        assert (got == index).all()
    group.recv(got, 0)
    return kept


def test_memory_does_not_grow_by_what_nobody_asks_for():
    sent, kept = run_ranks(2, takes_no_more, "tcp")
    assert sent == (True, "DeadlineExceeded", ("rank 1",))
    assert 0 < kept <= attended.UNREAD + 2 * GULP


def differs(group):
    """A long message that does not fit its receive is let through, and the next one is whole."""
    if group.rank == 0:
        group.send(np.zeros(LONG, np.uint8), 1)
        group.send(noise(0, LONG), 1)
        return None
    error = caught(lambda: group.recv(np.empty(LONG // 4, np.float32), 0))
    got = np.empty(LONG, np.uint8)
    group.recv(got, 0)
    return type(error).__name__, (got == noise(0, LONG)).all()


def test_a_long_message_of_another_type():
    assert run_ranks(2, differs, "tcp")[1] == ("CollectiveMismatch", True)


def ends_midway(group, how):
    """Rank 0 dies, stops or leaves while a long message of its is on the way."""
    first = np.ones(LONG, np.uint8)
    if group.rank == 0:
        group.send(first, 1)
        group._p2p._mail._push = group._p2p._mail.settle = lambda: 0  # so that the rest does not leave
        group.isend(np.ones(100_000_000, np.uint8), 1)
        time.sleep(0.3)
        if how != "leave":
            os.kill(os.getpid(), signal.SIGKILL)
        group.close()
        return None
    group.recv(first, 0)
    began = time.monotonic()
    error = caught(lambda: group.recv(np.empty(100_000_000, np.uint8), 0))
    return type(error).__name__, str(error), time.monotonic() - began


@pytest.mark.parametrize(("how", "name"), [("die", "PeerLost"), ("leave", "GroupClosed")])
def test_a_message_that_ends_midway(how, name):
    first, second = run_ranks(2, ends_midway, "tcp", args=(how,), may_die=[0])
    assert isinstance(first, Died) == (how == "die")
    assert second[0] == name, second
    assert "rank 0" in second[1]
    assert second[2] < 6


def closed_while_waiting(group):
    """A thread waits for a message while another closes the group."""
    inner, outcome = group.split([0, 1]), []
    work = inner.irecv(np.empty(10), 1 - group.rank)
    thread = threading.Thread(target=lambda: outcome.append(type(caught(work.wait)).__name__), daemon=True)
    thread.start()
    group.barrier()
    inner.close()
    thread.join(LIMIT)
    return outcome


def test_closing_releases_who_waits():
    assert run_ranks(2, closed_while_waiting, "tcp") == [["GroupClosed"]] * 2


def what_is_open():
    return sorted(thread.name for thread in threading.enumerate()), len(os.listdir("/proc/self/fd"))


def leaves_nothing(group):
    before = what_is_open()
    inner = group.split([1, 0])
    got = np.empty(1_000_000, np.uint8)
    work = inner.irecv(got, 1 - inner.rank)
    inner.send(np.ones(got.size, np.uint8), 1 - inner.rank)
    work.wait()
    inner.irecv(got, 1 - inner.rank)  # never comes
    during = what_is_open()
    inner.barrier()
    inner.close()
    return during != before, what_is_open() == before


def test_a_closed_group_leaves_nothing():
    assert run_ranks(2, leaves_nothing, "tcp") == [(True, True)] * 2


def last_message(group):
    """What was sent just before its sender leaves comes, long or short."""
    size = 300_000
    if group.rank == 0:
        inner = group.split([0, 1])
        inner.isend(noise(1, size), 1)
        inner.isend(noise(2, 100), 1)
        inner.close()
        group.barrier()
        return True
    inner = group.split([0, 1])
    group.barrier()
    got = np.empty(size, np.uint8), np.empty(100, np.uint8)
    for array in got:
        inner.recv(array, 0)
    return all((array == noise(seed, array.size)).all() for seed, array in enumerate(got, 1))


def test_what_was_sent_before_leaving_comes():
    assert run_ranks(2, last_message, "tcp") == [True, True]


def nonsense_between_messages(group):
    if group.rank == 1:
        group.send(np.ones(3), 0)
        mail = group._p2p._mail
        with mail._sending:
            mail._out(0, MESSAGES).post(b"GET / HTTP/1.1\r\n\r\n")
        error = caught(lambda: group.send(np.ones(LONG), 0))
        group.barrier()
        return type(error).__name__, "rank 1 on host " in str(error)
    got = np.empty(3)
    group.recv(got, 1)
    errors = [caught(lambda src=src: group.recv(got, src)) for src in (1, None)]
    group.barrier()
    return [(type(error).__name__, "rank 1 on host " in str(error)) for error in errors], got.sum()


def test_nonsense_is_raised_at_both_ends():
    error = "MessageError", True
    assert run_ranks(2, nonsense_between_messages, "tcp") == [([error] * 2, 3.0), error]


TOKEN = b"t" * wire.TOKEN


@pytest.mark.parametrize("total", [4, STREAMED, 1 << 61])
def test_a_message_must_be_whole(total):
    """Claims are not believed: neither of short messages that are longer than what came, nor of long ones."""
    mails = [ParcelMail(rank, 2, TOKEN) for rank in range(2)]
    for rank, mail in enumerate(mails):
        mail.meet(rank, [mail.address for mail in mails], ["rank 0", "rank 1"])
    mails[0]._post(1, wire.Header(wire.DATA, 0, 1, 0, 0, total), np.ones(3, np.uint8))
    message = None
    end = time.monotonic() + LIMIT
    while message is None and time.monotonic() < end:
        mails[0].move(())
        mails[1].move(mails[1].wait(mails[1].interests(), 0.1))
        message = mails[1].receive(0.0)
    assert message.header.kind == wire.NONSENSE
    assert mails[1].dropped == 1
    for mail in mails:
        mail.close()
