"""init_process_group's ways of meeting, and the stores."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from disttorch.comm import StoreServer

import disttorch
import disttorch.distributed as dist
import spawned
from disttorch import multiprocessing as mp
from disttorch.distributed import rank_scope
from launching import free_port


def meet(n, **settings):
    """n threads, each a rank, that meet and add up their ranks; what each found, or its error."""
    found = [None] * n

    def body(rank):
        with rank_scope():
            try:
                each = {k: v(rank) if callable(v) else v for k, v in settings.items()}
                dist.init_process_group(rank=rank, world_size=n, timeout=timedelta(seconds=20), **each)
                try:
                    x = disttorch.ones(1) * rank
                    dist.all_reduce(x)
                    found[rank] = x.item()
                finally:
                    dist.barrier()
                    dist.destroy_process_group()
                    assert not dist.is_initialized()
            except Exception as error:
                found[rank] = error

    threads = [threading.Thread(target=body, args=(r,)) for r in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_tcp():
    assert meet(3, init_method=f"tcp://127.0.0.1:{free_port()}", backend="gloo") == [3, 3, 3]


def test_tcp_where_the_launcher_serves(monkeypatch):
    """A script that names MASTER_ADDR and MASTER_PORT itself: its rank 0 is a client like the others."""
    with StoreServer() as server:
        monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
        monkeypatch.setenv("MASTER_PORT", str(server.port))
        assert meet(2, init_method=f"tcp://127.0.0.1:{server.port}", backend="gloo") == [1, 1]


def test_file(tmp_path):
    assert meet(2, init_method=f"file://{tmp_path}/meet") == [1, 1]


def test_store(tmp_path):
    assert meet(2, store=lambda rank: dist.FileStore(str(tmp_path / "store"), 2)) == [1, 1]


def test_a_hash_store():
    store = dist.HashStore()
    assert meet(2, store=store) == [1, 1]


@pytest.mark.parametrize("where", ["environment", "tcp"])
def test_processes_meet(where):
    port = free_port()
    out = disttorch.zeros(2).share_memory_()
    mp.start_processes(spawned.meet, (where, port, out), nprocs=2, start_method="fork")
    assert out.tolist() == [3, 3]


def test_a_group_can_be_made_again():
    ports: set[int] = set()
    while len(ports) < 2:
        ports.add(free_port())
    out = disttorch.zeros(2).share_memory_()
    mp.start_processes(spawned.meet_twice, (list(ports), out), nprocs=2, start_method="fork")
    assert out.tolist() == [2, 2]


# -- errors -----------------------------------------------------------------------------------------------------------
def test_missing_environment(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="environment variable RANK expected, but not set"):
        dist.init_process_group("gloo")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="environment variable WORLD_SIZE expected"):
        dist.init_process_group("gloo")


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"backend": "nonsense"}, ValueError, "Invalid backend: 'nonsense'"),
        ({"init_method": "tcp://localhost:1"}, ValueError, "rank parameter missing"),
        ({"init_method": "tcp://localhost:1", "rank": 0}, ValueError, "world size parameter missing"),
        ({"init_method": "tcp://localhost", "rank": 0, "world_size": 1}, ValueError, "port number missing"),
        ({"init_method": "http://x", "rank": 0, "world_size": 1}, RuntimeError, "No rendezvous handler for http://"),
        ({"init_method": "env://", "store": 1}, AssertionError, "Cannot specify both init_method and store"),
        ({"store": 1}, AssertionError, "world_size must be positive and rank must be non-negative"),
        ({"timeout": -1.0}, ValueError, "timeout must be positive"),
    ],
)
def test_wrong_settings(settings, error, text):
    with pytest.raises(error, match=text):
        dist.init_process_group(**settings)
    assert not dist.is_initialized()


def test_ranks_that_do_not_come_are_named():
    with rank_scope(), pytest.raises(dist.DistError, match="1") as caught:
        dist.init_process_group(
            init_method=f"tcp://127.0.0.1:{free_port()}", rank=0, world_size=2, timeout=timedelta(seconds=1)
        )
    assert "1 s" in str(caught.value) or "1.0 s" in str(caught.value)


LOST = """
import os, signal, sys
import disttorch.distributed as dist
from disttorch.comm import PeerLost, liveness, meeting

