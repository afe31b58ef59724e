"""Functions handed to the classes of their arguments: `__torch_function__`.

The protocol is that of https://docs.pytorch.org/docs/stable/notes/extending.html: a function with an argument of a
class that has `__torch_function__` is carried out by that method; a mode takes over every function while it is entered.
`overrides.install` puts `dispatched` in front of what users call, so that a program without such classes never pays.
"""

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from .autograd.variable import Tensor


class _State(threading.local):
    modes: tuple = ()  # entered ones, the last one innermost
    disabled = False  # for classes; modes go on


state = _State()
PLAIN = frozenset({Tensor, int, float, bool, str, type(None)})  # types of arguments that take nothing over


class DisableTorchFunctionSubclass:
    """A context in which functions are not handed to the classes of their arguments (in this thread)."""

    def __enter__(self) -> None:
        self._before, state.disabled = state.disabled, True

    def __exit__(self, *error: object) -> None:
        state.disabled = self._before


def disabled_torch_function(function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """As a class's `__torch_function__`: the class takes nothing over, and results are plain tensors."""
    with DisableTorchFunctionSubclass():
        return function(*args, **(kwargs or {}))


def takes_over(value: Any) -> bool:
    """Whether the value's class takes functions over."""
    kind = type(value)
    if kind in PLAIN:
        return False
    taking = getattr(kind, "__torch_function__", None)
    return taking is not None and taking is not disabled_torch_function


def takers(values: Iterable[Any]) -> list:
    """Of the values, and of those in lists and tuples among them, one of each class that takes functions over:
    subclasses before their bases, else in their order.
    """
    found: list = []
    for value in values:
        for v in value if type(value) in (list, tuple) else (value,):
            if takes_over(v) and type(v) not in map(type, found):
                at = next((i for i, other in enumerate(found) if isinstance(v, type(other))), len(found))
                found.insert(at, v)
    return found


def hand_over(function: Callable, taking: list, args: tuple, kwargs: dict) -> Any:
    """What the innermost mode, or else the first of `taking` that does not decline, makes of the call."""
    types = tuple(map(type, taking))
    if state.modes:
        modes = state.modes
        *outer, mode = modes
        state.modes = tuple(outer)
        try:
            result = mode.__torch_function__(function, types, args, kwargs)
        finally:
            state.modes = modes
        if result is not NotImplemented:
            return result
    for value in taking:
        result = value.__torch_function__(function, types, args, kwargs)
        if result is not NotImplemented:
            return result
    home = getattr(function, "__module__", Tensor.__module__)  # a property's `__get__` has none
    raise TypeError(
        f"no implementation found for '{home}.{function.__name__}' on types that implement __torch_function__: "
        f"{list(types)}"
    )


def call(public: Callable, plain: Callable, args: tuple, kwargs: dict) -> Any:
    """Carry out `plain`, or hand the call to whom takes it over, who learns of it as `public`."""
    if not state.disabled or state.modes:
        taking = [] if state.disabled else takers((*args, *kwargs.values()))
        if taking or state.modes:
            return hand_over(public, taking, args, kwargs)
    return plain(*args, **kwargs)


def dispatched(plain: Callable, known_as: Callable | None = None) -> Callable:
    """`plain` as users get it where classes take functions over. known_as: what these are told that it is (itself)."""

    @functools.wraps(plain)
    def public(*args: Any, **kwargs: Any) -> Any:
        return call(known_as or public, plain, args, kwargs)

    return public


def dispatched_maker(plain: Callable) -> Callable:
    """The same for what makes a tensor of whatever it gets: modes take it over, its argument's class does not."""

    @functools.wraps(plain)
    def public(*args: Any, **kwargs: Any) -> Any:
        if state.modes:
            return hand_over(public, [], args, kwargs)
        return disabled_torch_function(plain, (), args, kwargs)

    return public


def dispatched_property(plain: property) -> property:
    """The same for a property; it is told as the property's `__get__` or `__set__`."""

    def get(self: Any) -> Any:
        return call(made.__get__, plain.fget, (self,), {})

    def put(self: Any, value: Any) -> None:
        call(made.__set__, plain.fset, (self, value), {})

    made = property(get, plain.fset and put, plain.fdel, plain.__doc__)
    return made


@functools.cache
def get_default_nowrap_functions() -> set[Callable]:
    """What gives tensors that were there before: `Tensor.__torch_function__` leaves their class as it is."""
    return {vars(Tensor)[name].__get__ for name in ("_base", "grad")}


def converted(result: Any, kind: type) -> Any:
    """The result, its tensors (those in lists and tuples, too) as `kind` where they are not."""
    if isinstance(result, Tensor) and not isinstance(result, kind):
        return result.as_subclass(kind)
    if isinstance(result, list | tuple):
        make = getattr(type(result), "_make", type(result))  # of named tuples
        return make(converted(r, kind) for r in result)
    return result


def undispatched(plain: Callable) -> Callable:
    """`plain`, inside which nothing is handed over."""

    @functools.wraps(plain)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        before, state.modes = state.modes, ()
        try:
            return disabled_torch_function(plain, (), args, kwargs)
        finally:
            state.modes = before

    return quiet
