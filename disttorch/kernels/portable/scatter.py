"""Sums of rows that meet in one place: embedding gradients and `index_add`."""

from math import prod

import numpy as np

from disttorch.kernels.portable.precision import kernel_in_float32
from disttorch.kernels.portable.segments import RecentSegments

HANDFUL = 64  # indices that Python's own functions look through in less time than NumPy's begin
_segments = RecentSegments()
_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


class Scatter:
    @kernel_in_float32
    def embedding_backward(self, g, indices, num_embeddings, padding_idx=None):
        """g (*, D), indices int (*) -> (num_embeddings, D)."""
        xp = self.xp
        width = g.shape[-1]
        flat = indices.reshape(-1)
        rows = g.reshape(flat.size, width)
        if padding_idx is not None:
            kept = flat != padding_idx
            flat, rows = flat[kept], rows[kept]
        out = xp.zeros((num_embeddings, width), g.dtype)
        self._add_rows(out, flat, rows, empty=True)
        return out

    def index_add(self, target, indices, source):
        """target[indices[i]] += source[i] along axis 0, in place; the order of summation depends on `indices` alone."""
        if target.ndim > 1:
            self._add_rows(target, indices, source)
        elif isinstance(target, np.ndarray):
            np.add.at(target, indices, source)  # quick for a single axis alone
        else:
            self._add_rows(target[:, None], indices, source[:, None])

    def scatter_add(self, target, axis, index, source):
        """target[index[i, j, k], j, k] += source[i, j, k] for axis 0, and so on, in place; target is contiguous, and at
        no axis but this one shorter than `index`.
        """
        at = positions(self.xp, target.shape, axis, index)
        self.xp.add.at(target.reshape(-1), at.reshape(-1), source.reshape(-1))

    def _add_rows(self, target, indices, rows, empty=False):
        if indices.size:
            _segments(self.xp, indices, len(target)).add_to(target, rows, empty)


def are_within(indices, size):
    """Whether all of an array of integers are from 0 to size - 1."""
    if not indices.size:
        return True
    if indices.size <= HANDFUL and type(indices) is np.ndarray:
        values = indices.ravel().tolist()
        return min(values) >= 0 and max(values) < size
    # read as unsigned, a negative one is a large one
    return int(indices.view(_UNSIGNED[indices.itemsize]).max()) < size


def positions(xp, shape, axis, index):
    """Where in a flattened array of `shape` lie the elements that `index` names along an axis, in index's shape."""
    stride = prod(shape[axis + 1 :])
    at = index * stride if stride > 1 else index
    for k, n in enumerate(index.shape):
        if k != axis and n > 1:
            along = xp.arange(n) * prod(shape[k + 1 :])
            at = at + along.reshape([-1 if d == k else 1 for d in range(index.ndim)])
    return at
