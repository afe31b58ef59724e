"""profile and record_function, as torch.profiler and torch.autograd.profiler have them."""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from .recording import Recorder, listen, listeners, unlisten
from .table import EventList, summed


class ProfilerActivity(Enum):
    """What is recorded. Devices' kernels are timed with the operations that start them."""

    CPU = 0
    XPU = 1
    CUDA = 2


def supported_activities() -> set[ProfilerActivity]:
    """What can be recorded."""
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """True: whoever asks wants to know whether `profile` takes a schedule and writes traces."""
    return True


class ProfilerAction(Enum):
    """What a profiler does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """Steps in turns: `wait` without recording, `warmup`, then `active` recorded ones; `repeat` turns (0: for ever)."""

    def action(step: int) -> ProfilerAction:
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        turn, place = divmod(step, wait + warmup + active)
        if (repeat and turn >= repeat) or place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if place == wait + warmup + active - 1 else ProfilerAction.RECORD

    return action


class record_function(contextlib.ContextDecorator):
    """A named range of the program: a row of its own in the profiler's table. Also a decorator."""

    def __init__(self, name: str, args: str | None = None):
        self.name = name

    def __enter__(self):
        self._events = [(r, r.begin(self.name, kind="user_annotation")) for r in listeners()]
        return self

    def __exit__(self, *error: object):
        for recorder, event in self._events:
            recorder.finish(event)

    def _recreate_cm(self):
        return record_function(self.name)


class profile:
    """Record the operations run inside `with profile() as p:`, then print `p.key_averages().table()`.

    record_shapes: keep the inputs' shapes. schedule: which steps to record (see `schedule`), counted by `step()`;
    on_trace_ready: called with the profiler when a turn of steps is complete, and at the end.
    """

    def __init__(
        self,
        activities: Iterable[ProfilerActivity] | None = None,
        *,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable | None = None,
        record_shapes: bool = False,
        enabled: bool = True,
        **settings: Any,
    ):
        self._schedule, self._on_ready, self._shapes, self._enabled = schedule, on_trace_ready, record_shapes, enabled
        self.step_num = 0
        self._recorder = Recorder(record_shapes)
        self._listens = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error: object):
        self.stop()

    def start(self) -> None:
        self._follow(self._action())

    def stop(self) -> None:
        was_on = self._listens
        self._follow(ProfilerAction.NONE)
        if was_on and self._on_ready is not None:
            self._on_ready(self)

    def step(self) -> None:
        """The next step of the schedule begins."""
        done = self._action()
        self.step_num += 1
        if done is ProfilerAction.RECORD_AND_SAVE:
            self._follow(ProfilerAction.NONE)
            if self._on_ready is not None:
                self._on_ready(self)
        before = self._listens
        self._follow(self._action())
        if self._listens and not before:
            self._recorder.events.clear()

    def _action(self) -> ProfilerAction:
        if not self._enabled:
            return ProfilerAction.NONE
        return ProfilerAction.RECORD if self._schedule is None else self._schedule(self.step_num)

    def _follow(self, action: ProfilerAction) -> None:
        wanted = action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if wanted != self._listens:
            (listen if wanted else unlisten)(self._recorder)
            self._listens = wanted

    def events(self) -> list:
        """Every event, in the order in which they ended."""
        return list(self._recorder.events)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **_: Any) -> EventList:
        """The events summed up by name."""
        return summed(self._recorder.events, group_by_input_shape)

    def table(self, *args: Any, **kwargs: Any) -> str:
        return self.key_averages().table(*args, **kwargs)

    @property
    def self_cpu_time_total(self) -> float:
        return self.key_averages().self_cpu_time_total

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write the events as a Chrome trace, which chrome://tracing and Perfetto open."""
        events = [
            {
                "ph": "X", "cat": e.kind, "name": e.name, "pid": os.getpid(), "tid": e.thread,
                "ts": e.start / 1000, "dur": (e.end - e.start) / 1000,
            }
            for e in self._recorder.events
        ]  # fmt: skip
        with open(path, "w") as file:
            json.dump({"traceEvents": events}, file)

    def __str__(self) -> str:
        return str(self.key_averages())

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapped


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable:
    """For `on_trace_ready`: each turn's trace as a file of its own in the folder `dir_name`."""

    def write(p: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        name = worker_name or f"{os.uname().nodename}_{os.getpid()}"
        p.export_chrome_trace(os.path.join(dir_name, f"{name}.{p.step_num}.pt.trace.json"))

    return write
