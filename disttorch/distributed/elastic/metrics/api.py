"""Metrics: a name, a value and when it was; a handler for each group of them, or the default one, takes them."""

import functools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from .... import clock


class MetricData(NamedTuple):
    """One value. timestamp: seconds since 1970."""

    timestamp: float
    group_name: str
    name: str
    value: float


class MetricsConfig:
    """Settings of a handler."""

    __slots__ = ("params",)

    def __init__(self, params: dict[str, str] | None = None):
        self.params = {} if params is None else params


class MetricHandler(ABC):
    """Takes metrics; a subclass says in `emit` what becomes of one."""

    @abstractmethod
    def emit(self, metric_data: MetricData) -> None:
        """A metric has been put."""


class ConsoleMetricHandler(MetricHandler):
    """Prints them."""

    def emit(self, metric_data: MetricData) -> None:
        at, group, name, value = metric_data
        print(f"[{at}][{group}]: {name}={value}")


class NullMetricHandler(MetricHandler):
    """Drops them."""

    def emit(self, metric_data: MetricData) -> None:
        pass


class MetricStream:
    """The metrics of a group."""

    def __init__(self, group_name: str, handler: MetricHandler):
        self.group_name, self.handler = group_name, handler

    def add_value(self, metric_name: str, metric_value: float) -> None:
        self.handler.emit(MetricData(clock.wall(), self.group_name, metric_name, metric_value))


_handlers: dict[str | None, MetricHandler] = {None: NullMetricHandler()}  # by group; None: of all others


def configure(handler: MetricHandler, group: str | None = None) -> None:
    """Let `handler` take the metrics of a group; without one those of all groups that have none."""
    _handlers[group] = handler


def getStream(group: str) -> MetricStream:
    """Where the metrics of a group go."""
    return MetricStream(group, _handlers.get(group, _handlers[None]))


def put_metric(metric_name: str, metric_value: float, metric_group: str = "torchelastic") -> None:
    """Hand a value to the group's handler."""
    getStream(metric_group).add_value(metric_name, metric_value)


def get_elapsed_time_ms(start_time_in_seconds: float) -> int:
    """Milliseconds since a time in seconds since 1970."""
    return int((clock.wall() - start_time_in_seconds) * 1000)


def _get_metric_name(fn: Callable) -> str:
    """Class.method, or the last part of the module's name and the function's."""
    name = fn.__qualname__
    return name if "." in name or not fn.__module__ else f"{fn.__module__.rpartition('.')[2]}.{name}"


def _measured(fn: Callable, name: str, group: str) -> Callable:
    @functools.wraps(fn)
    def measured(*args: Any, **kwargs: Any) -> Any:
        start, outcome = clock.wall(), "failure"
        try:
            result = fn(*args, **kwargs)
            outcome = "success"
        finally:
            put_metric(f"{name}.{outcome}", 1, group)
            put_metric(f"{name}.duration.ms", get_elapsed_time_ms(start), group)
        return result

    return measured


def prof(fn: Callable | None = None, group: str = "torchelastic") -> Callable:
    """A decorator, @prof or @prof(group=…): every call puts Class.method.success or .failure, and .duration.ms."""
    return (lambda f: _measured(f, _get_metric_name(f), group)) if fn is None else prof(group=group)(fn)


def profile(group: str = "torchelastic") -> Callable:
    """Deprecated: `prof` with names without the class."""
    warnings.warn("Deprecated, use `@prof` instead", FutureWarning, stacklevel=2)
    return lambda fn: _measured(fn, fn.__name__, group)


def publish_metric(metric_group: str, metric_name: str, metric_value: float) -> None:
    """Deprecated: `put_metric` with its arguments in another order."""
    text = "Deprecated, use `put_metric(metric_group)(metric_name, metric_value)` instead"
    warnings.warn(text, FutureWarning, stacklevel=2)
    put_metric(metric_name, metric_value, metric_group)
