"""What a profiler hears: each operation, each gradient and each named range, as it begins and ends.

While nobody listens operations run as they always do: `listen` puts a timed call in the place of `Op.__call__`.
"""

import threading
from dataclasses import dataclass, field

from .. import clock
from ..autograd.op import Op, OpNode
from ..autograd.variable import Tensor


@dataclass
class Event:
    """One operation or range: times in nanoseconds."""

    name: str
    start: int
    end: int = 0
    inside: int = 0  # of which in events that it holds
    thread: int = 0
    shapes: tuple = ()
    kind: str = "cpu_op"


@dataclass
class Recorder:
    """Events in the order in which they ended."""

    shapes: bool = False
    events: list[Event] = field(default_factory=list)
    _open: threading.local = field(default_factory=threading.local)

    def begin(self, name: str, args: tuple = (), kind: str = "cpu_op") -> Event:
        shapes = tuple(a.shape for a in args if isinstance(a, Tensor)) if self.shapes else ()
        event = Event(name, clock.nanoseconds(), thread=threading.get_ident(), shapes=shapes, kind=kind)
        self._stack().append(event)
        return event

    def finish(self, event: Event) -> None:
        event.end = clock.nanoseconds()
        stack = self._stack()
        while stack.pop() is not event:
            pass  # left open by an error
        if stack:
            stack[-1].inside += event.end - event.start
        self.events.append(event)

    def _stack(self) -> list[Event]:
        if not hasattr(self._open, "stack"):
            self._open.stack = []
        return self._open.stack


_listening: list[Recorder] = []
_plain_call, _plain_backward = Op.__call__, OpNode.backward


def current() -> Recorder | None:
    """The recorder that listens, if any."""
    return _listening[-1] if _listening else None


def _timed_call(op: Op, *args):
    recorder = current()
    event = recorder.begin(_shown(op.node_type.__name__), args)
    try:
        return _plain_call(op, *args)
    finally:
        recorder.finish(event)


def _timed_backward(node: OpNode, grads: tuple):
    recorder = current()
    event = recorder.begin(f"autograd::engine::evaluate_function: {type(node).__name__}", grads)
    try:
        return _plain_backward(node, grads)
    finally:
        recorder.finish(event)


def _shown(node: str) -> str:
    """MaxPool2DWithIndicesBackward0 -> aten::MaxPool2DWithIndices, AddBackward0 -> aten::add."""
    name = node.partition("Backward")[0]
    return "aten::" + (name.lower() if name[1:].islower() else name)


def listen(recorder: Recorder) -> None:
    _listening.append(recorder)
    Op.__call__, OpNode.backward = _timed_call, _timed_backward


def unlisten(recorder: Recorder) -> None:
    _listening.remove(recorder)
    if not _listening:
        Op.__call__, OpNode.backward = _plain_call, _plain_backward
