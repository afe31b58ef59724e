"""Collectives over messages in many pieces, whose bytes leave the sender's array only when they are received."""

import threading
from collections import deque

import numpy as np
import pytest
from disttorch.comm import exchange
from disttorch.comm.call import Call, fingerprint
from disttorch.comm.clock import Deadline
from disttorch.comm.errors import CollectiveMismatch
from disttorch.comm.exchange import MessageEngine
from disttorch.comm.transport import Mail, Mailbox, Message

LIMIT = 30.0  # seconds
PIECE = 2048  # bytes


class Ticket:
    done = False


class LateMail(Mail):
    """Mail between threads that copies a payload when it is received."""

    piece = PIECE

    def __init__(self, rank, queues):
        self.rank, self._queues = rank, queues

    def send(self, peer, header, data=None):
        ticket, (queue, changed) = Ticket(), self._queues[peer]
        with changed:
            queue.append((header, np.empty(0, np.uint8) if data is None else data, ticket))
            changed.notify()
        return ticket

    def receive(self, seconds):
        queue, changed = self._queues[self.rank]
        with changed:
            if not queue:
                changed.wait(seconds)
            if not queue:
                return None
            header, data, ticket = queue.popleft()
        message = Message(header, data.copy())
        ticket.done = True
        return message

    def wait_ticket(self, ticket, seconds):
        threading.Event().wait(0.0005)

    def close(self):
        pass


def on_all(n, act):
    """act(engine, call, deadline) for n ranks, each in a thread of its own; their results."""
    queues = [(deque(), threading.Condition()) for _ in range(n)]
    results, call = [None] * n, Call("all_reduce", fingerprint("all_reduce", None, (), "", -1), b"here")

    def run(rank):
        engine = MessageEngine(rank, n, Mailbox(LateMail(rank, queues), lambda: None))
        results[rank] = act(engine, call, Deadline(LIMIT, "the test"))

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads)
    return results


def data(rank, size, dtype=np.float32):
    return np.random.default_rng(rank).integers(-50, 50, size).astype(dtype)


@pytest.mark.parametrize("op", ["sum", "avg"])
@pytest.mark.parametrize("n", [2, 3, 9])  # the last goes round a ring
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_all_reduce(n, op, dtype):
    size = 20_000  # more than what is copied when it is sent
    total = np.sum([data(rank, size) for rank in range(n)], axis=0, dtype=np.float32)
    wanted = total / np.float32(n) if op == "avg" else total
    wanted = wanted.astype(dtype)  # whole numbers' averages lose the fraction

    def act(engine, call, deadline):
        array = data(engine.rank, size, dtype)
        for _ in range(2):  # what one operation still sends must not be mixed up with the next one's
            array[...] = data(engine.rank, size)
            engine.all_reduce(call, deadline, False, array, op)
        return array

    for got in on_all(n, act):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("n", [2, 5, 9])
def test_broadcast(n):
    def act(engine, call, deadline):
        array = data(engine.rank, 3001)
        engine.broadcast(call, deadline, False, array, 1)
        return array

    for got in on_all(n, act):
        np.testing.assert_array_equal(got, data(1, 3001))


@pytest.mark.parametrize("n", [2, 3, 9])
def test_to_and_from_one(n):
    def act(engine, call, deadline):
        me, found = engine.rank, []
        for size in (0, 5, 3001):
            mine, outs = data(me, size), [np.empty(size, np.float32) for _ in range(n)]
            engine.gather(call, deadline, False, mine, outs if me == 1 else [], 1)
            if me == 1:
                assert all((out == data(rank, size)).all() for rank, out in enumerate(outs))
            engine.scatter(call, deadline, False, mine, outs if me == 1 else [], 1)
            np.testing.assert_array_equal(mine, data(me, size))
            engine.reduce(call, deadline, False, mine, 0, "max")
            wanted = np.max([data(rank, size) for rank in range(n)], axis=0) if me == 0 else data(me, size)
            np.testing.assert_array_equal(mine, wanted)
            engine.barrier(call, deadline, False)
            found.append(size)
        return found

    assert on_all(n, act) == [[0, 5, 3001]] * n


@pytest.mark.parametrize("n", [2, 3, 9])
def test_all_to_all_of_uneven_parts(n):
    def act(engine, call, deadline):
        me = engine.rank
        outs = [np.empty(100 * (rank + 2 * me), np.float32) for rank in range(n)]
        engine.all_to_all(call, deadline, False, outs, [data(me, 100 * (me + 2 * rank)) for rank in range(n)])
        return all((out == data(rank, 100 * (rank + 2 * me))).all() for rank, out in enumerate(outs))

    assert on_all(n, act) == [True] * n


def test_sizes_that_differ_are_seen_by_all_before_anyone_returns():
    """Rank 2 alone expects what rank 0 does not send; what the others have sent one another is as they expect."""

    def act(engine, call, deadline):
        parts = [np.ones(4000, np.float32) for _ in range(3)]
        outs = [np.empty(4000 - (engine.rank == 2 and rank == 0), np.float32) for rank in range(3)]
        with pytest.raises(CollectiveMismatch) as info:
            engine.all_to_all(call, deadline, False, outs, parts)
        return str(info.value)

    for text in on_all(3, act):
        assert "rank 0 sends 4000 elements to rank 2, which expects 3999" in text
        assert all(f"rank {rank}: " in text for rank in range(3))


def test_a_part_goes_on_before_all_of_it_has_come(monkeypatch):
    """In a tree of 4 ranks, rank 3 hears from rank 2 while rank 2 waits for the rest."""
    heard, begun = threading.Event(), MessageEngine._next

    def slow(engine, call, deadline, peer, offset, size):
        if size and engine.rank == 2 and offset == PIECE:
            assert heard.wait(LIMIT)
        payload = begun(engine, call, deadline, peer, offset, size)
        if size and engine.rank == 3:
            heard.set()
        return payload

    monkeypatch.setattr(exchange.MessageEngine, "_next", slow)

    def act(engine, call, deadline):
        array = data(engine.rank, 3001)
        engine.broadcast(call, deadline, False, array, 0)
        return array

    for got in on_all(4, act):
        np.testing.assert_array_equal(got, data(0, 3001))
