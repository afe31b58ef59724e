"""--trace: one timeline of all ranks, whatever end the job takes."""

import json
import os
import socket
import struct

import pytest
from disttorch.launcher.errors import UsageError
from disttorch.launcher.trace import check_trace, chrome_events, read_traces, write_trace
from disttorch.launcher.trace_nodes import answer_clocks, compare_clock, receive_files, send_files

from launching import launch, launching, write

TRAIN = """
import os, signal, sys
import disttorch as torch, disttorch.distributed as dist
from disttorch import nn
from disttorch.profiler import record_function
from disttorch.utils.data import DataLoader, TensorDataset
dist.init_process_group()
net = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2)))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
class Last(nn.Module):
    def forward(self, x):
        if sys.argv[1:] == ["die"] and dist.get_rank() == 1: os.kill(os.getpid(), signal.SIGKILL)
        return x
for x, y in DataLoader(TensorDataset(torch.ones(6, 8), torch.zeros(6, 2)), batch_size=2):
    with record_function("my range"):
        loss = (net(x) - y).square().mean()
    loss.backward(); optimizer.step(); optimizer.zero_grad()
    dist.barrier()
Last()(x)
dist.barrier()
dist.destroy_process_group()
"""


def load(path):
    """The trace's events that last, by rank."""
    events = json.loads(path.read_text())["traceEvents"]
    ranks = {event["pid"] for event in events}
    return {rank: [e for e in events if e["pid"] == rank and e["ph"] == "X"] for rank in ranks}, events


def names(events, category):
    return [event["name"] for event in events if event["cat"] == category]


def test_a_timeline_of_all_ranks(tmp_path):
    out = tmp_path / "out.json"
    all_cores = str(os.cpu_count())  # so that no thread reduces
    done = launch("--nproc-per-node", 2, "--trace", out, write(tmp_path, TRAIN), OMP_NUM_THREADS=all_cores)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"disttorch: wrote the trace {out}\n"
    assert sorted(path.name for path in tmp_path.glob("*.json*")) == ["out.json"]
    ranks, events = load(out)
    assert sorted(ranks) == [0, 1]
    for rank, mine in ranks.items():
        assert names(mine, "forward").count("module.0 (Linear)") == 3
        assert "module.2 (Linear)" in names(mine, "backward")
        assert names(mine, "sweep") == ["backward"] * 3
        assert names(mine, "optimizer") == ["Optimizer.step#SGD.step"] * 3
        fetched = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
        assert names(mine, "dataloader") == [fetched] * 4  # the last one ends the loop
        assert names(mine, "user_annotation") == ["my range"] * 3
        assert names(mine, "collective").count("barrier()") == 5  # one of them DDP's
        reductions = [e for e in mine if e["name"].startswith("all_reduce(float32[")]
        assert len(reductions) == names(mine, "collective").count("all_reduce_wait(float32[192], op=avg)") == 3
        assert reductions[0]["args"]["called at"].rpartition(":")[0].endswith("script.py")
        assert min(e["ts"] for e in mine) >= 0
        assert all(e["dur"] >= 0 for e in mine)
        assert [
            e["args"]["name"].split(" (")[0] for e in events if e["pid"] == rank and e["name"] == "process_name"
        ] == [f"rank {rank}"]
    barriers = [[e for e in ranks[rank] if e["name"] == "barrier()"] for rank in (0, 1)]
    for one, other in zip(*barriers, strict=True):  # nobody leaves a barrier before everybody has come
        assert max(one["ts"], other["ts"]) <= min(one["ts"] + one["dur"], other["ts"] + other["dur"])


def test_a_killed_rank_leaves_its_trace(tmp_path):
    out = tmp_path / "out.json"
    done = launch("--nproc-per-node", 2, "--trace", out, write(tmp_path, TRAIN), "die")
    assert done.returncode == 128 + 9
    ranks, _ = load(out)
    cut = [e["name"] for e in ranks[1] if e["args"].get("unfinished")]
    assert cut == ["Last"]
    assert names(ranks[1], "optimizer") == ["Optimizer.step#SGD.step"] * 3
    assert names(ranks[0], "optimizer") == ["Optimizer.step#SGD.step"] * 3


def test_without_it_the_program_is_as_it_was(tmp_path):
    script = write(
        tmp_path,
        """
import os, sys
import disttorch
from disttorch.autograd.op import Op
from disttorch.nn import Module
assert "DISTTORCH_TRACE" not in os.environ
assert Module.__call__.__code__.co_filename == sys.modules[Module.__module__].__file__
assert Op.record.__code__.co_filename == sys.modules[Op.__module__].__file__
assert "disttorch.profiler" not in sys.modules and "disttorch.distributed" not in sys.modules
""",
    )
    done = launch(script, DISTTORCH_TRACE="of another job")
    assert done.returncode == 0, done.stderr


