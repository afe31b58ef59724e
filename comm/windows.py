"""Windows: how a rank reads an array of another, from memory that both see or out of the other's process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .memory import read_from


class Window:
    """An array that this rank sees where it lies."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def get(self, low: int, high: int) -> np.ndarray:
        """These elements; good until the next `get`."""
        return self.array[low:high]

    def copy(self, out: np.ndarray) -> None:
        """Fill `out` with the first elements."""
        out[...] = self.array[: out.size]


class DistantWindow:
    """An array of another process, out of which the kernel copies what is asked for.

    size: elements; scratch: bytes to put some in; lost: called with the error, raises one, if it cannot be read.
    """

    def __init__(
        self, pid: int, address: int, dtype: np.dtype, size: int, scratch: np.ndarray, lost: Callable[[OSError], None]
    ):
        self.pid, self.address, self.dtype, self.size = pid, address, dtype, size
        self._scratch, self._lost = scratch, lost

    def get(self, low: int, high: int) -> np.ndarray:
        """These elements; good until the next `get`."""
        out = self._scratch[: (high - low) * self.dtype.itemsize].view(self.dtype)
        self._read(low, out)
        return out

    def copy(self, out: np.ndarray) -> None:
        """Fill `out` with the first elements."""
        self._read(0, out)

    def _read(self, low: int, out: np.ndarray) -> None:
        try:
            read_from(self.pid, self.address + low * self.dtype.itemsize, out)
        except OSError as error:
            self._lost(error)
