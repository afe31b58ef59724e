"""torch._dynamo: what libraries ask of PyTorch's compiler. There is none: `compile` returns what it is given."""

from .compiler import disable, is_compiling, reset

__all__ = ["OptimizedModule", "disable", "is_compiling", "reset"]


class OptimizedModule:
    """What PyTorch's `compile` makes of a module. No module here is one."""
