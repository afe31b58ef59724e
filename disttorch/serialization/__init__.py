"""Files of tensors: `save` and `load` in PyTorch's zip format, readable by PyTorch and free of code."""

from .archive import PyTorchFileReader
from .files import DEFAULT_PROTOCOL, load, save
from .safe import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals

__all__ = [
    "DEFAULT_PROTOCOL",
    "PyTorchFileReader",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]
