"""What the kernel says of TCP connections."""

import contextlib
import socket
import struct
import sys
import time

import pytest
from disttorch.comm import lines
from disttorch.comm.lines import SHORT_BUFFER, Line, ended, keep_alive, keepalive_step, unpace


def until(wanted, found, limit=10.0):
    end = time.monotonic() + limit
    while (last := found()) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return last


@pytest.fixture
def ends():
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname()) as sender:
        receiver, _ = door.accept()
        with receiver:
            yield sender, receiver


def test_a_connection_that_is_well(ends):
    line = Line()
    ends[0].sendall(b"x")
    assert [line.failure(ends[0], 0.0) for _ in range(10)] == [""] * 10
    assert ended(ends[1]) == ""


def test_one_that_is_closed_there(ends):
    ends[1].close()
    assert until("was closed", lambda: Line().failure(ends[0], 60.0)) == "was closed"


def test_one_that_is_closed_here(ends):
    ends[0].close()
    assert (Line().failure(ends[0], 0.0), ended(ends[0])) == ("", "")


def test_one_that_is_reset(ends):
    ends[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ends[1].close()
    said = until("failed: Connection reset by peer", lambda: Line().failure(ends[0], 60.0))
    assert said == "failed: Connection reset by peer"
    assert ended(ends[0]) == "ended"  # the reason is told once


def test_a_port_where_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as door:
        place = door.getsockname()
    with socket.socket() as sock:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            sock.connect(place)
        assert Line().failure(sock, 60.0).startswith(("failed: Connection refused", "ended"))


def test_who_has_no_room_is_there(ends):
    """The other end takes nothing in, and its kernel says so."""
    ends[0].setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ends[0].send(bytes(1 << 20))
    line, end = Line(), time.monotonic() + 1.0
    while time.monotonic() < end:
        assert line.failure(ends[0], 0.0) == ""
        time.sleep(0.05)


def test_silence_has_a_limit():
    line = Line()
    assert line.silent(0.01) == ""
    assert until("was not answered", lambda: line.silent(0.01)) == "was not answered"


@pytest.mark.parametrize(("silence", "step"), [(0.5, 1), (5.0, 1), (20.0, 5), (60.0, 15)])
def test_probes_end_before_the_limit(ends, silence, step):
    keep_alive(ends[0], silence)
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    idle, interval, count = (ends[0].getsockopt(socket.IPPROTO_TCP, name) for name in names)
    assert ends[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert (idle, interval, keepalive_step(silence)) == (step, step, step)
    assert idle + count * interval <= max(silence, 3)


def congested(sock, name):
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
    except OSError:  # the kernel lacks it, or this user may not choose it
        pytest.skip(f"no {name.decode()}")


@pytest.mark.parametrize(
    ("control", "near", "limited"), [(b"bbr", 10**6, True), (b"bbr", -1, False), (b"reno", 10**6, False)]
)
def test_short_connections_are_not_held_to_their_own_pace(ends, monkeypatch, control, near, limited):
    congested(ends[0], control)
    monkeypatch.setattr(lines, "NEAR", near)
    before = ends[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    unpace(ends[0])
    after = ends[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert after == (2 * SHORT_BUFFER if limited else before)


def test_systems_that_do_not_tell(ends, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    for name in ("TCP_INFO", "TCP_KEEPIDLE"):
        monkeypatch.delattr(socket, name)
    keep_alive(ends[0], 5.0)
    assert ends[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    unpace(ends[0])
    ends[1].close()
    assert (Line().failure(ends[0], 0.0), ended(ends[0])) == ("", "")
