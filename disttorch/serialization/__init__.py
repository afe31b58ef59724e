"""Files of tensors: `save` and `load` in PyTorch's zip format, readable by PyTorch and free of code."""

from .files import load, save

__all__ = ["load", "save"]
