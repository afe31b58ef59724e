"""The stores keep one contract; the networked one also survives strangers and dead servers."""

import contextlib
import math
import os
import subprocess
import sys
import threading
import time

import msgpack
import pytest
import zmq
from disttorch.comm import store_server

from disttorch import comm


@pytest.fixture(params=["hash", "file", "tcp", "prefix"])
def store(request, tmp_path):
    if request.param == "hash":
        yield comm.HashStore(timeout=5)
    elif request.param == "file":
        store = comm.FileStore(tmp_path / "store", 1, timeout=5)
        yield store
        store.close()
        assert not os.path.exists(tmp_path / "store")
    else:
        with comm.StoreServer() as server:
            client = comm.StoreClient("127.0.0.1", server.port, timeout=5)
            yield client if request.param == "tcp" else comm.PrefixStore("part", client)
            client.close()


def test_set_and_get(store):
    store.set("a", b"\x00bytes")
    store.set("b", "text")
    assert store.get("a") == b"\x00bytes"
    assert store.multi_get(["b", "a"]) == [b"text", b"\x00bytes"]
    assert store.num_keys() == (3 if isinstance(store, comm.FileStore) else 2)  # it counts who has opened it
    assert store.check(["a", "b"])
    assert not store.check(["a", "c"])
    assert store.delete_key("a")
    assert not store.delete_key("a")


def test_add_counts(store):
    assert [store.add("n", 2), store.add("n", -5)] == [2, -3]
    assert store.get("n") == b"-3"
    store.set("word", b"x")
    with pytest.raises(comm.StoreError, match="holds no number"):
        store.add("word", 1)


def test_several_keys_at_once(store):
    store.multi_set(["a", "b"], ["1", b"2"])
    assert store.multi_get(["b", "a"]) == [b"2", b"1"]
    assert store.exchange("a", b"3", ["b", "none", "a"]) == [b"2", b"", b"3"]
    assert {"a", "b"} <= set(store.list_keys())
    store.barrier("all", 1)


def test_queues(store):
    if isinstance(store, comm.FileStore):
        with pytest.raises(NotImplementedError, match=r"Not implemented\."):
            store.queue_push("q", "one")
        return
    store.queue_push("q", "one")
    store.queue_push("q", b"two")
    assert store.queue_len("q") == 2
    assert [store.queue_pop("q"), store.queue_pop("q", block=False)] == [b"one", b"two"]
    with pytest.raises(comm.QueueEmpty, match="queue is empty"):
        store.queue_pop("q", block=False)
    later = threading.Timer(0.1, lambda: store.queue_push("q", "three"))
    later.start()
    assert store.queue_pop("q") == b"three"
    later.join()


def test_a_store_of_ones_own():
    class Own(comm.Store):
        def append(self, key, value):
            self.appended = key, value

    own = Own()
    assert not own.has_extended_api()
    assert not comm.PrefixStore("p", own).has_extended_api()
    comm.PrefixStore("p", own).append("k", "v")
    assert own.appended == ("p/k", b"v")
    with pytest.raises(RuntimeError, match=r"Not implemented\."):
        own.multi_get(["a"])


def test_a_file_goes_with_its_last_store(tmp_path):
    one, two = (comm.FileStore(tmp_path / "f", 1) for _ in range(2))
    del one
    assert (tmp_path / "f").exists()
    del two
    assert not (tmp_path / "f").exists()


def test_compare_set(store):
    assert store.compare_set("k", b"wrong", b"new") == b"wrong"
    assert store.compare_set("k", b"", b"first") == b"first"
    assert store.compare_set("k", b"other", b"second") == b"first"
    assert store.compare_set("k", b"first", b"second") == b"second"


def test_append(store):
    store.append("log", b"one,")
    store.append("log", b"two,")
    assert store.get("log") == b"one,two,"


def test_get_waits_for_the_key(store):
    timer = threading.Timer(0.1, store.set, ["late", b"here"])
    timer.start()
    assert store.get("late") == b"here"
    timer.join()


def test_wait_ends_at_its_deadline_and_names_the_keys(store):
    store.set("there", b"")
    start = time.monotonic()
    with pytest.raises(comm.StoreTimeout, match=r"wait timeout after 200ms, keys: .*absent"):
        store.wait(["there", "absent"], 0.2)
    assert time.monotonic() - start >= 0.2


def test_a_long_wait_takes_turns(monkeypatch):
    monkeypatch.setattr(store_server, "TURN", 0.1)
    with comm.StoreServer() as server, contextlib.closing(comm.StoreClient("127.0.0.1", server.port)) as client:
        threading.Timer(0.5, client.set, ("late", b"1")).start()
        assert client.multi_get(["late"], 20.0) == [b"1"]
        with pytest.raises(comm.StoreTimeout, match="wait timeout after 450ms, keys: /never"):
            client.multi_get(["late", "never"], 0.45)


def test_a_server_that_goes_is_missed_by_who_waits(monkeypatch):
    monkeypatch.setattr(store_server, "TURN", 0.2)
    monkeypatch.setattr(store_server, "ANSWER", 0.5)
    server = comm.StoreServer()
    with contextlib.closing(comm.StoreClient("127.0.0.1", server.port)) as client:
        threading.Timer(0.5, server.close).start()
        began = time.monotonic()
        with pytest.raises(comm.StoreTimeout, match="did not answer: wait"):
            client.multi_get(["never"], 60.0)
        assert time.monotonic() - began < 20
    server.close()


def test_values_must_be_bytes(store):
    with pytest.raises(TypeError, match="must be bytes or str, got int"):
        store.set("k", 3)


