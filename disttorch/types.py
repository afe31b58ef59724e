"""torch.types: names for annotations."""

import os
from collections.abc import Sequence
from typing import Any

from .autograd.variable import Tensor
from .devices import device
from .dtypes import dtype
from .ops.shape import Size
from .storage import UntypedStorage as Storage

Number = int | float | bool
Device = device | str | int | None
FileLike = Any
PathLike = str | os.PathLike
_int, _float, _bool, _size, _dtype, _device = int, float, bool, Sequence[int], dtype, device

__all__ = ["Device", "FileLike", "Number", "PathLike", "Size", "Storage", "Tensor"]
