"""In-place operations as functions: torch.sin_(x) is x.sin_()."""

import functools

from .ops.arguments import need_tensor
from .tensors import Tensor


def __getattr__(name: str):
    method = getattr(Tensor, name)

    @functools.wraps(method)
    def in_place(input, *args, **kwargs):
        need_tensor(input, name, "input", 1)
        return method(input, *args, **kwargs)

    return in_place
