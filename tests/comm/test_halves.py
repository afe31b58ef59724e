"""A message that its receiver and its sender copy together arrives whole, whoever is quicker, and if one dies."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from disttorch.comm import clock, halves, rings, windows
from disttorch.comm.board import DISTANT
from disttorch.comm.halves import SIZE, Halves
from disttorch.comm.testing import Died, run_ranks
from disttorch.comm.windows import DistantWindow

from disttorch import comm
from disttorch.kernels.blas import address
from reaching import reaching

pytestmark = reaching
PIECE = 4096  # bytes, instead of 512 KB


def nothing(*arguments):
    pass


@pytest.fixture
def sides(monkeypatch):
    """Receiver and sender of one direction, in this process, with short pieces."""
    monkeypatch.setattr(halves, "PIECE", PIECE)
    words = memoryview(bytearray(SIZE)).cast("Q")
    return Halves(words, 0), Halves(words, 0)


def window(array, slow=0.0):
    """A window on an array of this process; every copy takes `slow` seconds more."""
    seen = DistantWindow(os.getpid(), array.__array_interface__["data"][0], array.dtype, array.size, None, nothing)
    move = seen._move

    def moving(how, low, out):
        time.sleep(slow)
        move(how, low, out)

    seen._move = moving
    return seen


def place(array):
    """Where the other side finds an array."""
    return DISTANT, 0, 0, address(array)


def at(where):
    """A window on the array at `where`, of unknown length."""
    return DistantWindow(os.getpid(), where[3], np.dtype(np.uint8), 0, None, nothing)


def data(number, size):
    return np.random.default_rng(number).integers(0, 256, size, np.uint8)


@pytest.mark.parametrize(("slow", "rounds"), [(0.0, 300), (0.002, 10)])
def test_each_piece_is_copied(sides, slow, rounds):
    """Many arrays one after another, with a thread that helps with each as soon as it is offered."""
    receiver, sender = sides
    arrays = [data(number, PIECE * (2 + number % 9) + number % 3) for number in range(1, rounds + 1)]
    done = 0

    def serve():
        for number, array in enumerate(arrays, 1):
            while not sender.wanted(number) and done < number:
                clock.give_way()
            sender.help(number, at, array)

    helper = threading.Thread(target=serve)
    helper.start()
    try:
        for number, array in enumerate(arrays, 1):
            out = np.zeros_like(array)
            receiver.receive(number, window(array, slow), out, place(out), nothing, clock.give_way)
            done = number
            np.testing.assert_array_equal(out, array)
    finally:
        done = rounds
        helper.join(20)
    assert not helper.is_alive()


def test_who_is_not_waited_for_copies_nothing(sides):
    receiver, sender = sides
    array = data(0, 10 * PIECE)
    out = np.zeros_like(array)
    receiver.receive(5, window(array), out, place(out), nothing, pytest.fail)
    np.testing.assert_array_equal(out, array)
    assert not sender.wanted(5)
    out[...] = 0
    sender.help(5, at, array)
    assert not out.any()


def test_an_array_is_helped_with_once(sides):
    receiver, sender = sides
    array, out = data(0, 4 * PIECE), np.zeros(4 * PIECE, np.uint8)
    asked = []

    def ring():
        asked.append(sender.wanted(1))
        sender.help(1, at, array)
        asked.append(sender.wanted(1))

    seen = window(array)
    seen._move = lambda *arguments: asked.append("read")
    receiver.receive(1, seen, out, place(out), ring, pytest.fail)
    assert asked == [True, False]  # before it has read anything itself
    np.testing.assert_array_equal(out, array)


def exchange(group):
    peer = group.rank ^ 1
    for number, size in enumerate([halves.PIECE, halves.PIECE + 1, 5 * halves.PIECE + 3, 20_000_000] * 3):
        mine, found = data(2 * number + group.rank, size), np.empty(size, np.uint8)
        if number % 3 != group.rank:  # in shared memory at the sender, at the receiver, or at both
            mine, found = group.allocate(size, np.uint8), group.allocate(size, np.uint8)
            mine[...] = data(2 * number + group.rank, size)
        if number % 2 == group.rank:
            group.send(mine, peer)
            mine[...] = 0
            group.recv(found, peer)
        else:
            group.recv(found, peer)
            group.send(mine, peer)
        np.testing.assert_array_equal(found, data(2 * number + peer, size))
    return group._p2p.mailbox.mail._to[peer]._helped


def test_messages_of_all_lengths():
    assert all(run_ranks(2, exchange, "processes"))  # each has helped with one at least


def die_helping(group):
    """Rank 0 is killed when it has claimed a piece."""
    rings.PATIENCE = 20.0
    array = np.ones(20_000_000, np.uint8)
    if group.rank == 0:
        windows.write_to = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
        group.send(array, 1)
    read = windows.read_from
    windows.read_from = lambda *arguments: (time.sleep(0.05), read(*arguments))  # something is left to help with
    start = time.monotonic()
    with pytest.raises(comm.CommError) as info:
        group.recv(array, 0)
    return type(info.value).__name__, str(info.value), time.monotonic() - start


def test_a_sender_that_dies_while_it_helps():
    dead, (kind, text, seconds) = run_ranks(2, die_helping, "processes", may_die=[0])
    assert isinstance(dead, Died)
    assert kind == "PeerLost"
    assert "rank 0" in text
    assert seconds < 15
