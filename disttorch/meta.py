"""The meta device: tensors with a shape and a dtype, and no values.

Their arrays are memory that is reserved and never written, so the system never provides it: all of it reads as zeros.
Views of them are ordinary views. Operations find the shape of their result by computing on the zeros: those that go
element by element on one element of each, others on all, up to `LARGEST` elements. Changes in place do nothing. What
would need values (`item`, shapes that depend on values, copies to other devices) is refused.
"""

import math
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

LARGEST = 1 << 24  # elements that an operation may read to find its result's shape
RESERVED = 1 << 16  # bytes from which on memory is reserved by the page
NO_DATA = "Cannot copy out of meta tensor; no data!"


def unbacked(shape: tuple, dtype: np.dtype) -> np.ndarray:
    """An array of zeros that takes no memory."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < RESERVED or not hasattr(mmap, "MAP_PRIVATE"):
        return np.zeros(shape, dtype)
    # Reserved without being counted, so that models larger than the machine fit.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    try:
        memory = mmap.mmap(-1, size, flags=flags)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no room for the addresses of a meta tensor of {size} bytes") from error
    return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)


def pointwise(function: Callable, *args: Any) -> np.ndarray:
    """What a function of each element gives, by shape and dtype. ValueError if the shapes do not broadcast."""
    shape = np.broadcast_shapes(*[a.shape for a in args if isinstance(a, np.ndarray)])
    one = function(*[a[(slice(0, 1),) * a.ndim] if isinstance(a, np.ndarray) else a for a in args])
    return unbacked(shape, np.asarray(one).dtype)


def run(name: str, function: Callable, args: list, cheap: bool = False) -> Any:
    """The arrays that function(*args) gives. NotImplementedError for too many elements, unless it is `cheap`."""
    size = sum(a.size for a in args if isinstance(a, np.ndarray))
    if size > LARGEST and not cheap:
        raise NotImplementedError(
            f"{name} on meta tensors of {size} elements: shapes are found by computing on zeros, which is done for up "
            f"to {LARGEST} elements"
        )
    with np.errstate(all="ignore"):
        return function(*args)


def refuse(name: str, *tensors: Any) -> None:
    """NotImplementedError if one of the tensors has no values, which `name` needs."""
    if any(getattr(t, "device", None) is not None and t.device.type == "meta" for t in tensors):
        raise NotImplementedError(
            f"{name}: attempted to run this operator with Meta tensors, which have no values: its result, or the shape "
            "of its result, depends on them"
        )
