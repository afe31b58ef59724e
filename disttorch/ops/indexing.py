"""Picking and placing elements: tensor[...], gather and scatter, masks, index_select and its kin."""

import numpy as np

from .. import dtypes
from ..autograd.inplace import assign, check_inplace, write
from ..autograd.op import Op, ViewOp
from ..autograd.variable import Tensor, counter, wrap
from .reduction import axis

# -- tensor[index] ----------------------------------------------------------------------------------------------------


def _key(index, shape: tuple):
    """A Python index as NumPy takes it, and whether it makes a view (no arrays in it)."""
    parts = index if isinstance(index, tuple) else (index,)
    key, basic = [], True
    for p in parts:
        if isinstance(p, Tensor):
            data = p._data
            if data.dtype.kind == "b":
                if data.ndim == 0:
                    key.append(bool(data))
                    basic = False
                    continue
            elif data.dtype.kind not in "iu":
                raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
            elif data.dtype == np.uint8:
                data = data.astype(bool)
            elif data.ndim == 0:
                key.append(int(data))
                continue
            key.append(data)
            basic = False
        elif isinstance(p, slice):
            if p.step is not None and p.step <= 0:
                raise ValueError("step must be greater than zero")
            key.append(slice(*[None if s is None else int(s) for s in (p.start, p.stop, p.step)]))
        elif p is None or p is Ellipsis:
            key.append(p)
        elif isinstance(p, (bool, np.bool_)):
            key.append(bool(p))
            basic = False
        elif isinstance(p, (list, range)) or (isinstance(p, np.ndarray)):
            array = np.asarray(p)
            key.append(array.astype(np.int64) if array.size == 0 else array)
            basic = False
        elif isinstance(p, tuple):
            key.append(np.asarray(p))
            basic = False
        elif hasattr(p, "__index__"):
            key.append(p.__index__())
        else:
            raise TypeError(
                f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(p).__name__})"
            )
    return tuple(key), basic


def _index_error(key, shape: tuple) -> IndexError | None:
    """PyTorch's complaint about an index that does not fit, or None."""
    consumed = 0
    count = sum(1 if not (isinstance(k, np.ndarray) and k.dtype.kind == "b") else k.ndim for k in key if k is not None and k is not Ellipsis and not isinstance(k, bool))
    if count > len(shape):
        if len(shape) == 0 and count:
            return IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number")
        return IndexError(f"too many indices for tensor of dimension {len(shape)}")
    for k in key:
        if k is Ellipsis:
            consumed += len(shape) - count
        elif k is None or isinstance(k, bool):
            continue
        elif isinstance(k, int):
            if not -shape[consumed] <= k < shape[consumed]:
                return IndexError(f"index {k} is out of bounds for dimension {consumed} with size {shape[consumed]}")
            consumed += 1
        elif isinstance(k, np.ndarray) and k.dtype.kind == "b":
            for i in range(k.ndim):
                if k.shape[i] != shape[consumed + i]:
                    return IndexError(
                        f"The shape of the mask {list(k.shape)} at index {i} does not match the shape of the indexed tensor {list(shape)} at index {consumed + i}"
                    )
            consumed += k.ndim
        elif isinstance(k, np.ndarray):
            bad = k[(k >= shape[consumed]) | (k < -shape[consumed])]
            if bad.size:
                return IndexError(f"index {int(bad.flat[0])} is out of bounds for dimension {consumed} with size {shape[consumed]}")
            consumed += 1
        else:
            consumed += 1
    arrays = [k.shape for k in key if isinstance(k, np.ndarray) and k.dtype.kind != "b"]
    try:
        np.broadcast_shapes(*arrays)
    except ValueError:
        return IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes " + ", ".join(str(list(a)) for a in arrays))
    return None


def _put(g, shape, key):
    z = np.zeros_like(g, shape=shape, order="C")
    z[key] = g
    return z


def _accumulate(g, shape, key):
    z = np.zeros_like(g, shape=shape, order="C")
    if any(isinstance(k, np.ndarray) and k.dtype.kind != "b" for k in key):
        np.add.at(z, key, g)
    else:
        z[key] = g
    return z


def _rows(g, shape, key):
    """Gradient of x[indices] with one index array for dimension 0: rows that meet are added by the kernel."""
    from ..kernels import for_device

    z = np.zeros_like(g, shape=shape, order="C")
    for_device("cpu" if isinstance(z, np.ndarray) else "cuda").index_add(z, key[0].reshape(-1) % max(shape[0], 1), g.reshape(-1, *shape[1:]))
    return z


