"""Arrays that are given to a group, as flat views; or an error that names the argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def readable(array: np.ndarray, name: str, index: int | None = None) -> np.ndarray:
    """The array, which is called name or name[index], as a flat view."""
    if isinstance(array, np.ndarray) and array.flags.c_contiguous and not array.dtype.hasobject:
        return array if array.ndim == 1 else array.reshape(-1)
    name = name if index is None else f"{name}[{index}]"
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if array.dtype.hasobject:
        raise TypeError(f"{name} must hold numbers, got dtype {array.dtype}")
    raise ValueError(f"{name} must be C-contiguous: pass numpy.ascontiguousarray({name})")


def writable(array: np.ndarray, name: str, index: int | None = None) -> np.ndarray:
    """`readable`, of an array that may be written to."""
    flat = readable(array, name, index)
    if not flat.flags.writeable:
        raise ValueError(f"{name if index is None else f'{name}[{index}]'} must be writable")
    return flat


def flat_views(arrays: Sequence[np.ndarray], dtype: np.dtype, name: str, check: Callable) -> list[np.ndarray]:
    """All of a list of arrays as flat views, which `check` makes."""
    for index, array in enumerate(arrays):
        if isinstance(array, np.ndarray) and array.dtype != dtype:
            raise TypeError(f"{name}[{index}] must have dtype {dtype}, got {array.dtype}")
    return [check(array, name, index) for index, array in enumerate(arrays)]