def test_several_nodes(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    out = tmp_path / "out.json"
    script = write(tmp_path, TRAIN)
    common = ("--nnodes", 2, "--master-port", port, "--trace", out)
    with launching(*common, "--node-rank", 1, script) as other:
        done = launch(*common, "--node-rank", 0, script)
        _, errors = other.communicate(timeout=20)
        assert (done.returncode, other.returncode) == (0, 0), done.stderr + errors
    assert done.stderr == f"disttorch: wrote the trace {out}\n"
    assert errors == ""
    ranks, _ = load(out)
    barriers = [[e for e in ranks[rank] if e["name"] == "barrier()"] for rank in (0, 1)]
    for one, other in zip(*barriers, strict=True):
        assert max(one["ts"], other["ts"]) <= min(one["ts"] + one["dur"], other["ts"] + other["dur"]) + 1000


def test_a_script_without_python_leaves_nothing(tmp_path):
    done = launch("--trace", tmp_path / "out.json", "--no-python", "true")
    assert done.returncode == 0
    assert done.stderr == "disttorch: no trace was written: no worker has recorded anything\n"
    assert not (tmp_path / "out.json").exists()


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        check_trace(str(tmp_path))
    with pytest.raises(UsageError, match="there is no folder"):
        check_trace(str(tmp_path / "no" / "out.json"))


SPANS, TURNS = {"chunk_of": 0, "lane": 0, "record": "<qqq"}, {"chunk_of": 0, "lane": 1, "record": "<qq"}


def leave(folder, rank, events, *lines):
    """A rank's files, as `disttorch.profiler.trace_file` writes them."""
    first = {"rank": rank, "host": "h", "pid": 1, "chunk": 96}
    label = {"label": 0, "name": "step", "cat": "forward", "args": {}}
    thread = {"thread": 0, "name": "MainThread"}
    text = "".join(json.dumps(line) + "\n" for line in (first, label, thread, SPANS, *lines))
    (folder / f"{rank}.labels").write_text(text)
    (folder / f"{rank}.events").write_bytes(b"".join(struct.pack(f"<{len(event)}q", *event) for event in events))


def test_clocks_are_shifted_and_cut_events_last_until_the_end(tmp_path):
    leave(tmp_path, 0, [(5000, 7000, 0), (6000, 0, 0), (0, 0, 0)], {"full": True})
    (trace,) = read_traces(tmp_path, shift=1000)
    assert trace.full
    lasting = [event for event in chrome_events([trace]) if event["ph"] == "X"]
    assert [(e["ts"], e["dur"], e["args"]) for e in lasting] == [(0.0, 2.0, {}), (1.0, 1.0, {"unfinished": True})]
    assert next(iter(trace))[:2] == (6000, 8000)


def test_events_of_two_words_last_until_the_next(tmp_path):
    spans, turns = [(1, 9, 0)] * 4, [(2, 0), (3, -1), (5, 0), (6, 0), (7, 0), (8, 0)]
    leave(tmp_path, 0, [*spans, *turns, *spans, (9, 0), (0, 0)], TURNS, SPANS, TURNS)
    events = list(read_traces(tmp_path)[0])
    assert [event[:2] for event in events if event[:2] != (1, 9)] == [(2, 3), (5, 6), (6, 7), (7, 8), (8, 9), (9, 0)]
    assert len(events) == 8 + 6


def test_a_half_written_label_is_no_error(tmp_path):
    leave(tmp_path, 0, [(1, 2, 0)])
    with open(tmp_path / "0.labels", "a") as file:
        file.write('{"label": 1, "na')
    (trace,) = read_traces(tmp_path)
    assert set(trace.labels) == {0}


def test_a_trace_that_cannot_be_written_leaves_the_old_one(tmp_path):
    leave(tmp_path, 0, [(1, 2, 0)])
    traces = read_traces(tmp_path)
    out = tmp_path / "out.json"
    out.write_text("old")
    os.unlink(tmp_path / "0.events")
    with pytest.raises(FileNotFoundError):
        write_trace(str(out), traces)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.labels", "out.json"]


def test_files_travel_through_the_store(tmp_path):
    from disttorch.comm import HashStore

    store = HashStore(timeout=1)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    leave(here, 3, [(1, 2, 0)])
    send_files(lambda request: request(store), here, 1, -42)
    assert receive_files(lambda request: request(store), store.get, there, 1) == -42
    assert (there / "3.events").read_bytes() == (here / "3.events").read_bytes()
    assert not store.check(["trace/file/1/0"])


def test_clocks_are_compared(monkeypatch):
    import threading

    from disttorch.comm import HashStore
    from disttorch.launcher import trace_nodes

    store = HashStore(timeout=5)
    real, ahead = trace_nodes.nanoseconds, threading.local()
    monkeypatch.setattr(trace_nodes, "nanoseconds", lambda: real() + getattr(ahead, "by", 0))
    found = []

    def node() -> None:
        ahead.by = 10**12
        found.append(compare_clock(lambda request: request(store), store.get, 1))

    thread = threading.Thread(target=node)
    thread.start()
    answer_clocks(lambda request: request(store), store.get, 2)
    thread.join(10)
    assert abs(found[0] + 10**12) < 10**8
