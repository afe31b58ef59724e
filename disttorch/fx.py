"""torch.fx: there is no tracer, so what programs say to one is taken as said."""

from collections.abc import Callable

__all__ = ["wrap"]


def wrap(fn_or_name: str | Callable) -> str | Callable:
    """`fn_or_name`, a function or a function's name, itself: nothing ever traces into it.

    RuntimeError for what is neither.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    return fn_or_name
