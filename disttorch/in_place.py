"""In-place operations as functions: torch.sin_(x) is x.sin_()."""

from .tensors import Tensor


def __getattr__(name: str):
    return getattr(Tensor, name)
