"""Where recorders hear the program: functions that are timed while somebody listens, unchanged while nobody does."""

import functools
import inspect
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..autograd.op import Op, OpNode
from ..autograd.variable import Tensor
from ..nn.modules.module import Module
from ..optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from ..utils.data.dataloader import _BaseDataLoaderIter

# Of the functions that `FunctionPoints` means, those without an `op`, by which it knows the others; 2 / x is two
# of them.
DIRECT = {f"{name}{end}" for name in ("add", "sub", "div", "pow") for end in ("", "_")} | {
    f"__{prefix}{name}__" for name in ("add", "sub", "mul", "truediv", "pow") for prefix in ("", "i", "r")
} - {"__rtruediv__"}


class Point:
    """A function `owner.attribute`, every call of which is heard by each of `recorders`.

    kind: the events' category; describe: from the call's arguments to the event's name. A recorder's
    `hearing(point, function)` gives a function that does the same and is heard; see `recording.timed`.
    """

    def __init__(self, kind: str, owner: Any, attribute: str, describe: Callable[..., str]):
        self.kind, self.owner, self.attribute, self.describe = kind, owner, attribute, describe
        self.recorders: tuple = ()

    def add(self, recorder: Any) -> None:
        if not self.recorders:
            self._plain = getattr(self.owner, self.attribute)
        self._install((*self.recorders, recorder))

    def remove(self, recorder: Any) -> None:
        self._install(tuple(r for r in self.recorders if r is not recorder))

    def _install(self, recorders: tuple) -> None:
        self.recorders, function = recorders, self._plain
        for recorder in recorders:
            function = functools.wraps(function)(recorder.hearing(self, function))
        setattr(self.owner, self.attribute, function)


class FunctionPoints:
    """The functions of one or two tensors, indexing and their like, which do not take the time to go through Op.

    They are heard as methods and operators of Tensor and as functions of the package.
    """

    kind = "cpu_op"

    def __init__(self) -> None:
        self._points: list[Point] = []

    def add(self, recorder: Any) -> None:
        if not self._points:
            self._points = [Point(self.kind, Tensor, name, _key) for name in ("__getitem__", "__setitem__")]
            for owner in (Tensor, sys.modules[__name__.partition(".")[0]]):
                for name, function in vars(owner).items():
                    if isinstance(function, FunctionType) and (name in DIRECT or hasattr(function, "op")):
                        text = f"aten::{inspect.unwrap(function).__name__}"
                        self._points.append(Point(self.kind, owner, name, lambda *_, text=text, **__: text))
        for point in self._points:
            point.add(recorder)

    def remove(self, recorder: Any) -> None:
        for point in self._points:
            point.remove(recorder)


class StepPoint:
    """The steps of all optimizers: a subclass each, so they are heard through the hooks of all."""

    kind = "optimizer"

    def __init__(self) -> None:
        self._handles: dict[int, tuple] = {}  # recorder -> its hooks

    def add(self, recorder: Any) -> None:
        before, after = self._hooks(recorder)
        self._handles[id(recorder)] = (
            register_optimizer_step_pre_hook(before),
            register_optimizer_step_post_hook(after),
        )

    def remove(self, recorder: Any) -> None:
        for handle in self._handles.pop(id(recorder)):
            handle.remove()

    def _hooks(self, recorder: Any) -> tuple[Callable, Callable]:
        begin, finish, kind = recorder.begin, recorder.finish, self.kind
        going: dict[int, Any] = {}  # optimizer -> the event of its step

        def before(optimizer: Any, args: tuple, _kwargs: dict) -> None:
            going[id(optimizer)] = begin(_step_name(type(optimizer)), args, kind)

        def after(optimizer: Any, _args: tuple, _kwargs: dict) -> None:
            event = going.pop(id(optimizer), None)
            if event is not None:
                finish(event)

        return before, after


def _key(_: Tensor, key: Any, *value: Any) -> str:
    """What PyTorch calls the last operation of an index."""
    if value:
        return "aten::copy_"
    last = key[-1] if isinstance(key, tuple) and key else key
    return f"aten::{'select' if isinstance(last, int) else 'index' if isinstance(last, Tensor | list) else 'slice'}"


@functools.cache
def _step_name(kind: type) -> str:
    return f"Optimizer.step#{kind.__name__}.step"


@functools.cache
def _operation_name(op: Op) -> str:
    """MaxPool2DWithIndicesBackward0 -> aten::MaxPool2DWithIndices, AddBackward0 -> aten::add."""
    name = op.node_type.__name__.partition("Backward")[0]
    return "aten::" + (name.lower() if name[1:].islower() else name)


POINTS = (
    Point("cpu_op", Op, "__call__", lambda op, *_: _operation_name(op)),
    Point("cpu_op", Op, "of_one", lambda op, *_: _operation_name(op)),
    FunctionPoints(),
    Point(
        "backward",
        OpNode,
        "backward",
        lambda node, _: f"autograd::engine::evaluate_function: {type(node).__name__}",
    ),
    Point("module", Module, "__call__", lambda module, *_: type(module).__name__),
    Point(
        "dataloader",
        _BaseDataLoaderIter,
        "__next__",
        lambda iterator: f"enumerate(DataLoader)#{type(iterator).__name__}.__next__",
    ),
    StepPoint(),
)
