"""Who listens to the program, and the events that a recorder keeps in memory."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .. import clock
from ..autograd.variable import Tensor


@dataclass(slots=True)
class Event:
    """One operation or range: times in nanoseconds."""

    name: str
    start: int
    end: int = 0
    inside: int = 0  # of which in events that it holds
    thread: int = 0
    shapes: tuple = ()
    kind: str = "cpu_op"


class _Open(threading.local):
    """The events that go on in a thread, the innermost last."""

    def __init__(self) -> None:
        self.stack: list[Event] = []


@dataclass
class Recorder:
    """Events in the order in which they ended."""

    kinds = ("cpu_op", "backward", "dataloader", "optimizer")  # what it listens to; see `points`
    shapes: bool = False
    events: list[Event] = field(default_factory=list)
    _open: _Open = field(default_factory=_Open)

    def begin(self, name: str, args: tuple = (), kind: str = "cpu_op") -> Event:
        shapes = tuple(a.shape for a in args if isinstance(a, Tensor)) if self.shapes else ()
        event = Event(name, clock.nanoseconds(), thread=threading.get_ident(), shapes=shapes, kind=kind)
        self._open.stack.append(event)
        return event

    def hearing(self, point: Any, function: Callable) -> Callable:
        """A point's `function`, each call of which is an event; see `points.Point`."""
        return timed(self, point, function)

    def finish(self, event: Event) -> None:
        event.end = clock.nanoseconds()
        stack = self._open.stack
        while stack.pop() is not event:
            pass  # left open by an error
        if stack:
            stack[-1].inside += event.end - event.start
        self.events.append(event)


def timed(recorder: Any, point: Any, function: Callable) -> Callable:
    """`function`, between the `begin` and the `finish` of an event of `recorder`."""

    def heard(*args, **kwargs):
        event = recorder.begin(point.describe(*args), args, point.kind)
        try:
            return function(*args, **kwargs)
        finally:
            recorder.finish(event)

    return heard


_listening: list[Any] = []


def listeners() -> list[Any]:
    """The recorders that listen now; mostly none."""
    return _listening


def listen(recorder: Any) -> None:
    """Let `recorder` hear named ranges (`begin`, `finish`) and the points of its `kinds` (`hearing`)."""
    from .points import POINTS  # here: they bring nn, optim and data, which a program may do without

    _listening.append(recorder)
    for point in POINTS:
        if point.kind in recorder.kinds:
            point.add(recorder)


def unlisten(recorder: Any) -> None:
    from .points import POINTS

    _listening.remove(recorder)
    for point in POINTS:
        if point.kind in recorder.kinds:
            point.remove(recorder)
