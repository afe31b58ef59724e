"""torch._dynamo: what libraries ask of PyTorch's compiler. There is none: `compile` returns what it is given."""

from ..compiler import disable, is_compiling, reset
from .eval_frame import OptimizedModule

__all__ = ["OptimizedModule", "disable", "is_compiling", "reset"]
