"""Who hears the program, side by side and one after another; and the file that a rank's events lie in."""

import itertools
import json
import os
import threading

import pytest
from disttorch.launcher.trace import read_traces

import disttorch
from disttorch import nn
from disttorch.autograd.op import Op, OpNode
from disttorch.distributed.tracing import Tracer
from disttorch.profiler import profile, record_function
from disttorch.profiler.recording import listen, timed, unlisten
from disttorch.profiler.trace_file import CHUNK, SPAN, TraceFile, end


class Listener:
    """Notes what it hears."""

    def __init__(self, *kinds):
        self.kinds, self.heard = kinds, []

    def begin(self, name, args=(), kind="user_annotation"):
        self.heard.append(name)
        return name

    def hearing(self, point, function):
        return timed(self, point, function)

    def finish(self, event):
        self.heard.append(f"end {event}")


def test_listeners_come_and_go_in_any_order():
    call, backward = Op.__call__, OpNode.backward
    one, two = Listener("cpu_op"), Listener("cpu_op", "backward")
    listen(one)
    disttorch.ones(2).sum()
    listen(two)
    disttorch.ones(2, requires_grad=True).prod().backward()
    unlisten(one)
    disttorch.ones(2, 2).cumsum(0)
    unlisten(two)
    disttorch.ones(2, 2).logsumexp(0)
    assert "aten::sum" in one.heard
    assert "aten::prod" in one.heard
    assert "aten::prod" in two.heard
    assert "aten::cumsum" in two.heard
    assert "aten::cumsum" not in one.heard
    assert "aten::logsumexp" not in two.heard
    assert "end autograd::engine::evaluate_function: ProdBackward0" in two.heard
    assert (Op.__call__, OpNode.backward) == (call, backward)


def test_named_ranges_are_heard_by_all():
    other = Listener()
    listen(other)
    try:
        with profile() as p, record_function("mine"):
            disttorch.ones(2).sum()
    finally:
        unlisten(other)
    assert other.heard == ["mine", "end mine"]
    assert {e.key for e in p.key_averages()} >= {"mine", "aten::sum"}


def test_an_error_ends_its_event():
    listener = Listener("module")
    listen(listener)
    try:
        with pytest.raises(RuntimeError):
            nn.Linear(2, 3)(disttorch.ones(5, 7))
    finally:
        unlisten(listener)
    assert listener.heard == ["Linear", "end Linear"]


def test_a_profile_shows_steps_and_batches():
    net = nn.Linear(2, 1)
    optimizer = disttorch.optim.SGD(net.parameters(), lr=0.1)
    with profile() as p:
        for x in disttorch.utils.data.DataLoader(disttorch.ones(4, 2), batch_size=2):
            net(x).sum().backward()
            optimizer.step()
    counts = {e.key: e.count for e in p.key_averages()}
    assert counts["Optimizer.step#SGD.step"] == 2
    assert counts["enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"] == 3


def read(path):
    """The labels' lines and (start, end, label) of the events of a trace file."""
    lines = [json.loads(line) for line in (path.parent / f"{path.name}.labels").read_text().splitlines()]
    (trace,) = read_traces(path.parent)
    return lines, [event[:3] for event in trace]


def test_events_of_several_threads(tmp_path):
    file = TraceFile(str(tmp_path / "0"), 0)
    step = file.label("step", "forward")
    begun = file.here.lane.begin(step)
    thread = threading.Thread(target=lambda: end(file.here.lane.begin(file.label("other", "forward"))), name="second")
    thread.start()
    thread.join()
    assert file.label("step", "forward") == step
    lines, events = read(tmp_path / "0")  # as after kill -9: nothing was flushed or closed
    assert [(bool(end), label) for _, end, label in events] == [(False, 0), (True, 1)]
    assert [line["chunk_of"] for line in lines if "chunk_of" in line] == [0, 1]
    assert [line["name"] for line in lines if "thread" in line] == ["MainThread", "second"]
    end(begun)
    file.close()
    file.close()
    end(file.here.lane.begin(step))
    _, events = read(tmp_path / "0")
    assert len(events) == 2
    assert events[0][0] <= events[1][0] <= events[1][1] <= events[0][1]


