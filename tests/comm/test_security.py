"""Strangers: what they send to a running group is dropped and counted, and changes nothing."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time

import msgpack
import numpy as np
import pytest
import zmq
from disttorch.comm import security, wire
from disttorch.comm.testing import run_ranks
from disttorch.comm.wire import DATA, Header
from disttorch.comm.zeromq import ZmqMail

from disttorch import comm

FLOOD = 10_000  # messages
LIMIT = 40.0  # seconds that the ranks may go on until so many have come


def test_derived_keys_differ_by_purpose_and_secret():
    keys = {security.derive(secret, purpose) for secret in (b"a" * 16, b"b" * 16) for purpose in ("x", "y")}
    assert len(keys) == 4
    assert security.derive(b"a" * 16, "x") == security.derive(b"a" * 16, "x")
    assert len(comm.new_secret()) == 64


def test_loopback():
    assert all(security.is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1"))
    assert not any(security.is_loopback(host) for host in ("0.0.0.0", "10.0.0.1", "::", "192.168.1.1", ""))


def exchange(group, port, watched):
    """Sums under fire; returns the bits, the number of dropped messages and the memory that was added."""
    os.environ["DISTTORCH_HOST_ID"] = "one"
    store = comm.StoreClient("127.0.0.1", port)
    with comm.connect(comm.PrefixStore("fire", store), group.rank, group.size, transport="tcp", timeout=60) as inner:
        total = (np.random.default_rng(inner.rank).standard_normal(100_000)).astype(np.float32)
        mails = inner._engine.mailbox.mail, inner._p2p.mailbox.mail
        before, end, running = memory(), time.monotonic() + LIMIT, np.ones(1)
        while running[0]:
            inner.all_reduce(total, "avg")
            into = np.empty_like(total)
            receive = inner.irecv(into, 1 - inner.rank)
            inner.send(total, 1 - inner.rank)
            receive.wait()
            running[0] = watched and sum(mail.dropped for mail in mails) < FLOOD and time.monotonic() < end
            inner.all_reduce(running, "max")
        outcome = total.tobytes(), sum(mail.dropped for mail in mails), memory() - before
    store.close()
    return outcome


def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def junk(rng):
    """A message of one to three frames that no group would write."""
    good = wire.encode(rng.randbytes(16), Header(DATA, 0, rng.randrange(100), 0, 0, 400, b"mark", b"place"))
    frame = rng.choice([rng.randbytes(rng.randrange(100)), good, good[: rng.randrange(len(good))], b"\x91" * 500])
    return [frame, rng.randbytes(rng.randrange(2000)), b"more"][: rng.randrange(1, 4)]


def test_a_flood_of_junk_changes_nothing():
    with comm.StoreServer() as server:
        calm = run_ranks(2, exchange, "tcp", args=(server.port, False))
    with comm.StoreServer() as server:
        done = threading.Event()

        def attack():
            store = comm.StoreClient("127.0.0.1", server.port)
            cards = [msgpack.unpackb(card) for card in store.multi_get(["fire/mail/0", "fire/mail/1"], 30)]
            context, rng = zmq.Context(), random.Random(1)
            sockets = []
            for address in [a for card in cards for a in card[4]]:
                sockets.append(context.socket(zmq.PUSH))
                sockets[-1].connect(address)
            while not done.is_set():
                for sock in sockets:
                    for _ in range(20):
                        try:
                            sock.send_multipart(junk(rng), zmq.DONTWAIT)
                        except zmq.Again:
                            break
                for place in targets(cards):
                    with contextlib.suppress(OSError), socket.create_connection(place, 1) as raw:
                        raw.sendall(rng.randbytes(rng.randrange(200)))
                time.sleep(0.001)
            context.destroy(linger=0)
            store.close()

        attacker = threading.Thread(target=attack)
        attacker.start()
        try:
            under_fire = run_ranks(2, exchange, "tcp", args=(server.port, True))
        finally:
            done.set()
            attacker.join()
    assert [bits for bits, _, _ in under_fire] == [bits for bits, _, _ in calm]
    assert all(dropped == 0 for _, dropped, _ in calm)
    assert sum(dropped for _, dropped, _ in under_fire) >= FLOOD
    assert all(added < 64 << 20 for _, _, added in under_fire)


def targets(cards):
    """Where both ranks hear messages and collectives."""
    return [("127.0.0.1", int(address.rsplit(":", 1)[1])) for card in cards for address in card[4]]


@pytest.mark.parametrize("wrong", [None, b"w" * 32])
def test_curve_keeps_strangers_out(wrong):
    token = b"t" * wire.TOKEN
    mine, friend, stranger = (ZmqMail(rank, 3, token, secret=s) for rank, s in enumerate([b"s" * 32] * 2 + [wrong]))
    for mail in (friend, stranger):
        mail.peers = [mine.address] * 3
    stranger.send(0, Header(DATA, 2, 1))
    friend.send(0, Header(DATA, 1, 1))
    assert mine.receive(5).header.sender == 1
    assert mine.receive(0.3) is None
    for mail in (mine, friend, stranger):
        mail.close()


def test_replays_are_dropped():
    """A message that comes twice is heard once."""
    run_ranks(2, replayed, "tcp")


def replayed(group):
    mails = group._engine.mailbox.mail, group._p2p.mailbox.mail
    sends = [mail._post for mail in mails]

    def twice(send):
        def both(peer, header, data=None):
            send(peer, header, data)
            return send(peer, header, data)

        return both

    for mail, send in zip(mails, sends, strict=True):
        mail._post = twice(send)
    for i in range(20):
        total = np.full(200_000, float(group.rank))
        group.all_reduce(total)
        assert (total == 1).all()
        group.barrier()
        into = np.empty(400_000)
        receive = group.irecv(into, 1 - group.rank)
        group.send(np.full(400_000, float(i)), 1 - group.rank)
        receive.wait()
        assert (into == i).all()
    for mail, send in zip(mails, sends, strict=True):
        mail._post = send
    assert group._engine.dropped > 0
    assert group._p2p.mailbox.mail.dropped > 0


def test_several_hosts_need_a_secret(monkeypatch):
    monkeypatch.delenv("DISTTORCH_JOB_SECRET", raising=False)
    store = comm.HashStore()
    errors = []

    def join(rank):
        try:
            comm.connect(store, rank, 2, transport="tcp", address="192.0.2.1", timeout=5)
        except comm.CommError as error:
            errors.append(error)

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 2
    assert all("DISTTORCH_JOB_SECRET" in str(error) for error in errors)


def test_shared_memory_has_no_name_and_dies_with_its_ranks():
    code = """
import os, signal
from disttorch.comm.memory import Segment
segment = Segment.create(1 << 20)
segment.bytes[:] = 1
print([name for name in os.listdir("/dev/shm") if "disttorch" in name], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == -9
    assert done.stdout.strip() == "[]"


def test_a_secret_is_bytes():
    with pytest.raises(TypeError, match="secret must be bytes, got str"):
        comm.connect(comm.HashStore(), 0, 2, secret="s" * 32)
