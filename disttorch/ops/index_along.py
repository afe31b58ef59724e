"""Whole slices picked, added, copied or filled along one dimension by an index vector."""

from math import prod

import numpy as np

from .. import dtypes
from ..autograd.inplace import check_apart, write
from ..autograd.op import Op
from ..autograd.variable import Tensor
from ..kernels.portable.scatter import are_within
from .arguments import need_tensor
from .dims import axis
from .pointwise import scalar_name

NARROW = 16  # elements that lie together, up to which they are added one by one instead of as rows


def check_index(index, name):
    if index._data.dtype.kind not in "iu" or index._data.dtype.itemsize < 4:
        raise RuntimeError(f"{name}(): Expected dtype int32 or int64 for index")


def check_range(index, size, dim, error=RuntimeError):
    data = index._data
    if not are_within(data, size):
        bad = data[(data < 0) | (data >= size)].flat[0]
        raise error(f"index {int(bad)} is out of bounds for dimension {dim} with size {size}")


_index_select = Op(
    "IndexSelectBackward0",
    lambda x, dim, index: np.take(x, index, axis=dim) if x.ndim else np.take(x.reshape(1), index)[0],
    x=lambda g, x_shape, dim, index: _added(g, x_shape, dim, index),
)


def index_select(input, dim, index, *, out=None):
    """The entries of dimension `dim` at `index` (1-D), as a copy."""
    need_tensor(index, "index_select", "index", 3)
    d = axis(dim, input._data.ndim)
    if index._data.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    check_index(index, "index_select")
    size = input._data.shape[d] if input._data.ndim else 1
    if not are_within(index._data, size):
        raise IndexError("index out of range in self")
    check_apart(out, input, index)
    return write(out, _index_select(input, d, index.reshape(-1)))


def _slots(dim, index):
    return (slice(None),) * dim + (index,)


def _index_added(x, dim, index, source):
    if x.ndim == 0:
        return (x + source.sum()).astype(x.dtype)
    out = x.copy(order="C")
    source = source if source.ndim == x.ndim else source.reshape((*x.shape[:dim], 1, *x.shape[dim + 1 :]))
    add_along(out, dim, index, source)
    return out


def add_along(out, dim, index, source):
    """out's entries of `dim` at `index` grow by source's, in place; `out` is contiguous."""
    from ..kernels import for_device

    kernels = for_device("cpu" if isinstance(out, np.ndarray) else "cuda")
    if dim == 0:
        kernels.index_add(out, index, source)
    elif prod(out.shape[dim + 1 :]) < NARROW:
        beside = index.reshape([-1 if k == dim else 1 for k in range(out.ndim)])
        kernels.scatter_add(out, dim, np.broadcast_to(beside, source.shape), source)
    else:
        rows = np.moveaxis(out, dim, 0).copy(order="C")
        kernels.index_add(rows, index, np.moveaxis(source, dim, 0).copy(order="C"))
        out[...] = np.moveaxis(rows, 0, dim)


def _sum_along(g, shape, dim, index):
    out = np.zeros_like(g, shape=shape, order="C")
    if out.ndim:
        add_along(out, dim, index, g)
        return out
    return out + g.sum()


_added = Op(
    "IndexSelectBackwardBackward0",
    _sum_along,
    params=("g", "shape", "dim", "index"),
    g=lambda g, dim, index: _index_select(g, dim, index),
)
_index_add = Op(
    "IndexAddBackward0",
    _index_added,
    params=("x", "dim", "index", "source"),
    x=lambda g: g,
    source=lambda g, dim, index, source_shape: _index_select(g, dim, index).expand(source_shape),
)


def index_add(input, dim, index, source, *, alpha=1, out=None):
    """input with alpha * source added to the entries of `dim` at `index`; equal indices add up."""
    d = axis(dim, input._data.ndim)
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError(f"index_add_(): Expected dtype int32/int64 for index but got: {scalar_name(index)}")
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"index_add_(): self ({scalar_name(input)}) and source ({scalar_name(source)}) must have the same scalar "
            "type"
        )
    have, given = list(input._data.shape), list(source._data.shape)
    if (have[:d] + have[d + 1 :]) != (given[:d] + given[d + 1 :]):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{have} source.shape = {given}"
        )
    if input._data.ndim and index._data.size != (given[d] if given else 1):
        raise RuntimeError(
            f"index_add_(): Number of indices ({index._data.size}) should be equal to source.size(dim): "
            f"({given[d] if given else 1}), for dim: {d}"
        )
    check_range(
        index, input._data.shape[d] if input._data.ndim else 1, d, RuntimeError if input._data.ndim > 1 else IndexError
    )
    return write(out, _index_add(input, d, index.reshape(-1), source if alpha == 1 else source * alpha))


def _index_copied(x, dim, index, source):
    out = x.copy()
    if x.ndim == 0:
        return source.reshape(()).copy()
    out[_slots(dim, index)] = source
    return out


_index_copy = Op(
    "IndexCopyBackward0",
    _index_copied,
    params=("x", "dim", "index", "source"),
    x=lambda g, dim, index: _index_fill(g, dim, index, g.new_zeros(())),
    source=lambda g, dim, index, source_shape: _index_select(g, dim, index).expand(source_shape),
)
_index_fill = Op(
    "IndexFillBackward0",
    lambda x, dim, index, value: _index_copied(x, dim, index, value) if x.ndim else np.array(value, x.dtype),
    x=lambda g, dim, index: _index_fill(g, dim, index, g.new_zeros(())),
    value=lambda g, dim, index: (g - _index_fill(g, dim, index, g.new_zeros(()))).sum(),
)


def index_copy(input, dim, index, source, *, out=None):
    """`input` with source's entries placed at `index` of `dim`."""
    d = axis(dim, input._data.ndim)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"index_copy_(): self and source expected to have the same dtype, but got (self) {scalar_name(input)} and "
            f"(source) {scalar_name(source)}"
        )
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {scalar_name(index)}")
    check_range(index, input._data.shape[d] if input._data.ndim else 1, d, IndexError)
    return write(out, _index_copy(input, d, index.reshape(-1), source))


def index_fill(input, dim, index, value):
    """`input` with the entries of `dim` at `index` set to one value."""
    d = axis(dim, input._data.ndim)
    if not isinstance(value, Tensor):
        value = input.new_full((), value)
    elif value._data.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._data.ndim} "
            "dimension(s)."
        )
    if index.dtype is not dtypes.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    check_range(index, input._data.shape[d] if input._data.ndim else 1, d, IndexError)
    return _index_fill(input, d, index.reshape(-1), value.to(input.dtype))


__all__ = ["index_add", "index_copy", "index_fill", "index_select"]