def _is_rows(key) -> bool:
    return len(key) == 1 and isinstance(key[0], np.ndarray) and key[0].dtype.kind != "b"


_slice = ViewOp("SliceBackward0", lambda x, key: x[key], x=lambda g, x_shape, key: _slice_back(g, x_shape, key))
_slice_back = Op("SliceBackwardBackward0", _put, params=("g", "shape", "key"), **{"g": lambda g, key: _slice(g, key)})
_index = Op("IndexBackward0", lambda x, key: x[key], x=lambda g, x_shape, key: (_rows_back if _is_rows(key) else _index_back)(g, x_shape, key))
_index_back = Op("IndexPutBackward0", _accumulate, params=("g", "shape", "key"), **{"g": lambda g, key: _index(g, key)})
_rows_back = Op("IndexPutBackward0", _rows, params=("g", "shape", "key"), **{"g": lambda g, key: _index(g, key)})


def getitem(self, index):
    """tensor[index]: ints, slices, None and ... give views; tensors and lists of indices or a mask give copies."""
    if type(index) is int:
        shape = self._data.shape
        if shape and -shape[0] <= index < shape[0]:
            return _slice(self, (index, ...))
    key, basic = _key(index, self._data.shape)
    try:
        return (_slice if basic else _index)(self, (*key, ...) if basic and Ellipsis not in key else key)
    except IndexError:
        raise _index_error(key, self._data.shape) or IndexError(f"invalid index {index!r} for shape {list(self._data.shape)}") from None


def _overwrite(x, key, value):
    out = x.copy()
    out[key] = value
    return out


_index_put = Op(
    "IndexPutBackward0",
    _overwrite,
    params=("x", "key", "value"),
    x=lambda g, key: _erase(g, key),
    value=lambda g, key: _index(g, key),
)
_erase = Op("EraseBackward0", lambda x, key: _overwrite(x, key, 0), params=("x", "key"), x=lambda g, key: _erase(g, key))


def setitem(self, index, value):
    """tensor[index] = value, with the value broadcast to the indexed part."""
    check_inplace(self)
    key, basic = _key(index, self._data.shape)
    if basic:
        part = getitem(self, index)
        if isinstance(value, Tensor):
            from .copying import copy_

            have, want = value._data.shape, part._data.shape
            while len(have) > len(want) and have[0] == 1:
                have = have[1:]
            copy_(part, value.reshape(have) if have != value._data.shape else value)
        else:
            from .fill import fill_

            fill_(part, value)
        return
    if not isinstance(value, Tensor):
        value = wrap(np.asarray(value, self._data.dtype), self.device)
    else:
        value = value.to(device=self.device, dtype=self.dtype) if value.dtype is not self.dtype or value.device is not self.device else value
    try:
        if not (self.requires_grad or value.requires_grad) and self.device.host:
            self._data[key] = value._data
            counter(self)[0] += 1
        else:
            assign(self, _index_put(self, key, value))
    except (IndexError, ValueError) as error:
        known = _index_error(key, self._data.shape)
        if known is not None:
            raise known from None
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value._data.shape)} cannot be broadcast to indexing result of shape {list(self._data[key].shape)}"
        ) from error


def index_put(input, indices, values, accumulate=False):
    """`input` with values placed at (or, with accumulate, added to) the positions that the index tensors name."""
    key, _ = _key(tuple(indices), input._data.shape)
    if values.dtype is not input.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {_scalar(input)} for the destination and {_scalar(values)} for the source."
        )
    if not accumulate:
        return _index_put(input, key, values)
    return input + _index_back(values.expand(input._data[key].shape), input._data.shape, key)


def _scalar(t) -> str:
    return dtypes.SCALAR_NAMES[t.dtype]


# -- along one dimension ----------------------------------------------------------------------------------------------
def _check_index(index, name):
    if index._data.dtype.kind not in "iu" or index._data.dtype.itemsize < 4:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")


def _check_range(index, size, dim):
    data = index._data
    if data.size and not (0 <= data.min() and data.max() < size):
        bad = data[(data < 0) | (data >= size)].flat[0]
        raise RuntimeError(f"index {int(bad)} is out of bounds for dimension {dim} with size {size}")


