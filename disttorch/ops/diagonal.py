"""Diagonals and triangles of matrices."""

from functools import lru_cache

import numpy as np

from ..autograd.inplace import write
from ..autograd.op import Op, ViewOp
from .arguments import need_tensor
from .dims import axis
from .reduction import total

SMALL = 1 << 12  # elements of a matrix up to which the mask of its triangle is kept


def _put_diagonal(g, shape, offset, a, b):
    z = np.zeros_like(g, shape=shape, order="C")
    np.moveaxis(_diagonal_view(z, offset, a, b), -1, -1)[...] = g
    return z


def _diagonal_view(x, offset, a, b):
    view = np.diagonal(x, offset, a, b)
    if view.flags.writeable or not x.flags.writeable:
        return view
    return (
        np.lib.stride_tricks.as_strided(
            x[tuple([slice(1) if i in (a, b) else slice(None) for i in range(x.ndim)])], view.shape, view.strides
        )
        if offset == 0
        else _offset_view(x, view, offset, a, b)
    )


def _offset_view(x, view, offset, a, b):
    start = [slice(None)] * x.ndim
    start[a] = slice(max(-offset, 0), None)
    start[b] = slice(max(offset, 0), None)
    return np.lib.stride_tricks.as_strided(x[tuple(start)], view.shape, view.strides)


_diagonal = ViewOp(
    "DiagonalBackward0",
    _diagonal_view,
    params=("x", "offset", "a", "b"),
    x=lambda g, x_shape, offset, a, b: _diagonal_back(g, x_shape, offset, a, b),
)
_diagonal_back = Op(
    "DiagonalBackwardBackward0",
    _put_diagonal,
    params=("g", "shape", "offset", "a", "b"),
    g=lambda g, offset, a, b: _diagonal(g, offset, a, b),
)


def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of the plane of two dimensions, as a view with the diagonal last."""
    need_tensor(input, "diagonal", "input", 1)
    n = input._data.ndim
    a, b = axis(dim1, n), axis(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal(input, offset, a, b)


def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """A tensor of matrices with `input`'s last dimension on their diagonals."""
    need_tensor(input, "diag_embed", "input", 1)
    n = input._data.shape[-1] + (offset if offset >= 0 else -offset)
    ndim = input._data.ndim + 1
    a, b = axis(dim1, ndim), axis(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    rest = iter(input._data.shape[:-1])
    shape = tuple([n if i in (a, b) else next(rest) for i in range(ndim)])
    return _diagonal_back(input, shape, offset, a, b)


def diag(input, diagonal=0, *, out=None):
    """A vector as the diagonal of a matrix, or a matrix's diagonal as a vector (a copy)."""
    need_tensor(input, "diag", "input", 1)
    if input._data.ndim == 1:
        return write(out, diag_embed(input, diagonal))
    if input._data.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input._data.ndim}D")
    return write(out, globals()["diagonal"](input, diagonal).clone())


def diagflat(input, offset=0):
    """All elements on the diagonal of a matrix."""
    need_tensor(input, "diagflat", "input", 1)
    return diag_embed(input.reshape(-1), offset)


_trace = Op(
    "TraceBackward0",
    lambda x: total(x.diagonal(), (0,), False),
    x=lambda g, x_shape: _diagonal_back(g.expand(min(x_shape)), x_shape, 0, 0, 1),
)


def trace(input):
    """The sum of a matrix's diagonal; of integers and bools as int64."""
    need_tensor(input, "trace", "input", 1)
    if input._data.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._data.ndim}")
    return _trace.of_one(input if input._data.dtype.kind in "fcV" else input.long())


@lru_cache(256)
def _below(rows: int, columns: int, k: int):
    """Where a small matrix's lower triangle is."""
    return np.tri(rows, columns, k, bool)


def _is_small(x) -> bool:
    return type(x) is np.ndarray and x.shape[-1] * x.shape[-2] <= SMALL


def _lower(x, k):
    return np.where(_below(*x.shape[-2:], k), x, np.zeros((), x.dtype)) if _is_small(x) else np.tril(x, k)


def _upper(x, k):
    return np.where(_below(*x.shape[-2:], k - 1), np.zeros((), x.dtype), x) if _is_small(x) else np.triu(x, k)


_tril = Op("TrilBackward0", _lower, params=("x", "k"), x=lambda g, k: _tril(g, k))
_triu = Op("TriuBackward0", _upper, params=("x", "k"), x=lambda g, k: _triu(g, k))


def tril(input, diagonal=0, *, out=None):
    """The lower triangle, the rest 0."""
    need_tensor(input, "tril", "input", 1)
    if input._data.ndim < 2:
        raise RuntimeError("tril: input tensor must have at least 2 dimensions")
    return write(out, _tril.of_one(input, diagonal))


def triu(input, diagonal=0, *, out=None):
    """The upper triangle, the rest 0."""
    need_tensor(input, "triu", "input", 1)
    if input._data.ndim < 2:
        raise RuntimeError("triu: input tensor must have at least 2 dimensions")
    return write(out, _triu.of_one(input, diagonal))


__all__ = ["diag", "diag_embed", "diagflat", "diagonal", "trace", "tril", "triu"]
