"""Functions under their public names; what PyTorch's functions of a dimension take and refuse alike: NumPy's names for
two settings (`axis` for `dim`, `keepdims` for `keepdim`), and lists or arrays in a tensor's place.
"""

import functools
import sys
from collections.abc import Callable
from types import FunctionType

import numpy as np

from .arguments import need_tensor

_NAMES = (("axis", "dim"), ("keepdims", "keepdim"))
_TENSORS = frozenset(["index", "other", "src"])  # names of parameters, beside the first, that are given no lists


def of_dimension(name: str, function: Callable) -> Callable:
    """The function under its public name, which takes NumPy's names as well if it has PyTorch's. Arguments are looked
    at only after it has failed, which costs good ones nothing.
    """
    if not isinstance(function, FunctionType):
        return function
    code = function.__code__
    if "dim" not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return function
    names = code.co_varnames[: code.co_argcount]
    tensors = [(k, n) for k, n in enumerate(names) if (k == 0 and n != "tensors") or n in _TENSORS]

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            if not kwargs:
                return function(*args)
            for theirs, ours in _NAMES:
                if theirs in kwargs:
                    kwargs[ours] = kwargs.pop(theirs)
            return function(*args, **kwargs)
        except (AttributeError, TypeError):
            for k, argument in tensors:
                if k < len(args) and (k == 0 or isinstance(args[k], (list, tuple, np.ndarray))):
                    need_tensor(args[k], name, argument, k + 1)
            raise

    return call


def at_home(names: dict, room: str) -> None:
    """Let the functions among a room's names that others have made be found there, as pickle looks for them."""
    for name, value in names.items():
        if isinstance(value, FunctionType) and name[0] != "_":
            found = getattr(sys.modules.get(value.__module__), value.__qualname__, None)
            if found is not value:
                name = value.__name__ if names.get(value.__name__) is value else name
                value.__module__, value.__qualname__ = room, name
