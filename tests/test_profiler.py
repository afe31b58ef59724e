"""The profiler: rows for operations, gradients and named ranges; nothing is timed when nobody listens."""

import json

import pytest

import disttorch
from disttorch import nn, profiler
from disttorch.autograd import profiler as older
from disttorch.autograd.op import Op


def work():
    x = disttorch.ones(3, 4, requires_grad=True)
    (nn.functional.relu(x @ x.t()) * 2).sum().backward()


def names(p):
    return {row.key: row for row in p.key_averages()}


def test_operations_and_gradients_have_rows():
    before = Op.__call__
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU], record_shapes=True) as p:
        work()
        with profiler.record_function("mine"):
            work()
    assert Op.__call__ is before
    rows = names(p)
    assert rows["mine"].count == 1
    assert rows["aten::relu"].count == 2
    assert any("ReluBackward0" in name for name in rows)
    assert 0 <= rows["mine"].self_cpu_time_total <= rows["mine"].cpu_time_total
    total = sum(row.self_cpu_time_total for row in rows.values())
    assert p.self_cpu_time_total == pytest.approx(total)
    assert any(row.input_shapes == "[[3, 3]]" for row in p.key_averages(group_by_input_shape=True))


def test_operators_methods_and_indexing_have_rows():
    x = disttorch.ones(4, 4)
    before = dict(vars(disttorch.Tensor))
    with profiler.profile() as p:
        x + x, x * 2, 2 - x, x.add(x), disttorch.sub(x, 1), x.exp(), disttorch.exp(x), -x, x > 0
        x[0], x[1:], x[:, 2], x[disttorch.tensor([0, 1])]
        x += 1
        x[0] = 3
    assert dict(vars(disttorch.Tensor)) == before
    counts = {row.key: row.count for row in p.key_averages()}
    expected = {
        "add": 2,
        "mul": 1,
        "sub": 1,
        "exp": 2,
        "neg": 1,
        "gt": 1,
        "select": 2,
        "slice": 1,
        "add_": 1,
        "copy_": 1,
    }
    assert {name: counts.get(f"aten::{name}") for name in expected} == expected
    assert counts["aten::index"] >= 1
    assert counts["aten::rsub"] == 1


def test_the_table():
    with profiler.profile() as p:
        work()
    text = p.key_averages().table(sort_by="cpu_time_total", row_limit=2, max_name_column_width=20, header="Mine")
    lines = text.splitlines()
    assert lines[0] == "Mine"
    assert lines[2].split("  ")[-1].strip() == "# of Calls"
    assert len(lines) == 8
    assert lines[-1].startswith("Self CPU time total: ")
    assert str(p.key_averages()) == p.table()
    with pytest.raises(ValueError, match="cannot sort by 'size'"):
        p.table(sort_by="size")


def test_a_range_without_a_profiler_costs_nothing_and_decorates():
    @profiler.record_function("decorated")
    def function(x):
        return x + 1

    assert function(1) == 2
    with older.profile() as p:
        function(disttorch.ones(1))
    assert names(p)["decorated"].count == 1


def test_an_error_ends_the_recording():
    before = Op.__call__
    p = profiler.profile()

    @p
    def fails():
        with profiler.record_function("outer"):
            p._recorder.begin("left open")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fails()
    assert Op.__call__ is before
    assert "outer" in names(p)


def test_a_schedule(tmp_path):
    ready = []
    turns = profiler.schedule(wait=1, warmup=1, active=2, repeat=1)
    assert [turns(i).name for i in range(6)] == ["NONE", "WARMUP", "RECORD", "RECORD_AND_SAVE", "NONE", "NONE"]
    with profiler.profile(
        schedule=turns, on_trace_ready=lambda p: ready.append((p.step_num, names(p)["aten::relu"].count))
    ) as p:
        for _ in range(6):
            work()
            p.step()
    assert ready == [(4, 2)]


def test_traces(tmp_path):
    with profiler.profile(on_trace_ready=profiler.tensorboard_trace_handler(str(tmp_path / "log"), "me")) as p:
        work()
    (file,) = (tmp_path / "log").iterdir()
    events = json.loads(file.read_text())["traceEvents"]
    assert file.name == "me.0.pt.trace.json"
    assert len(events) == len(p.events())
    assert all(e["ph"] == "X" and e["dur"] >= 0 for e in events)