def test_threads_share_a_client(store):
    def count():
        for _ in range(50):
            store.add("shared", 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("shared") == b"200"


def test_no_server_is_a_clear_error():
    with pytest.raises(comm.StoreTimeout, match="did not answer"):
        comm.StoreClient("127.0.0.1", 1, timeout=0.3)


def test_port_taken():
    with comm.StoreServer() as server, pytest.raises(comm.StoreError, match="has failed to listen"):
        comm.StoreServer(port=server.port)


def test_strangers_do_not_disturb():
    with comm.StoreServer() as server:
        client = comm.StoreClient("127.0.0.1", server.port, timeout=5)
        context = zmq.Context()
        stranger = context.socket(zmq.DEALER)
        stranger.connect(f"tcp://127.0.0.1:{server.port}")
        for junk in (b"", b"\xc1", b"\x93\x01\xa3set\x01", os.urandom(100), b"\x92\x01\xa4wait", b"\x91\x91"):
            stranger.send(junk)
            stranger.send_multipart([junk, junk])
        client.set("k", b"v")
        assert client.get("k") == b"v"
        deadline = time.monotonic() + 5
        while server.dropped < 12 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.dropped == 12
        context.destroy(linger=0)
        client.close()


def test_odd_waits_do_not_disturb():
    """Keys that are no text, and limits that are no number, of requests that are otherwise good."""
    odd = [[["missing", ["x"]], 0.05], [["missing", 7], 9.0], ["missing", 0.05], [["missing"], math.nan], [["m"], None]]
    with comm.StoreServer() as server:
        client = comm.StoreClient("127.0.0.1", server.port, timeout=5)
        context = zmq.Context()
        stranger = context.socket(zmq.DEALER)
        stranger.connect(f"tcp://127.0.0.1:{server.port}")
        for number, arguments in enumerate(odd):
            stranger.send(msgpack.packb([number, "wait", *arguments]))
        for number in range(2):
            assert stranger.poll(5000)
            assert msgpack.unpackb(stranger.recv())[:2] == [number, False]
        client.set("missing", b"v")
        with pytest.raises(comm.StoreTimeout):
            client.get("never", 0.1)
        assert client.get("missing") == b"v"
        assert server.dropped == 3
        context.destroy(linger=0)
        client.close()


def test_secret_keeps_others_out():
    with comm.StoreServer(secret=b"s" * 32) as server:
        client = comm.StoreClient("127.0.0.1", server.port, timeout=5, secret=b"s" * 32)
        client.set("k", b"v")
        client.close()
        for wrong in (None, b"t" * 32):
            with pytest.raises(comm.StoreTimeout):
                comm.StoreClient("127.0.0.1", server.port, timeout=0.3, secret=wrong)


def test_off_loopback_needs_a_secret(monkeypatch):
    monkeypatch.delenv("DISTTORCH_JOB_SECRET", raising=False)
    with pytest.raises(comm.CommError, match="DISTTORCH_JOB_SECRET"):
        comm.StoreServer("0.0.0.0")
    monkeypatch.setenv("DISTTORCH_JOB_SECRET", "short")
    with pytest.raises(comm.CommError, match="at least 16 bytes"):
        comm.StoreServer("0.0.0.0")


def test_keys_and_numbers_of_other_types_are_refused(tmp_path):
    filed = comm.FileStore(tmp_path / "store")
    with comm.StoreServer() as server, contextlib.closing(comm.StoreClient("127.0.0.1", server.port)) as client:
        for store in (client, comm.HashStore(), filed, comm.PrefixStore("p", filed), comm.PrefixStore("p", client)):
            for call in (
                lambda s: s.set(1, b"v"), lambda s: s.get(["k"]), lambda s: s.wait("k"), lambda s: s.check("k"),
                lambda s: s.compare_set(None, b"", b"v"), lambda s: s.delete_key(b"k"), lambda s: s.add("n", "1"),
                lambda s: s.add("n", 1.5), lambda s: s.set_timeout("a"), lambda s: s.wait(["k"], "a"),
            ):  # fmt: skip
                with pytest.raises(TypeError):
                    call(store)
            with pytest.raises(comm.StoreError, match="2 keys and 1 values"):
                store.multi_set(["a", "b"], [b"v"])
            assert not store.check(["n"])
            assert not store.check(["a"])
    filed.close()


def test_a_key_with_a_value_is_no_queue():
    with comm.StoreServer() as server, contextlib.closing(comm.StoreClient("127.0.0.1", server.port)) as client:
        for store in (client, comm.HashStore(), comm.PrefixStore("p", client)):
            store.set_timeout(5)
            store.set("k", b"v")
            with pytest.raises(comm.QueueEmpty):
                store.queue_pop("k")
            store.queue_push("k", b"first")
            assert store.queue_pop("k") == b"first"


def test_a_server_that_sees_its_end_before_it_is_rung(monkeypatch):
    server = comm.StoreServer()
    stop = server._stop.set

    def stop_at_once():
        stop()
        server._thread.join(5)  # as if its thread had looked at this very moment

    monkeypatch.setattr(server._stop, "set", stop_at_once)
    server.close()
    assert not server._thread.is_alive()


IN_A_CYCLE = """
import gc
from disttorch.comm.store_server import StoreClient, StoreServer
from disttorch.distributed import TCPStore
gc.disable()
server = StoreServer()
stores = [StoreClient("127.0.0.1", server.port), TCPStore("localhost", 0, is_master=True, wait_for_workers=False)]
for store in stores:
    store.set("key", b"value")
    store.itself = store
del store, stores
gc.collect()
server.close()
print("collected")
"""


def test_stores_that_are_garbage_in_a_cycle():
    command = [sys.executable, "-c", IN_A_CYCLE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert (done.stdout, done.stderr) == ("collected\n", "")
