"""TCP connections between ranks: arrays and messages whole, in order, from the group's ranks alone; and what happens
when one end goes.
"""

import contextlib
import os
import re
import signal
import socket
import struct
import threading
import time

import numpy as np
import pytest
from disttorch.comm import wire
from disttorch.comm.streams import ARRAYS, MESSAGES, STRANGERS
from disttorch.comm.tcp import STREAMED, TcpMail
from disttorch.comm.testing import Died, run_ranks
from disttorch.comm.wire import DATA, MAX_HEADER, TOKEN, Header
from disttorch.comm.zeromq import ZmqMail

from disttorch import comm

SECONDS = 20.0
SECRET = bytes(range(TOKEN))


def stream(mail, peer, data):
    """Start sending bytes of a long array, of which no message tells."""
    return mail.send(peer, Header(DATA, mail.rank, 1, 1, 1, 1 << 40), data)


def give(mail, peer, data):
    """Send what the kernel can take whole."""
    ticket = stream(mail, peer, data)
    mail.wait_ticket(ticket, SECONDS)
    assert ticket.done


def hello(rank, token=SECRET, use=ARRAYS):
    return token + struct.pack("<IB", rank, use)


def place(mail):
    return "127.0.0.1", int(mail.address.rpartition(":")[2])


def until_lost(mail, ticket):
    limit = time.monotonic() + SECONDS
    while not ticket.lost and time.monotonic() < limit:
        mail.wait_ticket(ticket, 0.05)
    assert ticket.lost
    assert not ticket.done


def noise(rank, size):
    return np.random.default_rng(rank).integers(0, 256, size, np.uint8)


@pytest.fixture
def ends():
    """The mails of two ranks that know of each other."""
    pair = [TcpMail(rank, 2, SECRET) for rank in range(2)]
    for rank, mail in enumerate(pair):
        mail.meet(rank, [mail.address for mail in pair], [f"rank {index} on host test" for index in range(2)])
    yield pair
    for mail in pair:
        mail.close()
        mail.close()


def test_both_send_more_than_the_kernel_holds(ends):
    sizes = [3_000_001, 17, 40_000_000]
    came = [[np.empty(size, np.uint8) for size in sizes] for _ in ends]

    def run(rank):
        tickets = [stream(ends[rank], 1 - rank, noise(rank, size)) for size in sizes]
        counts = [ends[rank].draw(1 - rank, out, SECONDS) for out in came[rank]]
        for ticket in tickets:
            ends[rank].wait_ticket(ticket, SECONDS)
        assert counts == sizes
        assert all(ticket.done for ticket in tickets)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    for rank in range(2):
        for size, got in zip(sizes, came[rank], strict=True):
            np.testing.assert_array_equal(got, noise(1 - rank, size))


def test_more_messages_than_the_kernel_holds(ends):
    """A sender never waits; what has not left yet does so while it waits for something itself."""
    count, sizes = 500, [0, 1, 1000, STREAMED]
    wanted = [noise(index, sizes[index % 4]) for index in range(count)]
    for index, data in enumerate(wanted):
        ends[1].send(0, Header(DATA, 1, index, 0, 0, data.size), data)
    for index, data in enumerate(wanted):
        while (message := ends[0].receive(0.001)) is None:
            assert ends[1].receive(0.001) is None
        assert message.header.number == index
        np.testing.assert_array_equal(message.data, data)
    assert [mail.dropped for mail in ends] == [0, 0]


def test_an_array_has_not_left_before_its_message(ends):
    short, long = noise(0, STREAMED), noise(1, STREAMED + 1)
    for _ in range(300):  # more than the kernel takes
        ends[0].send(1, Header(DATA, 0, 1, 0, 0, short.size), short)
    ticket = ends[0].send(1, Header(DATA, 0, 2, 0, 0, long.size), long)
    ends[0].wait_ticket(ticket, 0.2)
    assert not ticket.done
    came, limit = None, time.monotonic() + SECONDS
    while (came is None or came.header.number != 2) and time.monotonic() < limit:
        came = ends[1].receive(0.01)
        ends[0].wait_ticket(ticket, 0.001)
    ends[0].wait_ticket(ticket, SECONDS)
    assert ticket.done


STRANGE = [b"", b"GET / HTTP/1.1\r\n\r\n" * 3, hello(1, b"x" * TOKEN), hello(0), hello(2), hello(2**32 - 1)]
STRANGE += [hello(1, use=7)]


