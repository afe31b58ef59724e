"""Elements picked and placed along one dimension: gather, scatter and their reductions."""

from functools import lru_cache

import numpy as np

from ..autograd.inplace import check_apart, write
from ..autograd.op import Op
from ..autograd.variable import Tensor
from ..kernels.portable.precision import in_float32
from ..kernels.portable.scatter import positions
from .arguments import C_NAMES, need_tensor
from .dims import axis
from .index_along import check_range
from .indexing import _put, _slice
from .matmul import kernels_of
from .pointwise import scalar_name

SMALL = 1 << 10  # the sum of an index's lengths below which the positions beside it are kept, and its elements


def _along(x, dim, index):
    """`index`'s positions as an open grid: element (i, j, k) of the index stands for x[i, index[i, j, k], k] with dim
    1.
    """
    shape = index.shape
    grid = (_small_grid if sum(shape) < SMALL else _grid)(shape, dim)
    return (*grid[:dim], index, *grid[dim + 1 :])


def _grid(shape, dim):
    ndim = len(shape)
    return tuple([np.arange(n).reshape([-1 if k == d else 1 for k in range(ndim)]) for d, n in enumerate(shape)])


_small_grid = lru_cache(256)(_grid)


def _take_along(x, dim, index):
    if x.ndim == 0:
        return x.reshape(1)[index.reshape(1)].reshape(index.shape)
    if index.ndim == 0:
        return x[index]
    if index.size > SMALL and type(x) is np.ndarray and x.flags.c_contiguous:
        return x.reshape(-1).take(positions(np, x.shape, dim, index))
    return x[_along(x, dim, index)]


_empty_part = Op(
    "GatherBackward0",
    lambda x, shape: np.empty_like(x, shape=shape),
    params=("x", "shape"),
    x=lambda g, x_shape: g.new_zeros(x_shape),
)
_gather = Op(
    "GatherBackward0",
    _take_along,
    params=("x", "dim", "index"),
    x=lambda g, x_shape, dim, index: _spread(g, x_shape, dim, index),
)
_spread = Op(
    "ScatterAddBackward0",
    lambda g, shape, dim, index: _added(np.zeros_like(g, shape=shape, order="C"), dim, index, g),
    params=("g", "shape", "dim", "index"),
    g=lambda g, dim, index: _gather(g, dim, index),
)


def _check_gather(input, dim, index, name, src=None):
    d = axis(dim, input._data.ndim)
    if index._data.size and (index._data.dtype.kind not in "iu" or index._data.dtype.itemsize < 4):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    a, b = input._data, index._data
    if not b.size:
        return d
    if max(a.ndim, 1) != max(b.ndim, 1) and b.size:
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as {'input' if name == 'gather' else 'self'} tensor"
        )
    for k in range(b.ndim if a.ndim else 0):
        if k != d and b.shape[k] > a.shape[k]:
            if name == "gather":
                raise RuntimeError(
                    f"Size does not match at dimension {k} expected index {list(b.shape)} to be no larger than self "
                    f"{list(a.shape)} apart from dimension {d}"
                )
            raise RuntimeError(
                f"Expected index {list(b.shape)} to be no larger than self {list(a.shape)} apart from dimension {d}"
                + (f" and to be no larger size than src {list(src._data.shape)}" if src is not None else "")
            )
    if src is not None:
        if any(b.shape[k] > src._data.shape[k] for k in range(min(b.ndim, src._data.ndim))):
            raise RuntimeError(
                f"Expected index {list(b.shape)} to be no larger than self {list(a.shape)} apart from dimension {d} "
                f"and to be no larger size than src {list(src._data.shape)}"
            )
        if src.dtype is not input.dtype:
            raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    check_range(index, a.shape[d] if a.ndim else 1, d)
    return d


def gather(input, dim, index, *, sparse_grad=False, out=None):
    """out[i, j, k] = input[i, index[i, j, k], k] for dim 1, and so on."""
    need_tensor(index, "gather", "index", 3)
    d = _check_gather(input, dim, index, "gather")
    check_apart(out, input, index, numel=index._data.size)
    if out is not None and out.dtype is not input.dtype:
        have, want = C_NAMES[out.dtype.name], C_NAMES[input.dtype.name]
        raise RuntimeError(f"Expected out tensor to have dtype {want}, but got {have} instead")
    if not index._data.size:
        return write(out, _empty_part(input, index._data.shape))
    return write(out, _gather(input, d, index))


def _trim(src, index):
    return src[tuple([slice(n) for n in index.shape])]


