"""Tensors nested in tuples, lists and dicts: flattened, and put back."""

from collections.abc import Callable
from typing import Any

from ..autograd.variable import Tensor


def flatten(value: Any) -> tuple[list[Tensor], Callable[[list], Any]]:
    """The tensors in `value` in order, and the function that puts others in their places."""
    if isinstance(value, Tensor):
        return [value], lambda leaves: leaves[0]
    if isinstance(value, dict):
        keys = list(value)
        return _joined([value[k] for k in keys], lambda parts: type(value)(zip(keys, parts, strict=True)))
    if isinstance(value, (tuple, list)):
        make = (lambda parts: type(value)(*parts)) if hasattr(value, "_fields") else type(value)
        return _joined(list(value), make)
    return [], lambda leaves: value


def _joined(children: list, make: Callable) -> tuple[list[Tensor], Callable[[list], Any]]:
    parts = [flatten(c) for c in children]

    def rebuild(leaves: list) -> Any:
        at, made = 0, []
        for found, build in parts:
            made.append(build(leaves[at : at + len(found)]))
            at += len(found)
        return make(made)

    return [t for found, _ in parts for t in found], rebuild


class _Star:
    def __repr__(self) -> str:
        return "*"


def structure(value: Any) -> str:
    """How the tensors in `value` are nested, as text: {'a': *, 'b': (*, *)}."""
    return repr(mapped(lambda _: _Star(), value))


def mapped(function: Callable, value: Any) -> Any:
    """`value` with `function` applied to its tensors."""
    leaves, rebuild = flatten(value)
    return rebuild([function(t) for t in leaves])
