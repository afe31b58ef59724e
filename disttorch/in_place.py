"""In-place operations as functions: torch.sin_(x) is x.sin_()."""

import functools

from .ops.arguments import need_tensor
from .tensors import Tensor


def __getattr__(name: str):
    method = getattr(Tensor, name)

    @functools.wraps(method)
    def in_place(input, *args, **kwargs):
        need_tensor(input, name, "input", 1)
        return getattr(Tensor, name)(input, *args, **kwargs)

    in_place.__module__, in_place.__qualname__ = __name__, name  # where pickle looks
    globals()[name] = in_place
    return in_place
