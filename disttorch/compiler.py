"""torch.compiler: there is no compiler; its switches are accepted and functions stay what they are."""

from typing import Any

from .programs import compile  # noqa: F401


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """`fn` itself; without one, a decorator."""
    return (lambda function: function) if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """`fn` itself: there is no graph that it could be left out of."""
    return fn


assume_constant_result = substitute_in_graph = allow_in_graph


def is_compiling() -> bool:
    """False."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def reset() -> None:
    """Nothing has been compiled, nothing is forgotten."""


def cudagraph_mark_step_begin() -> None:
    """Nothing is recorded."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """No backends."""
    return []
