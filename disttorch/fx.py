"""torch.fx: there is no tracer, so what programs say to one is taken as said."""

from collections.abc import Callable

from .nn.modules.module import Module

__all__ = ["GraphModule", "wrap"]


class GraphModule(Module):
    """What PyTorch's tracers make of a module. No module here is one."""

    def __init__(self, *_args: object, **_kwargs: object):
        raise NotImplementedError("torch.fx.GraphModule: modules run as Python here and have no graph")


def wrap(fn_or_name: str | Callable) -> str | Callable:
    """`fn_or_name`, a function or a function's name, itself: nothing ever traces into it.

    RuntimeError for what is neither.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    return fn_or_name