def test_strangers_are_turned_away(ends):
    strangers, door = [], place(ends[0])
    for words in STRANGE:
        strangers.append(socket.create_connection(door, SECONDS))
        strangers[-1].sendall(words)
        if not words:
            strangers[-1].shutdown(socket.SHUT_WR)
    silent = [socket.create_connection(door, SECONDS) for _ in range(STRANGERS + 5)]
    silent[-1].sendall(hello(1)[:7])
    got, wanted = np.empty(100_000, np.uint8), noise(1, 100_000)
    give(ends[1], 0, wanted)
    assert ends[0].draw(1, got, SECONDS) == wanted.size
    np.testing.assert_array_equal(got, wanted)
    late = socket.create_connection(door, SECONDS)
    late.sendall(hello(1) + b"not from rank 1")  # which has come already
    assert not ends[0].drained(1)
    for sock in [*strangers, *silent[:5], late]:
        sock.settimeout(SECONDS)
        with sock, contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""  # closed
    assert ends[0].dropped == len(STRANGE) + 5 + 1
    for sock in silent[5:]:
        sock.close()
    give(ends[1], 0, wanted[:10])
    assert ends[0].draw(1, got[:10], SECONDS) == 10
    np.testing.assert_array_equal(got[:10], wanted[:10])


def frame(head, payload=b"", claimed=None):
    return struct.pack("<II", len(head), len(payload) if claimed is None else claimed) + head + payload


GOOD = wire.encode(SECRET, Header(DATA, 1, 1, 0, 0, 3))
NONSENSE = {
    "another rank": frame(wire.encode(SECRET, Header(DATA, 0, 1, 0, 0, 3)), b"abc"),
    "another group": frame(wire.encode(b"x" * TOKEN, Header(DATA, 1, 1, 0, 0, 3)), b"abc"),
    "no header": frame(b"abc"),
    "long header": frame(bytes(MAX_HEADER + 1)),
    "long payload": frame(GOOD, b"abc", STREAMED + 1),
    "other payload": frame(GOOD, b"abcd"),
    "noise": bytes(range(256)) * 10,
}