if os.environ["RANK"] == "1":  # hears late
    liveness.BEAT, liveness.BEATS = 0.7, 7
if os.environ["RANK"] == "2":  # dies once all have shown who they are
    meeting._Meeting._mails = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
try:
    dist.init_process_group(timeout=30)
except PeerLost as lost:
    sys.exit(10 + lost.rank)
"""


def test_the_store_stays_until_the_others_know_who_is_lost():
    """Rank 0, which has seen a rank of its host die while all came together, does not take the news with it."""
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "3"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", LOST], env={**common, "RANK": str(rank), "DISTTORCH_HOST_ID": f"host{rank % 2}"}
        )
        for rank in range(3)
    ]
    try:
        assert [process.wait(60) for process in ranks] == [12, 12, -signal.SIGKILL]
    finally:
        for process in ranks:
            process.kill()
            process.wait()


def test_twice_is_an_error():
    with rank_scope():
        dist.init_process_group(init_method=f"tcp://127.0.0.1:{free_port()}", rank=0, world_size=1)
        try:
            with pytest.raises(ValueError, match="initialize the default process group twice"):
                dist.init_process_group(init_method="tcp://127.0.0.1:1", rank=0, world_size=1)
        finally:
            dist.destroy_process_group()


# -- stores -----------------------------------------------------------------------------------------------------------
@pytest.fixture(params=["tcp", "file", "hash", "prefix"])
def store(request, tmp_path):
    if request.param == "tcp":
        made = dist.TCPStore("127.0.0.1", 0, 1, is_master=True, timeout=timedelta(seconds=5))
    elif request.param == "file":
        made = dist.FileStore(str(tmp_path / "store"), 1)
    else:
        made = dist.HashStore()
    yield dist.PrefixStore("p", made) if request.param == "prefix" else made
    made.close()


def test_a_store_keeps_values(store):
    store.set("a", "text")
    store.set("b", b"\x00\xff")
    assert store.get("a") == b"text"
    assert store.get("b") == b"\x00\xff"
    assert store.add("n", 2) == 2
    assert store.add("n", -5) == -3
    assert store.check(["a", "b"])
    assert not store.check(["a", "c"])
    store.wait(["a"])
    assert store.compare_set("a", "text", "new") == b"new"
    assert store.compare_set("a", "text", "newer") == b"new"
    assert store.delete_key("a")
    assert not store.delete_key("a")


def test_waiting_ends(store):
    with pytest.raises(dist.DistError, match="never"):
        store.wait(["never"], timedelta(seconds=0.2))
    store.set_timeout(timedelta(seconds=0.1))
    with pytest.raises(dist.DistError, match="never"):
        store.get("never")


def test_clients_of_one_server():
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    client = dist.TCPStore("127.0.0.1", server.port, is_master=False, wait_for_workers=False)
    waiting = threading.Thread(target=lambda: client.get("late"))
    waiting.start()
    server.set("late", "x")
    waiting.join(10)
    assert not waiting.is_alive()
    assert client.get("late") == b"x"
    client.close()
    server.close()


def test_workers_are_waited_for():
    port = free_port()
    stores = []

    def master():
        stores.append(dist.TCPStore("127.0.0.1", port, 2, True, timedelta(seconds=10)))

    thread = threading.Thread(target=master)
    thread.start()
    worker = dist.TCPStore("127.0.0.1", port, 2, False, timedelta(seconds=10))
    thread.join(10)
    assert len(stores) == 1
    worker.close()
    stores[0].close()


def test_a_program_with_its_own_port_serves_itself(monkeypatch):
    """Under the launcher, whose store is elsewhere."""
    port = free_port()
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("DISTTORCH_AGENT_PORT", str(port - 1))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    assert meet(2, init_method="env://") == [1, 1]
    assert os.environ["MASTER_PORT"] == str(port)
