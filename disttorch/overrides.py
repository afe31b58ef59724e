"""torch.overrides: classes and modes that take functions over (`__torch_function__`, see `dispatch`)."""

import functools
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from . import dispatch
from .autograd import gradients
from .autograd.variable import Tensor
from .dispatch import get_default_nowrap_functions

__all__ = [
    "TorchFunctionMode", "get_default_nowrap_functions", "handle_torch_function", "has_torch_function",
    "has_torch_function_unary", "has_torch_function_variadic", "is_tensor_like", "wrap_torch_function",
]  # fmt: skip

OPS = f"{__package__}.ops"  # whose functions take tensors; of the other rooms, those that they define themselves
# They make a tensor of whatever they get: nobody asks their argument's class.
MAKERS = frozenset("tensor as_tensor asarray from_numpy frombuffer".split())
# What Python's operators are told as, where it is not their own name.
OPERATORS = {
    "__add__": "add", "__radd__": "add", "__mul__": "mul", "__rmul__": "mul",
    "__sub__": "sub", "__truediv__": "div", "__mod__": "remainder", "__pow__": "pow", "__matmul__": "matmul",
    "__neg__": "neg", "__pos__": "positive", "__abs__": "abs", "__ne__": "ne", "__lt__": "lt", "__le__": "le",
    "__gt__": "gt", "__ge__": "ge", "__rand__": "bitwise_and", "__ror__": "bitwise_or", "__rxor__": "bitwise_xor",
    "__rtruediv__": "__rdiv__", "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
}  # fmt: skip
ASIDE = ("__new__", "__init__", "__hash__", "as_subclass")  # methods that are not handed over


def is_tensor_like(inp: Any) -> bool:
    """Whether `inp` is a Tensor or says that it takes functions over (`__torch_function__`)."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether a mode, or the class of one of these arguments, takes functions over."""
    modes, disabled = dispatch.state.modes, dispatch.state.disabled
    return bool(modes) or (not disabled and any(map(dispatch.takes_over, relevant_args)))


def has_torch_function_unary(relevant_arg: Any) -> bool:
    """`has_torch_function` of one value."""
    return has_torch_function((relevant_arg,))


def has_torch_function_variadic(*relevant_args: Any) -> bool:
    """`has_torch_function` of several values."""
    return has_torch_function(relevant_args)


def handle_torch_function(public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """What a mode, or the first class of `relevant_args` that does not decline, makes of `public_api(*args)`.
    TypeError if none does.
    """
    return dispatch.hand_over(public_api, dispatch.takers(relevant_args), args, kwargs)


def wrap_torch_function(dispatcher: Callable) -> Callable:
    """A decorator for functions of one's own: `dispatcher`, called as they are, gives the arguments that may take them
    over.
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return decorate


class TorchFunctionMode:
    """Entered, it takes over every function that users call in this thread: a subclass's `__torch_function__(func,
    types, args, kwargs)` is called in its place. While that runs the mode is out of force.
    """

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> "TorchFunctionMode":
        install()
        dispatch.state.modes = (*dispatch.state.modes, self)
        return self

    def __exit__(self, *error: object) -> None:
        dispatch.state.modes = dispatch.state.modes[:-1]


@functools.cache
def install() -> None:
    """Put `dispatch` in front of what users call: functions, methods, operators and properties."""
    public = _install_functions()
    _install_methods(public)
    gradients.sweep = dispatch.undispatched(gradients.sweep)


def _install_functions() -> dict[Callable, Callable]:
    """By plain function, what stands in its place in all rooms."""
    import disttorch

    from . import fft, functional, linalg, special
    from .nn import functional as nn_functional
    from .nn import init
    from .nn.modules import rnn

    public: dict = {}
    for room in (disttorch, functional, nn_functional, init, linalg, fft, special, rnn):
        makers = OPS if room is disttorch else (OPS, room.__name__)
        for name, plain in list(vars(room).items()):
            if name[0] == "_" or not isinstance(plain, FunctionType) or not plain.__module__.startswith(makers):
                continue
            if plain not in public:
                make = dispatch.dispatched_maker if name in MAKERS else dispatch.dispatched
                public[plain] = made = make(plain)
                made.__module__, made.__qualname__ = room.__name__, name  # where pickle looks
                if vars(room).get(plain.__name__) is not plain:
                    made.__name__ = name
            setattr(room, name, public[plain])
    return public


def _install_methods(public: dict[Callable, Callable]) -> None:
    for name, plain in list(vars(Tensor).items()):
        if isinstance(plain, property):
            setattr(Tensor, name, dispatch.dispatched_property(plain))
        elif not isinstance(plain, FunctionType) or name in ASIDE:
            continue
        elif name[0] != "_":
            setattr(Tensor, name, public.get(plain) or _named(dispatch.dispatched(plain), name))
        elif name[:2] == "__":
            setattr(Tensor, name, _named(dispatch.dispatched(plain), name))
    for name, told in OPERATORS.items():
        plain = getattr(Tensor, name).__wrapped__
        setattr(Tensor, name, dispatch.dispatched(plain, known_as=getattr(Tensor, told)))


def _named(function: Any, name: str) -> Any:
    function.__name__ = name
    return function