def _place_along(x, dim, index, src):
    out = x.copy()
    target, at = (
        (out.reshape(1), index.reshape(-1)) if x.ndim == 0 else (out, index if index.ndim else index.reshape(1))
    )
    target[_along(target, dim, at)] = (
        _trim(src, index).reshape(at.shape) if isinstance(src, np.ndarray) and src.ndim else src
    )
    return out


def _add_along(x, dim, index, src):
    return _added(x.copy(order="C"), dim, index, src)


@in_float32
def _added(out, dim, index, src):
    """`src` added to `out` at `index` along a dimension, in place where it is not narrow."""
    at = index if index.ndim else index.reshape(1)
    src = np.broadcast_to(_trim(src, index).reshape(at.shape) if src.ndim else src, at.shape)
    kernels_of(out).scatter_add(np.atleast_1d(out), dim, at, src)
    return out


def _scatter_src(g, dim, index, src_shape):
    part = _gather(g, dim, index)
    if part._data.shape == tuple(src_shape):
        return part
    return _pad_to(part, src_shape)


_pad_to = Op(
    "PadToBackward0",
    lambda x, shape: _put(x, shape, tuple([slice(n) for n in x.shape])),
    params=("x", "shape"),
    x=lambda g, x_shape: _slice(g, tuple([slice(n) for n in x_shape])),
)
_scatter = Op(
    "ScatterBackward0",
    _place_along,
    params=("x", "dim", "index", "src"),
    x=lambda g, dim, index: _scatter(g, dim, index, g.new_zeros(index._data.shape)),
    src=lambda g, dim, index, src_shape: _scatter_src(g, dim, index, src_shape),
)
_scatter_add = Op(
    "ScatterAddBackward0",
    _add_along,
    params=("x", "dim", "index", "src"),
    x=lambda g: g,
    src=lambda g, dim, index, src_shape: _scatter_src(g, dim, index, src_shape),
)


def scatter(input, dim, index, src=None, *, value=None, reduce=None, out=None):
    """`input` with src's elements (or one value) placed where `gather` would have read; reduce "add" or "multiply"
    combines.
    """
    src = value if src is None else src
    d = _check_gather(input, dim, index, "scatter", src if isinstance(src, Tensor) else None)
    if not isinstance(src, Tensor):
        src = input.new_full(index._data.shape, src)
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError("reduce argument must be either add or multiply.")
        return write(out, scatter_reduce(input, d, index, src, "sum" if reduce == "add" else "prod"))
    return write(out, _scatter(input, d, index, src) if index._data.size else input.clone())


def scatter_add(input, dim, index, src, *, out=None):
    """`input` with src's elements added where `gather` would have read."""
    need_tensor(index, "scatter_add", "index", 3)
    d = _check_gather(input, dim, index, "scatter_add", src)
    return write(out, _scatter_add(input, d, index, src) if index._data.size else input.clone())


_REDUCE = {"sum": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum, "mean": np.add}


def scatter_reduce(input, dim, index, src, reduce, *, include_self=True, out=None):
    """Elements of src combined by sum, prod, mean, amax or amin where `gather` would have read."""
    if reduce not in _REDUCE:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    d = _check_gather(input, dim, index, "scatter_reduce", src)
    if reduce == "sum" and include_self:
        return scatter_add(input, d, index, src, out=out)
    return write(out, _scatter_reduce(input, d, index, src, reduce, include_self))


def _extreme_of(kind, lowest: bool):
    """The lowest or highest value of a NumPy dtype."""
    if kind.kind == "b":
        return not lowest
    if kind.kind in "iu":
        return np.iinfo(kind).min if lowest else np.iinfo(kind).max
    return -np.inf if lowest else np.inf


