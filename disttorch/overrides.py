"""torch.overrides: asking whether something is a tensor. Functions are not dispatched to other classes."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from .autograd.variable import Tensor


def is_tensor_like(inp: Any) -> bool:
    """Whether `inp` is a Tensor or says that it takes functions over (`__torch_function__`)."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether another class takes functions of these arguments over."""
    return any(hasattr(a, "__torch_function__") for a in relevant_args)


def has_torch_function_unary(relevant_arg: Any) -> bool:
    """`has_torch_function` of one value."""
    return has_torch_function((relevant_arg,))


def has_torch_function_variadic(*relevant_args: Any) -> bool:
    """`has_torch_function` of several values."""
    return has_torch_function(relevant_args)


def handle_torch_function(public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """What the first of `relevant_args` that takes the function over makes of it. TypeError if none does."""
    for a in relevant_args:
        if hasattr(a, "__torch_function__"):
            return a.__torch_function__(public_api, tuple(type(r) for r in relevant_args), args, kwargs)
    raise TypeError(f"no implementation found for '{public_api}' on types that implement __torch_function__")


class TorchFunctionMode:
    """A base class for modes that take functions over while they are entered: they can be written, and have no effect,
    as functions are not dispatched here. Entering one warns of it.
    """

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> "TorchFunctionMode":
        text = f"{type(self).__name__} has no effect: functions are not handed to a TorchFunctionMode"
        warnings.warn(text, stacklevel=2)
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing was changed."""
