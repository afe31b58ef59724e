"""torch.ops.aten: operations by the names that they have beneath PyTorch, `aten.add(a, b)` or `aten.add.Tensor(a, b)`.

An overload's name is accepted and means nothing here: the arguments say what is wanted.
"""

import importlib
from collections.abc import Callable

_ROOMS = ("disttorch.ops.inner", "disttorch.ops", "disttorch.nn.functional", "disttorch.linalg", "disttorch.special")


class Packet:
    """An operation and all its overloads, which are the operation itself."""

    def __init__(self, function: Callable):
        self._function = function
        self.__doc__ = function.__doc__

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    def __getattr__(self, overload: str) -> Callable:
        if overload.startswith("__"):
            raise AttributeError(overload)
        return self._function

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='aten.{self._function.__name__}')>"


def __getattr__(name: str) -> Packet:
    if not name.startswith("__"):
        for room in _ROOMS:
            function = getattr(importlib.import_module(room), name, None)
            if callable(function):
                return Packet(function)
    raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}'")