def test_a_full_file_takes_no_more(tmp_path):
    file = TraceFile(str(tmp_path / "0"), 0, max_events=1)
    room = CHUNK // SPAN.size
    for _ in range(2 * room + 1):
        end(file.here.lane.begin(file.label("step", "forward")))
    file.close()
    lines, events = read(tmp_path / "0")
    assert len(events) == room
    assert lines.count({"full": True}) == 1


def test_a_forked_process_does_not_write(tmp_path):
    file = TraceFile(str(tmp_path / "0"), 0)
    begun = file.here.lane.begin(file.label("parent", "forward"))
    child = os.fork()
    if child == 0:
        end(file.here.lane.begin(file.label("child", "forward")))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    end(begun)
    file.close()
    lines, events = read(tmp_path / "0")
    assert len(events) == 1
    assert "child" not in [line.get("name") for line in lines]


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, *, x):
        return self.two(self.one(x).tanh() * x).relu()


def test_modules_are_heard_forward_and_backward(tmp_path):
    tracer, net = Tracer(TraceFile(str(tmp_path / "0"), 0)), Nested()
    tracer.start()
    try:
        out = net(x=disttorch.ones(3, requires_grad=True)).sum()
        out.backward()
    finally:
        tracer.stop()
    net(x=disttorch.ones(3)).sum().backward()  # no longer heard
    lines, events = read(tmp_path / "0")
    labels = {line["label"]: (line["cat"], line["name"]) for line in lines if "label" in line}
    heard = [labels[label] for _, _, label in sorted(events)]
    assert heard == [
        ("forward", "Nested"), ("forward", "one (Linear)"), ("forward", "two (Linear)"), ("sweep", "backward"),
        ("backward", "SumBackward0"), ("backward", "Nested"), ("backward", "two (Linear)"), ("backward", "Nested"),
        ("backward", "one (Linear)"),
    ]  # fmt: skip
    nodes = sorted(event for event in events if labels[event[2]][0] == "backward")
    assert all(end == start for (_, end, _), (start, _, _) in itertools.pairwise(nodes))
    assert all(end for _, end, _ in events)


def test_backward_in_a_forward_and_in_a_backward(tmp_path):
    class Again(disttorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            with disttorch.enable_grad():
                nn.Tanh()(disttorch.ones(3, requires_grad=True)).sum().backward()
            return g

    tracer = Tracer(TraceFile(str(tmp_path / "0"), 0))
    before = disttorch.ones(3, requires_grad=True).exp()
    tracer.start()
    try:
        Again.apply(before).sum().backward()
    finally:
        tracer.stop()
    lines, events = read(tmp_path / "0")
    names = {line["label"]: line["name"] for line in lines if "label" in line}
    outer, inner = (
        [(start, end) for start, end, label in sorted(events) if names[label] in those]
        for those in (["AgainBackward"], ["backward", "SumBackward0", "Tanh"])
    )
    assert [names[label] for _, _, label in sorted(events)] == [
        "backward", "SumBackward0", "AgainBackward", "Tanh", "backward", "SumBackward0", "Tanh", "ExpBackward0"
    ]  # fmt: skip
    assert all(outer[0][0] < start < end < outer[0][1] for start, end in inner[2:])
    assert all(end for _, end, _ in events)


def test_a_node_that_fails_ends_its_event(tmp_path):
    class Fails(disttorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise ValueError("on purpose")

    tracer = Tracer(TraceFile(str(tmp_path / "0"), 0))
    tracer.start()
    try:
        with pytest.raises(ValueError, match="on purpose"):
            Fails.apply(disttorch.ones(3, requires_grad=True)).sum().backward()
    finally:
        tracer.stop()
    lines, events = read(tmp_path / "0")
    names = {line["label"]: line["name"] for line in lines if "label" in line}
    assert [names[label] for _, _, label in sorted(events)] == ["backward", "SumBackward0", "FailsBackward"]
    assert all(end for _, end, _ in events)
