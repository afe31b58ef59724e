"""NumPy's names for two settings: `axis` for `dim` and `keepdims` for `keepdim`, which PyTorch's functions take too."""

import functools
from collections.abc import Callable
from types import FunctionType

_NAMES = (("axis", "dim"), ("keepdims", "keepdim"))


def with_numpy_names(function: Callable) -> Callable:
    """The function, which takes NumPy's names as well if it has PyTorch's."""
    if not isinstance(function, FunctionType):
        return function
    code = function.__code__
    if "dim" not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return function

    @functools.wraps(function)
    def call(*args, **kwargs):
        if kwargs:
            for theirs, ours in _NAMES:
                if theirs in kwargs:
                    kwargs[ours] = kwargs.pop(theirs)
        return function(*args, **kwargs)

    return call