_index_select = Op(
    "IndexSelectBackward0",
    lambda x, dim, index: np.take(x, index, axis=dim) if x.ndim else np.take(x.reshape(1), index)[0],
    x=lambda g, x_shape, dim, index: index_add(g.new_zeros(x_shape), dim, index, g),
)


def index_select(input, dim, index, *, out=None):
    """The entries of dimension `dim` at `index` (1-D), as a copy."""
    d = axis(dim, input._data.ndim)
    if index._data.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    _check_index(index, "index_select")
    size = input._data.shape[d] if input._data.ndim else 1
    data = index._data
    if data.size and not (0 <= data.min() and data.max() < size):
        raise IndexError("index out of range in self")
    return write(out, _index_select(input, d, index.reshape(-1)))


def _along(x, dim, index):
    """`index`'s positions as an open grid: element (i, j, k) of the index stands for x[i, index[i, j, k], k] with dim 1."""
    grid = [np.arange(n).reshape([-1 if k == d else 1 for k in range(index.ndim)]) for d, n in enumerate(index.shape)]
    grid[dim] = index
    return tuple(grid)


def _take_along(x, dim, index):
    if x.ndim == 0:
        return x.reshape(1)[index.reshape(1)].reshape(index.shape)
    if index.ndim == 0:
        return x[index]
    return x[_along(x, dim, index)]


_gather = Op("GatherBackward0", _take_along, params=("x", "dim", "index"), x=lambda g, x_shape, dim, index: scatter_add(g.new_zeros(x_shape), dim, index, g))


def _check_gather(input, dim, index, name, src=None):
    d = axis(dim, input._data.ndim)
    if index._data.dtype.kind not in "iu" or index._data.dtype.itemsize < 4:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    a, b = input._data, index._data
    if max(a.ndim, 1) != max(b.ndim, 1) and b.size:
        raise RuntimeError(f"Index tensor must have the same number of dimensions as {'input' if name == 'gather' else 'self'} tensor")
    for k in range(b.ndim if a.ndim else 0):
        if k != d and b.shape[k] > a.shape[k]:
            if name == "gather":
                raise RuntimeError(
                    f"Size does not match at dimension {k} expected index {list(b.shape)} to be no larger than self {list(a.shape)} apart from dimension {d}"
                )
            raise RuntimeError(
                f"Expected index {list(b.shape)} to be no larger than self {list(a.shape)} apart from dimension {d}"
                + (f" and to be no larger size than src {list(src._data.shape)}" if src is not None else "")
            )
    if src is not None:
        if any(b.shape[k] > src._data.shape[k] for k in range(min(b.ndim, src._data.ndim))):
            raise RuntimeError(
                f"Expected index {list(b.shape)} to be no larger than self {list(a.shape)} apart from dimension {d} and to be no larger size than src {list(src._data.shape)}"
            )
        if src.dtype is not input.dtype:
            raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    _check_range(index, a.shape[d] if a.ndim else 1, d)
    return d


def gather(input, dim, index, *, sparse_grad=False, out=None):
    """out[i, j, k] = input[i, index[i, j, k], k] for dim 1, and so on."""
    d = _check_gather(input, dim, index, "gather")
    return write(out, _gather(input, d, index) if index._data.size else input.new_empty(index._data.shape))


def _trim(src, index):
    return src[tuple([slice(n) for n in index.shape])]


def _place_along(x, dim, index, src):
    out = x.copy()
    target, at = (out.reshape(1), index.reshape(-1)) if x.ndim == 0 else (out, index if index.ndim else index.reshape(1))
    target[_along(target, dim, at)] = _trim(src, index).reshape(at.shape) if isinstance(src, np.ndarray) and src.ndim else src
    return out


def _add_along(x, dim, index, src):
    out = x.copy()
    target, at = (out.reshape(1), index.reshape(-1)) if x.ndim == 0 else (out, index if index.ndim else index.reshape(1))
    np.add.at(target, _along(target, dim, at), _trim(src, index).reshape(at.shape) if src.ndim else src)
    return out


def _scatter_src(g, dim, index, src_shape):
    part = _gather(g, dim, index)
    if part._data.shape == tuple(src_shape):
        return part
    return _pad_to(part, src_shape)


_pad_to = Op("PadToBackward0", lambda x, shape: _put(x, shape, tuple([slice(n) for n in x.shape])), params=("x", "shape"), x=lambda g, x_shape: _slice(g, tuple([slice(n) for n in x_shape])))
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
    """`input` with src's elements (or one value) placed where `gather` would have read; reduce "add" or "multiply" combines."""
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


