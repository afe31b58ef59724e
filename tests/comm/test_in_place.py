"""Processes of one host read one another's arrays where they lie; the same bits come out where they may not."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from disttorch.comm import memory, security
from disttorch.comm.board import REACH
from disttorch.comm.clock import spawn
from disttorch.comm.rings import CAPACITY, SHORT, RingMail
from disttorch.comm.testing import run_ranks
from disttorch.comm.windows import Window

from disttorch import comm
from reaching import reaching, siblings_can_read

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
LONG = 700_001  # elements: more than a staging area holds of float64, and no multiple of anything


def numbers(rank, size=LONG):
    return np.random.default_rng(rank).standard_normal(size)


def every_collective(group, in_place, shared=()):
    """shared: the ranks whose long arrays lie in shared memory."""
    board, n, rank = group._engine.board, group.size, group.rank

    def put(array):
        if rank not in shared:
            return array
        copy = group.allocate(array.size, array.dtype)
        copy[...] = array
        return copy

    assert board.open()
    if not in_place:
        group.barrier()
        board._words[board._flags[rank] + REACH // 8] = 0
        group.barrier()
        board._open = False
        assert board.locate(numbers(rank).__array_interface__["data"][0], 8 * LONG) is None
    total, most, least = put(numbers(rank)), put(numbers(rank)), put(numbers(rank))
    group.all_reduce(total)
    group.reduce(most, n - 1, "max")
    group.broadcast(least, 1)
    outs = [put(np.empty(LONG)) for _ in range(n)]
    group.all_gather(outs, put(numbers(rank)))
    mine = put(np.empty(LONG))
    group.scatter(mine, [put(numbers(10 + r)) for r in range(n)] if rank == 0 else None, 0)
    part = put(np.empty(LONG))
    group.reduce_scatter(part, [put(numbers(100 * rank + r)) for r in range(n)], "avg")
    sizes = [[LONG // (1 + s + r) * (s != r) for r in range(n)] for s in range(n)]
    takes = [put(np.empty(sizes[s][rank])) for s in range(n)]
    group.all_to_all(takes, [put(numbers(rank, size)) for size in sizes[rank]])
    stacked = [put(np.empty(LONG)) for _ in range(n)] if rank == n - 1 else None
    group.gather(put(numbers(rank)), stacked, n - 1)
    return total, most, least, outs, mine, part, takes, stacked or []


def assert_same(found, expected):
    """What `every_collective` returned on one rank has the same bits."""
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True) if isinstance(one, list) else [(one, other)]:
            np.testing.assert_array_equal(a, b)


@reaching
@pytest.mark.parametrize("n", [2, 3])
def test_same_bits_in_place_and_staged(n):
    direct = run_ranks(n, every_collective, "processes", args=(True,))
    staged = run_ranks(n, every_collective, "processes", args=(False,))
    expected = numbers(0)
    for rank in range(1, n):
        expected = expected + numbers(rank)
    for rank, (here, there) in enumerate(zip(direct, staged, strict=True)):
        np.testing.assert_array_equal(here[0], expected)
        np.testing.assert_array_equal(here[2], numbers(1))
        for sender, gathered in enumerate(here[3]):
            np.testing.assert_array_equal(gathered, numbers(sender))
        np.testing.assert_array_equal(here[4], numbers(10 + rank))
        for sender, taken in enumerate(here[6]):
            np.testing.assert_array_equal(taken, numbers(sender, taken.size))
        assert len(here[7]) == (n if rank == n - 1 else 0)
        for sender, gathered in enumerate(here[7]):
            np.testing.assert_array_equal(gathered, numbers(sender))
        assert_same(there, here)


@reaching
@pytest.mark.parametrize("in_place", [True, False])
def test_same_bits_where_some_ranks_have_shared_memory(in_place):
    plain = run_ranks(3, every_collective, "processes", args=(True,))
    mixed = run_ranks(3, every_collective, "processes", args=(in_place, (0, 2)))
    for found, expected in zip(mixed, plain, strict=True):
        assert_same(found, expected)


def test_who_has_taken_its_part_goes_on(monkeypatch):
    """In a scatter only the root, which may write over its parts afterwards, waits until all have read."""
    gone_on, root_too = threading.Event(), threading.Event()
    is_slow, copy = threading.local(), Window.copy

    def copied(window, out, low=0):
        if hasattr(is_slow, "here"):
            assert gone_on.wait(20)
            assert not root_too.wait(0.2)
        copy(window, out, low)

    def scatter(group):
        if group.rank == 2:
            is_slow.here = True
        out = np.empty(LONG)
        group.scatter(out, [numbers(rank) for rank in range(3)] if group.rank == 0 else None, 0)
        if group.rank == 1:
            gone_on.set()
        if group.rank == 0:
            root_too.set()
        return out

    monkeypatch.setattr(Window, "copy", copied)
    for rank, out in enumerate(run_ranks(3, scatter)):
        np.testing.assert_array_equal(out, numbers(rank))


@pytest.mark.parametrize("size", [4096, 3 * memory.HUGE + 4096])
def test_segments_begin_with_a_page_and_are_zero(size):
    segment = memory.Segment.create(size)
    segment.join_pages()
    other = memory.Segment.attach(os.getpid(), segment.fd, size)
    page = memory.HUGE if size >= memory.HUGE else memory.PAGE
    assert segment.address % page == other.address % page == 0
    assert segment.bytes.size == other.bytes.size == size
    assert not segment.bytes.any()
    segment.bytes[...] = np.arange(size) % 251
    np.testing.assert_array_equal(other.bytes, np.arange(size) % 251)
    segment.close()
    np.testing.assert_array_equal(other.bytes, np.arange(size) % 251)
    other.close()


def both_send_first(group):
    assert isinstance(group._p2p.mailbox.mail, RingMail)
    peer = group.rank ^ 1
    for size in (8, SHORT, SHORT + 1, 3 * CAPACITY):
        found = np.empty(size, np.uint8)
        group.send(np.full(size, group.rank, np.uint8), peer)
        group.recv(found, peer)
        assert (found == peer).all()
        works = [group.isend(np.full(size, tag, np.uint8), peer, tag) for tag in range(5)]
        for tag in reversed(range(5)):
            group.recv(found, peer, tag)
            assert (found == tag).all()
        for work in works:
            work.wait()
    return True


def fill_the_ring(group):
    """More than a ring holds, sent before the receiver looks, and in the order of sending afterwards."""
    peer, count = group.rank ^ 1, 3 * CAPACITY // 5000
    works = [group.isend(np.full(5000, i % 251, np.uint8), peer) for i in range(count)]
    group.barrier()
    for i in range(count):
        found = np.empty(5000, np.uint8)
        group.recv(found, peer)
        assert (found == i % 251).all()
    for work in works:
        work.wait()
    return True


@reaching
@pytest.mark.parametrize("body", [both_send_first, fill_the_ring])
def test_messages_between_processes(body):
    assert run_ranks(2, body, "processes") == [True, True]


def leave_after_sending(group):
    if group.rank == 0:
        group.send(np.arange(1000.0), 1)
        return True
    found = np.empty(1000)
    group.recv(found, 0)
    return (found == np.arange(1000.0)).all()


def test_what_was_sent_before_leaving_arrives():
    assert run_ranks(2, leave_after_sending, "processes") == [True, True]


@reaching
def test_reaching_into_a_process():
    array, out = np.arange(50_000.0), np.empty(50_000)
    address = array.__array_interface__["data"][0]
    assert memory.can_read(os.getpid())
    memory.read_from(os.getpid(), address, out)
    np.testing.assert_array_equal(out, array)
    memory.write_to(os.getpid(), address, -out)
    np.testing.assert_array_equal(array, -out)
    for move in (memory.read_from, memory.write_to):
        with pytest.raises(OSError, match="Bad address"):
            move(os.getpid(), 8, out)


@pytest.mark.skipif(not YAMA.exists() or YAMA.read_text() != "1\n", reason="Yama does not keep processes apart here")
def test_yama_lets_siblings_read_what_admits_them():
    assert siblings_can_read()


def test_a_process_admits_whom_its_parent_has_started(monkeypatch):
    """What the kernel is told, here without Yama, which would hear it."""
    told = []
    libc = SimpleNamespace(prctl=lambda *arguments: told.append([getattr(a, "value", a) for a in arguments]))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: libc)
    memory.admit_siblings()
    assert told == [[int.from_bytes(b"Yama"), os.getppid(), 0, 0, 0]]
    del libc.prctl  # not on Linux
    memory.admit_siblings()


@pytest.mark.parametrize(("transport", "expected"), [("auto", 2), ("tcp", 0)])
def test_ranks_admit_their_siblings_before_they_meet(monkeypatch, transport, expected):
    admitted = []
    monkeypatch.setattr(memory, "admit_siblings", lambda: admitted.append(1))
    store = comm.HashStore()

    def rank(number):
        comm.connect(store, number, 2, transport=transport, timeout=20).close()

    threads = [spawn(lambda number=number: rank(number), f"rank{number}") for number in range(2)]
    for thread in threads:
        thread.join(30)
    assert len(admitted) == expected


def test_doing_without_a_secret_is_said_once(monkeypatch):
    security.insecure.cache_clear()
    assert not security.insecure()
    security.insecure.cache_clear()
    monkeypatch.setenv(security.OPEN_VARIABLE, "1")
    with pytest.warns(UserWarning, match="neither encrypted nor authenticated"):
        assert security.insecure()
    assert security.insecure()
    security.insecure.cache_clear()