def _reduce_along(x, dim, index, src, reduce, include_self):
    out = np.atleast_1d(x.copy())
    at = _along(out, dim, np.atleast_1d(index))
    src = np.atleast_1d(_trim(src, index) if src.ndim else src)
    if not include_self:
        out[at] = {"sum": 0, "mean": 0, "prod": 1}.get(reduce, _extreme_of(x.dtype, lowest=reduce == "amax"))
    _REDUCE[reduce].at(out, at, src)
    if reduce == "mean":
        count = np.full(out.shape, 1 if include_self else 0)
        np.add.at(count, at, 1)
        count = np.maximum(count, 1)
        out = (out // count if x.dtype.kind in "iu" else out / count).astype(x.dtype)
    return out.reshape(x.shape)


def _reduce_shares(g, x, dim, index, src, out, reduce, include_self):
    """Gradients of scatter_reduce with respect to x and src."""
    zeros = g.new_zeros(x._data.shape)
    ones = g.new_zeros(index._data.shape) + 1
    kept = x * 0 + 1 if include_self else _scatter(x * 0 + 1, dim, index, g.new_zeros(index._data.shape))
    if reduce in ("sum", "mean"):
        if reduce == "mean":
            count = scatter_add(kept, dim, index, ones)
            g = g / count.masked_fill(count == 0, 1)
        return g * kept, _scatter_src(g, dim, index, src._data.shape)
    part = _slice(src, tuple([slice(n) for n in index._data.shape])) if src._data.ndim else src
    if reduce == "prod":  # the product of all the others, also where one or two of them are 0
        mine = x.masked_fill(x == 0, 1)
        gx = g * _scatter_reduce(mine, dim, index, src, "prod", include_self) / mine * kept
        zero = part == 0
        single = zero & (_gather(scatter_add(zeros, dim, index, zero.to(g.dtype)), dim, index) == 1)
        others = _scatter_reduce(x, dim, index, part.masked_fill(single, 1), "prod", include_self)
        whole = _gather(g * others, dim, index).masked_fill(~single, 0)
        whole = whole + (_gather(g * out, dim, index) / part.masked_fill(zero, 1)).masked_fill(zero, 0)
        return gx, _pad_to(whole, src._data.shape) if whole._data.shape != src._data.shape else whole
    x_wins = (x == out).to(g.dtype) * kept
    src_wins = (part == _gather(out, dim, index)).to(g.dtype)
    winners = scatter_add(zeros, dim, index, src_wins) + x_wins
    share = g / winners.masked_fill(winners == 0, 1)
    back = src_wins * _gather(share, dim, index)
    return share * x_wins, _pad_to(back, src._data.shape) if back._data.shape != src._data.shape else back


_scatter_reduce = Op(
    "ScatterReduceBackward0",
    _reduce_along,
    params=("x", "dim", "index", "src", "reduce", "include_self"),
    inputs=("x", "src"),
    joint=lambda g, needs, x, dim, index, src, out, reduce, include_self: _reduce_shares(
        g, x, dim, index, src, out, reduce, include_self
    ),
)


def index_reduce(input, dim, index, source, reduce, *, include_self=True, out=None):
    """input with source's entries combined by prod, mean, amax or amin into the entries of `dim` at `index`."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    if index._data.ndim > 1:
        raise RuntimeError("index_reduce(): Index is supposed to be a vector or a scalar")
    if source.dtype is not input.dtype:
        raise RuntimeError("index_reduce(): self and source expected to have the same scalar type")
    d = axis(dim, input._data.ndim)
    check_range(index, input._data.shape[d] if input._data.ndim else 1, d)
    index = index.reshape([-1 if i == d else 1 for i in range(max(source._data.ndim, 1))]).expand(
        source._data.shape or 1
    )
    if source._data.ndim == 0:
        index = index.reshape(())
    return write(out, _scatter_reduce(input, d, index, source, reduce, include_self))


def _from_start(index, size: int):
    """Negative indices counted from the end."""
    return index + (index < 0) * size if index._data.size and index._data.min() < 0 else index


def take_along_dim(input, indices, dim=None):
    """Elements along `dim` at broadcast indices (as numpy.take_along_axis)."""
    need_tensor(indices, "take_along_dim", "indices", 2)
    if indices._data.dtype != np.int64:
        raise RuntimeError("torch.take_along_dim(): dtype of indices should be Long but got " + scalar_name(indices))
    if dim is None:
        return gather(input.reshape(-1), 0, _from_start(indices.reshape(-1), input._data.size))
    d = axis(dim, input._data.ndim)
    if input._data.ndim != indices._data.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input._data.ndim} dimensions for input, and {indices._data.ndim} dimensions for indices"
        )
    a, b = list(input._data.shape), list(indices._data.shape)
    rest = np.broadcast_shapes(tuple(s for i, s in enumerate(a) if i != d), tuple(s for i, s in enumerate(b) if i != d))
    rest = list(rest)
    a, b = [*rest[:d], a[d], *rest[d:]], [*rest[:d], b[d], *rest[d:]]
    return gather(input.expand(a), d, _from_start(indices.expand(b), a[d]))


__all__ = ["gather", "index_reduce", "scatter", "scatter_add", "scatter_reduce", "take_along_dim"]