def _reduce_along(x, dim, index, src, reduce, include_self):
    out = np.atleast_1d(x.copy())
    at = _along(out, dim, np.atleast_1d(index))
    src = np.atleast_1d(_trim(src, index) if src.ndim else src)
    if not include_self:
        limits = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype) if x.dtype.kind in "iu" else None
        neutral = {"sum": 0, "mean": 0, "prod": 1}.get(reduce)
        if neutral is None:
            neutral = (-np.inf if reduce == "amax" else np.inf) if x.dtype.kind == "f" else (limits.min if reduce == "amax" else limits.max)
        out[at] = neutral
    _REDUCE[reduce].at(out, at, src)
    if reduce == "mean":
        count = np.full(out.shape, 1 if include_self else 0)
        np.add.at(count, at, 1)
        count = np.maximum(count, 1)
        out = out // count if x.dtype.kind in "iu" else (out / count).astype(x.dtype)
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
    if reduce == "prod":
        part = _slice(src, tuple([slice(n) for n in index._data.shape])) if src._data.ndim else src
        whole = _gather(g * out, dim, index) / part
        return (g * out / x) * kept, _pad_to(whole, src._data.shape) if whole._data.shape != src._data.shape else whole
    part = _slice(src, tuple([slice(n) for n in index._data.shape])) if src._data.ndim else src
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
    joint=lambda g, needs, x, dim, index, src, out, reduce, include_self: _reduce_shares(g, x, dim, index, src, out, reduce, include_self),
)


# -- whole slices along one dimension -----------------------------------------------------------------------------
def _slots(dim, index):
    return (slice(None),) * dim + (index,)


def _index_added(x, dim, index, source):
    from ..kernels import for_device

    out = np.array(x, order="C")
    if x.ndim == 0:
        return out + source.sum()
    rows = np.moveaxis(out, dim, 0)
    source = np.moveaxis(source, dim, 0) if source.ndim == x.ndim else source.reshape((-1, *rows.shape[1:]))
    if dim == 0 and source.flags.c_contiguous:
        for_device("cpu").index_add(rows, index, source)
    else:
        np.add.at(rows, index, source)
    return out


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
    if source.dtype is not input.dtype:
        raise RuntimeError(f"index_add_(): self ({_scalar(input)}) and source ({_scalar(source)}) must have the same scalar type")
    _check_range(index, input._data.shape[d] if input._data.ndim else 1, d)
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
    value=lambda g, dim, index: _index_select(g, dim, index).sum(),
)


def index_copy(input, dim, index, source, *, out=None):
    """`input` with source's entries placed at `index` of `dim`."""
    d = axis(dim, input._data.ndim)
    if source.dtype is not input.dtype:
        raise RuntimeError(f"index_copy_(): self and source expected to have the same dtype, but got (self) {_scalar(input)} and (source) {_scalar(source)}")
    _check_range(index, input._data.shape[d] if input._data.ndim else 1, d)
    return write(out, _index_copy(input, d, index.reshape(-1), source))


def index_fill(input, dim, index, value):
    """`input` with the entries of `dim` at `index` set to one value."""
    d = axis(dim, input._data.ndim)
    if not isinstance(value, Tensor):
        value = input.new_full((), value)
    elif value._data.ndim:
        raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._data.ndim} dimension(s).")
    _check_range(index, input._data.shape[d] if input._data.ndim else 1, d)
    return _index_fill(input, d, index.reshape(-1), value.to(input.dtype))


# -- masks ------------------------------------------------------------------------------------------------------------
def _check_mask(mask, name):
    if mask._data.dtype.kind != "b":
        raise RuntimeError(f"{name} expected bool tensor for mask, but got {_scalar(mask)}" if name == "masked_select" else f"{name} only supports boolean masks, but got mask with dtype {mask.dtype}")


def _mask_filled(x, mask, value):
    return np.where(mask, np.asarray(value, x.dtype), x)


_masked_fill = Op(
    "MaskedFillBackward0",
    _mask_filled,
    params=("x", "mask", "value"),
    x=lambda g, mask: _masked_fill(g, mask, 0),
    value=lambda g, mask: _masked_fill(g, ~mask, 0).sum(),
)


