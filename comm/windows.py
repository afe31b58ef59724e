"""Windows: how a rank works on an array of another, in memory that both see or in the other's process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .memory import read_from, write_to

PIECE = 256 << 10  # bytes of a copy: a piece that goes to several places stays in the second-level cache


class Window:
    """An array that this rank sees where it lies."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def get(self, low: int, high: int) -> np.ndarray:
        """These elements; good until the next `get`."""
        return self.array[low:high]

    def save(self, low: int, block: np.ndarray) -> None:
        """Let what was changed in `block`, which `get` gave, be so in the array."""

    def copy(self, out: np.ndarray, low: int = 0) -> None:
        """Fill `out` with the elements from `low` on."""
        copy_in_pieces(out, self.array[low : low + out.size])

    def put(self, low: int, block: np.ndarray) -> None:
        """Write `block` over the elements from `low` on."""
        copy_in_pieces(self.array[low : low + block.size], block)


def copy_in_pieces(target: np.ndarray, source: np.ndarray) -> None:
    """Copy an array of one dimension, a long one in pieces: as a whole it would go past the caches, which takes longer
    where the last of them would hold it.
    """
    if target.nbytes <= PIECE:
        target[...] = source
        return
    step = PIECE // target.itemsize
    for low in range(0, target.size, step):
        target[low : low + step] = source[low : low + step]


class DistantWindow:
    """An array of another process, out of and into which the kernel copies.

    size: elements; scratch: bytes to put some in; lost: called with the error, raises one, if it cannot be reached.
    """

    def __init__(
        self, pid: int, address: int, dtype: np.dtype, size: int, scratch: np.ndarray, lost: Callable[[OSError], None]
    ):
        self.pid, self.address, self.dtype, self.size = pid, address, dtype, size
        self._scratch, self._lost = scratch, lost

    def get(self, low: int, high: int) -> np.ndarray:
        """These elements; good until the next `get`."""
        out = self._scratch[: (high - low) * self.dtype.itemsize].view(self.dtype)
        self._move(read_from, low, out)
        return out

    def copy(self, out: np.ndarray, low: int = 0) -> None:
        """Fill `out` with the elements from `low` on."""
        self._move(read_from, low, out)

    def put(self, low: int, block: np.ndarray) -> None:
        """Write `block` over the elements from `low` on."""
        self._move(write_to, low, block)

    save = put  # what `get` gave is a copy

    def _move(self, move: Callable[[int, int, np.ndarray], None], low: int, array: np.ndarray) -> None:
        try:
            move(self.pid, self.address + low * self.dtype.itemsize, array)
        except OSError as error:
            self._lost(error)