@pytest.mark.parametrize("words", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_ends_a_connection(ends, words):
    with socket.create_connection(place(ends[0]), SECONDS) as rogue:
        rogue.sendall(hello(1, use=MESSAGES) + frame(GOOD, b"abc") + words + frame(GOOD, b"abc"))
        came, limit = [], time.monotonic() + SECONDS
        while not ends[0].dropped and time.monotonic() < limit:
            came.append(ends[0].receive(0.1))
        came += [ends[0].receive(0.0), ends[0].receive(0.05)]
    good, news = [message for message in came if message]
    assert good.data.tobytes() == b"abc"
    assert (news.header.kind, news.header.sender) == (wire.NONSENSE, 1)
    assert b"rank 1 on host test sent what is no message" in news.header.place
    assert ends[0].dropped == 1


def say_nonsense(mail, peer):
    """Send bytes that are no message where messages go."""
    with mail._sending:
        mail._out(peer, MESSAGES).post(b"GET / HTTP/1.1\r\n\r\n")


def met_with_nonsense(group, act):
    """Rank 1 talks nonsense to rank 0 before it goes on."""
    group.barrier()
    if group.rank == 1:
        for peer in (0, 2):
            group.recv(np.empty(1), peer)  # both have left the barrier
        say_nonsense(group._engine.mailbox.mail, 0)
    else:
        group.send(np.ones(1), 1)
    array, began = np.ones(3 if act == "short" else 300_000), time.monotonic()
    error = caught(lambda: [group.all_reduce(array), group.barrier()])  # rank 1 may have all it needs for the first
    return type(error).__name__, str(error), time.monotonic() - began


@pytest.mark.parametrize("act", ["short", "long"])
def test_a_rank_that_talks_nonsense_is_named(act):
    for name, text, seconds in run_ranks(3, met_with_nonsense, "tcp", args=(act,)):
        assert name == "MessageError", text
        assert re.search(r"rank 1 on host \S+ sent what is no message of this group to tcp://.*: a message of \d", text)
        assert seconds < 10, "a deadline, not news"


def test_a_rank_may_introduce_itself_slowly(ends):
    words = hello(1) + b"abc"
    with socket.create_connection(place(ends[0]), SECONDS) as slow:
        got = np.empty(3, np.uint8)
        for at in range(0, len(words), 5):
            assert ends[0].draw(1, got, 0.02) == 0
            slow.sendall(words[at : at + 5])
        assert ends[0].draw(1, got, SECONDS) == 3
        assert got.tobytes() == b"abc"


def test_a_message_may_come_slowly(ends):
    words = hello(1, use=MESSAGES) + frame(GOOD, b"abc") * 2
    with socket.create_connection(place(ends[0]), SECONDS) as slow:
        came = []
        for at in range(0, len(words), 5):
            slow.sendall(words[at : at + 5])
            came.append(ends[0].receive(0.02))
        while sum(message is not None for message in came) < 2:
            came.append(ends[0].receive(SECONDS))
    assert [message.data.tobytes() for message in came if message] == [b"abc"] * 2


def test_a_trickle_does_not_outlast_the_limit(ends):
    """Waits look at their deadlines even where something always moves."""
    begun, done = threading.Event(), threading.Event()

    def trickle():
        with socket.create_connection(place(ends[0]), SECONDS) as slow:
            slow.sendall(hello(1))
            while not done.wait(0.01):
                slow.sendall(b"a")
                begun.set()

    thread = threading.Thread(target=trickle)
    thread.start()
    assert begun.wait(SECONDS)
    came = ends[0].draw(1, np.empty(1_000_000, np.uint8), 0.3)
    done.set()
    thread.join(SECONDS)
    assert 0 < came < 1000


def test_ends(ends):
    ticket = stream(ends[0], 1, noise(0, 40_000_000))
    ends[0].wait_ticket(ticket, 0.1)
    assert not ticket.done
    ends[1].draw(0, np.empty(1000, np.uint8), SECONDS)
    ends[1].close()
    until_lost(ends[0], ticket)
    assert stream(ends[0], 1, noise(0, 10)).lost
    began = time.monotonic()
    ends[0].wait_ticket(ticket, 0.1)
    assert ends[0].draw(1, np.empty(10, np.uint8), 0.1) == 0  # it never sent, and cannot be reached
    assert ends[0].receive(0.1) is None
    assert time.monotonic() - began > 0.3, "a wait that does not wait"
    assert ends[0].drained(1)


def test_what_was_sent_before_the_end_comes(ends):
    give(ends[1], 0, noise(1, 1000))
    words = [noise(index, STREAMED) for index in range(3)]
    for index, data in enumerate(words):
        ends[1].send(0, Header(DATA, 1, index, 0, 0, data.size), data)
    ends[1].close()
    got = np.empty(2000, np.uint8)
    assert ends[0].draw(1, got, 1.0) == 1000
    np.testing.assert_array_equal(got[:1000], noise(1, 1000))
    assert ends[0].drained(1)
    came, limit = [], time.monotonic() + SECONDS
    while len(came) < 3 and time.monotonic() < limit:
        message = ends[0].receive(0.1)
        came += [message] if message else []
    for message, data in zip(came, words, strict=True):
        np.testing.assert_array_equal(message.data, data)
    assert ends[0].receive(0.1) is None  # it may have met the end
    began = time.monotonic()
    assert ends[0].receive(0.1) is None
    assert time.monotonic() - began > 0.09, "an end that is read again and again"


def test_nobody_listens(ends):
    ends[1].close()
    ticket = stream(ends[0], 1, noise(0, 10))
    until_lost(ends[0], ticket)
    ends[0].send(1, Header(DATA, 0, 1))


def test_mail_streams_long_arrays_only(ends):
    short, long = noise(1, STREAMED), noise(2, STREAMED + 1)
    tickets = [
        ends[1].send(0, Header(DATA, 1, 1, 1, 0, short.size), short),
        ends[1].send(0, Header(DATA, 1, 1, 2, 0, long.size), long[:100]),
        ends[1].send(0, Header(DATA, 1, 1, 2, 100, long.size), long[100:]),
    ]
    for ticket in tickets:
        if ticket is not None:
            ends[1].wait_ticket(ticket, SECONDS)
            assert ticket.done
    came, limit = [], time.monotonic() + SECONDS
    while len(came) < 2 and time.monotonic() < limit:
        message = ends[0].receive(0.1)
        came += [message] if message else []
    first, second = came
    np.testing.assert_array_equal(first.data, short)
    assert (second.header.total, second.data.size) == (long.size, 0)
    got = np.empty_like(long)
    assert ends[0].draw(1, got, SECONDS) == long.size
    np.testing.assert_array_equal(got, long)
    assert ends[0].receive(0.05) is None
    sealed = ZmqMail(0, 2, SECRET, secret=b"s" * 32)
    assert not sealed.streams(1 << 40)
    sealed.close()


def open_connections(ports):
    """How many of this process's sockets have one of these ports at an end.

    The sockets are asked themselves: while others come and go, rows of /proc/net/tcp are read twice, or not at all.
    """
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as sock:
                count += not ports.isdisjoint(ports_of(sock))
    return count


def ports_of(sock):
    """The ports of a TCP socket's two ends."""
    found = set()
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        found.add(sock.getsockname()[1])
        with contextlib.suppress(OSError):  # it listens
            found.add(sock.getpeername()[1])
    return found


def leaves_nothing(group):
    inner = group.split([2, 0, 1])
    total = np.full(300_000, inner.rank + 1.0)
    inner.all_reduce(total)
    assert (total == 6).all()
    ports = {int(address.rpartition(":")[2]) for address in inner._engine.mailbox.mail.peers}
    during = open_connections(ports)
    inner.barrier()
    inner.close()
    return during, open_connections(ports)


def test_a_closed_group_leaves_no_connection():
    """While it lives a rank has its listener, and two connections to and from each of the others."""
    assert run_ranks(3, leaves_nothing, "tcp") == [(9, 0)] * 3


def goes_on(group):
    """Rank 0 is the first to say something in a new group, and does nothing more until the others have answered."""
    inner, answer = group.split([0, 1, 2]), np.zeros(1)
    array = np.full(STREAMED // 8, 7.0) if group.rank == 0 else np.zeros(STREAMED // 8)
    inner.broadcast(array, 0)
    for peer in (1, 2):
        if group.rank == peer:
            group.send(answer, 0)
        elif group.rank == 0:
            group.recv(answer, peer)
    return array.sum()


def test_what_was_sent_has_left_when_a_call_returns():
    assert run_ranks(3, goes_on, "tcp") == [7.0 * (STREAMED // 8)] * 3


def gives_up_first(group):
    """Rank 0 speaks to nobody in a new group, gives it up, and waits until the others know."""
    inner, answer = group.split([0, 1, 2]), np.zeros(1)
    if group.rank == 0:
        inner.abort("out of paper")
        return [group.recv(answer, peer) for peer in (1, 2)]
    error = caught(inner.barrier)
    group.send(answer, 0)
    return str(error)


def test_last_words_leave_at_once():
    peers, *texts = run_ranks(3, gives_up_first, "tcp")
    assert peers == [1, 2]
    assert all("out of paper" in text for text in texts), texts


def caught(run):
    with pytest.raises(comm.CommError) as info:
        run()
    return info.value


def fails_midway(group, op, odd, act):
    """Rank `odd` dies or gives up once the first bytes of a long array have come there."""
    group.barrier()
    mail, array = group._engine.mailbox.mail, np.ones(6_000_000)
    draw = mail.draw

    def failing(peer, out, seconds):
        draw(peer, out[:1000], seconds)
        if act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        raise comm.CommError("out of paper")

    if group.rank == odd:
        mail.draw = failing
    calls = {"all_reduce": lambda: group.all_reduce(array), "reduce": lambda: group.reduce(array, odd)}
    began = time.monotonic()
    error = caught(calls[op])
    return type(error).__name__, str(error), time.monotonic() - began


@pytest.mark.parametrize("op", ["all_reduce", "reduce"])
@pytest.mark.parametrize("odd", [0, 1])
def test_a_rank_that_dies_midway_is_named(op, odd):
    results = run_ranks(2, fails_midway, "tcp", args=(op, odd, "die"), may_die=[odd])
    assert isinstance(results[odd], Died)
    name, text, _ = results[1 - odd]
    assert name == "PeerLost"
    assert f"rank {odd} " in text


@pytest.mark.parametrize("op", ["all_reduce", "reduce"])
@pytest.mark.parametrize("odd", [0, 2])
def test_a_rank_that_gives_up_midway_is_heard(op, odd):
    results = run_ranks(3, fails_midway, "tcp", args=(op, odd, "give up"))
    for name, text, seconds in results:
        assert "out of paper" in text, (name, text)
        assert seconds < 10