def masked_fill(input, mask, value):
    """`input` with `value` where `mask` is true."""
    _check_mask(mask, "masked_fill_")
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._data.ndim} dimension(s).")
        value = value.to(input.dtype)
    elif not dtypes.can_cast(dtypes.of_scalar(value), input.dtype):
        raise RuntimeError(f"value cannot be converted to type {_C_NAMES.get(input.dtype.name, input.dtype.name)} without overflow")
    if input.device is not mask.device:
        mask = mask.to(input.device) if mask._data.ndim == 0 else mask
    return _masked_fill(input, mask, value)


_C_NAMES = {"int64": "int64_t", "int32": "int", "float32": "float", "float64": "double", "uint8": "uint8_t", "bool": "bool"}


def masked_select(input, mask, *, out=None):
    """The elements where `mask` is true, in one dimension."""
    _check_mask(mask, "masked_select")
    from .shape import broadcast_tensors

    input, mask = broadcast_tensors(input, mask)
    return write(out, _index(input, (mask._data,)).reshape(-1))


def _mask_scattered(x, mask, source):
    mask = np.broadcast_to(mask, x.shape)
    out = x.copy()
    out[mask] = source.reshape(-1)[: int(mask.sum())]
    return out


_masked_scatter = Op(
    "MaskedScatterBackward0",
    _mask_scattered,
    params=("x", "mask", "source"),
    x=lambda g, mask: _masked_fill(g, mask, 0),
    source=lambda g, mask, source_shape: _pad_to(masked_select(g, mask), (int(np.prod(source_shape)),)).reshape(source_shape),
)


def masked_scatter(input, mask, source):
    """`input` with source's elements, in order, where `mask` is true."""
    _check_mask(mask, "masked_scatter_")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"masked_scatter_: expected self and source to have same dtypes but got {_scalar(input)} and {_scalar(source)}")
    from .shape import broadcast_tensors

    input, mask = broadcast_tensors(input, mask)
    if int(mask._data.sum()) > source._data.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return _masked_scatter(input, mask, source)


def nonzero(input, *, out=None, as_tuple=False):
    """The indices of the elements that are not 0: a row each, or with `as_tuple` a tensor per dimension."""
    data = input._data
    found = np.nonzero(np.atleast_1d(data))
    if as_tuple:
        return tuple([wrap(f, input.device) for f in found])
    rows = np.stack(found, 1) if data.ndim else np.zeros((int(bool(data)), 0), np.int64)
    return write(out, wrap(rows, input.device))


def argwhere(input):
    return nonzero(input)


def take(input, index):
    """Elements of the flattened tensor."""
    size = input._data.size
    data = index._data
    if data.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {_scalar(index)}")
    if data.size and not (-size <= data.min() and data.max() < size):
        raise IndexError(f"out of range: tried to access index {int(data[(data < -size) | (data >= size)].flat[0])} on a tensor of {size} elements.")
    return _index(input.reshape(-1), (data,))


def put(input, index, source, accumulate=False):
    """`input` with source's elements at positions of the flattened tensor."""
    flat = index_put(input.reshape(-1), (index.reshape(-1),), source.reshape(-1), accumulate)
    return flat.reshape(input._data.shape)


def take_along_dim(input, indices, dim=None):
    """Elements along `dim` at broadcast indices (as numpy.take_along_axis)."""
    if indices._data.dtype != np.int64:
        raise RuntimeError("torch.take_along_dim(): dtype of indices should be Long but got " + _scalar(indices))
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    d = axis(dim, input._data.ndim)
    if input._data.ndim != indices._data.ndim:
        raise RuntimeError(
            f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got {input._data.ndim} dimensions for input, and {indices._data.ndim} dimensions for indices"
        )
    a, b = list(input._data.shape), list(indices._data.shape)
    rest = np.broadcast_shapes(tuple(s for i, s in enumerate(a) if i != d), tuple(s for i, s in enumerate(b) if i != d))
    rest = list(rest)
    a, b = [*rest[:d], a[d], *rest[d:]], [*rest[:d], b[d], *rest[d:]]
    return gather(input.expand(a), d, indices.expand(b))

__all__ = [
    "argwhere", "gather", "getitem", "index_add", "index_copy", "index_fill", "index_put", "index_select",
    "masked_fill", "masked_scatter", "masked_select", "nonzero", "put", "scatter", "scatter_add", "scatter_reduce",
    "setitem", "take", "take_along_dim",
]  # fmt: skip
