"""tensor[index] and what is like it: advanced indexing, index_put, take and put."""

import warnings
from math import prod

import numpy as np

from .. import dtypes, meta
from ..autograd.inplace import assign, check_apart, check_history, check_inplace, check_written, is_expanded, write
from ..autograd.mode import mode
from ..autograd.op import Op, ViewOp
from ..autograd.variable import Tensor, counter, mark_view, wrap
from .arguments import need_tensor, type_name
from .fill import NUMBERS, element, fill_
from .index_along import add_along
from .pointwise import broadcast_error, scalar_name


def _bound(value) -> int:
    if not hasattr(value, "__index__"):
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    return value.__index__()


def _means_tuple(index: list) -> bool:
    """Whether a list stands for a tuple of its elements, as PyTorch takes short ones that hold more than numbers."""
    if len(index) >= 32 or not any(
        isinstance(p, Tensor | slice | list | tuple | range | np.ndarray) or p is None or p is Ellipsis for p in index
    ):
        return False
    warnings.warn(
        "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; "
        "use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, "
        "x[torch.tensor(seq)], which will result either in an error or a different result",
        stacklevel=4,
    )
    return True


def _key(index) -> tuple[tuple, bool]:
    """A Python index as NumPy takes it, and whether it makes a view (no arrays in it)."""
    if isinstance(index, list) and _means_tuple(index):
        index = tuple(index)
    parts = index if isinstance(index, tuple) else (index,)
    key, basic = [], True
    for p in parts:
        if isinstance(p, Tensor):
            data = p._data
            if data.dtype.kind == "b":
                meta.refuse("aten::nonzero", p)
                if data.ndim == 0:
                    key.append(bool(data))
                    basic = False
                    continue
            elif data.dtype.name not in ("int64", "int32", "uint8"):
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
                raise ValueError("slice step cannot be zero" if p.step == 0 else "step must be greater than zero")
            key.append(slice(*[None if s is None else _bound(s) for s in (p.start, p.stop, p.step)]))
        elif p is None or p is Ellipsis:
            key.append(p)
        elif isinstance(p, (bool, np.bool_)):
            key.append(bool(p))
            basic = False
        elif isinstance(p, (list, range, np.ndarray)):
            array = np.asarray(p)
            if array.dtype.kind == "O":
                strange = next((v for v in array.flat if not isinstance(v, NUMBERS)), p)
                raise RuntimeError(f"Could not infer dtype of {type_name(strange)}")
            key.append(array.astype(np.int64) if array.size == 0 else array)
            basic = False
        elif isinstance(p, tuple):
            key.append(np.asarray(p))
            basic = False
        elif hasattr(p, "__index__"):
            key.append(p.__index__())
        elif isinstance(p, (str, bytes)):
            raise TypeError(f"new(): invalid data type '{type(p).__name__}'")
        else:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                f"(got {type_name(p)})"
            )
    return tuple(key), basic


def _in_two(key: tuple) -> tuple[tuple, tuple] | None:
    """The index in two steps, if ints stand beside arrays: as PyTorch takes it, ints and slices first, then arrays.

    NumPy counts an int among the arrays, which may move the arrays' dimensions to the front.
    """
    if not any(type(k) is int for k in key):
        return None
    first, then = [], []
    for k in key:
        if isinstance(k, bool):
            k = np.array([k])
            first.append(None)
        elif isinstance(k, np.ndarray):
            first += [slice(None)] * (k.ndim if k.dtype.kind == "b" else 1)
        else:
            first.append(k)
            if type(k) is int:
                continue
            k = k if k is Ellipsis else slice(None)
        then.append(k)
    return tuple(first), tuple(then)


def _index_error(key, shape: tuple) -> IndexError | None:
    """PyTorch's complaint about an index that does not fit, or None."""
    consumed = 0
    count = sum(
        1 if not (isinstance(k, np.ndarray) and k.dtype.kind == "b") else k.ndim
        for k in key
        if k is not None and k is not Ellipsis and not isinstance(k, bool)
    )
    if count > len(shape):
        if not shape and len(key) == 1 and isinstance(key[0], int):
            return IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to "
                "convert a 0-dim tensor to a number"
                if key[0] == 0
                else f"index {key[0]} is out of bounds for dimension 0 with size 0"
            )
        if not shape and any(isinstance(k, slice) for k in key):
            return IndexError("slice() cannot be applied to a 0-dim tensor.")
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
                        f"The shape of the mask {list(k.shape)} at index {i} does not match the shape of the indexed "
                        f"tensor {list(shape)} at index {consumed + i}"
                    )
            consumed += k.ndim
        elif isinstance(k, np.ndarray):
            bad = k[(k >= shape[consumed]) | (k < -shape[consumed])]
            if bad.size:
                return IndexError(
                    f"index {int(bad.flat[0])} is out of bounds for dimension {consumed} with size {shape[consumed]}"
                )
            consumed += 1
        else:
            consumed += 1
    arrays = [k.shape for k in key if isinstance(k, np.ndarray) and k.dtype.kind != "b"]
    try:
        np.broadcast_shapes(*arrays)
    except ValueError:
        return IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(a)) for a in arrays)
        )
    return None


def _put(g, shape, key):
    z = np.zeros_like(g, shape=shape, order="C")
    z[key] = g
    return z


def _accumulate(g, shape, key):
    z = np.zeros_like(g, shape=shape, order="C")
    if (vector := _vector(key)) is not None:
        add_along(z, len(key) - 1, vector % shape[len(key) - 1], g)
    elif any(isinstance(k, np.ndarray) and k.dtype.kind != "b" for k in key):
        np.add.at(z, key, g)
    else:
        z[key] = g
    return z


def _rows(g, shape, key):
    """Gradient of x[indices] with one index array for dimension 0: rows that meet are added by the kernel."""
    from ..kernels import for_device

    kernels = for_device("cpu" if isinstance(g, np.ndarray) else "cuda")
    width = prod(shape[1:])
    sums = kernels.embedding_backward(g.reshape(*key[0].shape, width), key[0] % max(shape[0], 1), shape[0])
    return sums.reshape(shape)


def _is_rows(key) -> bool:
    return len(key) == 1 and isinstance(key[0], np.ndarray) and key[0].dtype.kind != "b"


_slice = ViewOp("SliceBackward0", lambda x, key: x[key], x=lambda g, x_shape, key: _slice_back(g, x_shape, key))
_slice_back = Op("SliceBackwardBackward0", _put, params=("g", "shape", "key"), g=lambda g, key: _slice(g, key))
_select = ViewOp("SelectBackward0", _slice.forward, x=_slice.gradients["x"])
_insert = ViewOp("UnsqueezeBackward0", _slice.forward, x=_slice.gradients["x"])


def _vector(key):
    """The last part, if it is a vector of indices and all before it are whole dimensions; else None."""
    *before, last = key
    sole = all([type(k) is slice and k == _WHOLE for k in before])
    return last if sole and isinstance(last, np.ndarray) and last.ndim == 1 and last.dtype.kind != "b" else None


def _taken(x, key):
    """Elements by arrays of indices, in the order in memory of their own that PyTorch gives them."""
    if len(key) > 1 and x.flags.c_contiguous and (vector := _vector(key)) is not None:
        return np.take(x, vector, axis=len(key) - 1)
    out = x[key]
    return out if out.flags.c_contiguous or not x.flags.c_contiguous else out.copy()


_index = Op(
    "IndexBackward0",
    _taken,
    x=lambda g, x_shape, key: (_rows_back if _is_rows(key) else _index_back)(g, x_shape, key),
)
_index_back = Op("IndexPutBackward0", _accumulate, params=("g", "shape", "key"), g=lambda g, key: _index(g, key))
_rows_back = Op("IndexPutBackward0", _rows, params=("g", "shape", "key"), g=lambda g, key: _index(g, key))


def _view_of(key: tuple) -> ViewOp:
    """The operation that PyTorch's indexing, which goes from left to right, ends with."""
    last = next((k for k in reversed(key) if k is not Ellipsis and k != slice(None)), slice(None))
    return _insert if last is None else _select if isinstance(last, int) else _slice


_BOUNDS = (int, type(None))
_WHOLE = slice(None)


def _simple(index) -> tuple[tuple, ViewOp | None]:
    """An index of nothing but ints, slices, None and ... as NumPy takes it, and its operation; None for any other."""
    parts = index if type(index) is tuple else (index,)
    op, whole = _slice, True
    for p in parts:
        kind = type(p)
        if kind is slice:
            start, stop, step = p.start, p.stop, p.step
            if step is None:
                if start is None and stop is None:
                    continue
            elif type(step) is not int or step <= 0:
                return (), None
            if type(start) not in _BOUNDS or type(stop) not in _BOUNDS:
                return (), None
            op = _slice
        elif kind is int:
            op = _select
        elif p is None:
            op = _insert
        elif p is Ellipsis:
            whole = False
        else:
            return (), None
    return (*parts, ...) if whole else parts, op


def getitem(self, index):
    """tensor[index]: ints, slices, None and ... give views; tensors and lists of indices or a mask give copies."""
    key, op = ((index, ...), _select) if type(index) is int else _simple(index)
    if op is not None and self.device.host:  # what calling the operation does, without looking for what cannot be
        try:
            out = wrap(self._data[key], self.device)
        except IndexError:
            pass  # told below
        else:
            if mode.grad and (self._rg or self._view is not None):
                op.record((out,), (self, key), ())
            return mark_view(out, self, op, (key,))
    key, basic = _key(index)
    try:
        if basic:
            return _view_of(key)(self, (*key, ...) if Ellipsis not in key else key)
        if (steps := _in_two(key)) is not None:
            return _index(getitem(self, steps[0]), steps[1])
        return _index(self, key)
    except IndexError:
        raise _index_error(key, self._data.shape) or IndexError(
            f"invalid index {index!r} for shape {list(self._data.shape)}"
        ) from None


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
_erase = Op(
    "EraseBackward0", lambda x, key: _overwrite(x, key, 0), params=("x", "key"), x=lambda g, key: _erase(g, key)
)


def setitem(self, index, value):
    """tensor[index] = value, with the value broadcast to the indexed part."""
    if not isinstance(value, Tensor) and not isinstance(value, NUMBERS):
        raise TypeError(f"can't assign a {type_name(value)} to a {self.type()}")
    key, basic = _key(index)
    if not basic and (steps := _in_two(key)) is not None:
        return setitem(getitem(self, steps[0]), steps[1], value)
    if basic:
        whole = index is Ellipsis or (type(index) is slice and index == slice(None))
        part = self if whole else getitem(self, index)
        if isinstance(value, Tensor):
            from .copying import copy_

            have, want = value._data.shape, part._data.shape
            while len(have) > len(want) and have[0] == 1:
                have = have[1:]
            if broadcast_error(have, want) is not None:
                value.reshape(have).expand(want)  # which says what does not fit
            copy_(part, value.reshape(have) if have != value._data.shape else value)
        else:
            check_written(part)
            fill_(part, value)
        return
    if self._root is not None and is_expanded(self):
        _warn_of_expanded("index_put_", "indices] = tensor")
        check_history(self)
    else:
        check_inplace(self)
    parts = index if isinstance(index, tuple) else (index,)
    check_apart(self, *[p for p in (value, *parts) if isinstance(p, Tensor) and p.dtype is not dtypes.bool_])
    if not isinstance(value, Tensor):
        value = wrap(np.asarray(element(value, self.dtype)), self.device)
    else:
        if value.dtype is not self.dtype:
            if value._data.size != 1 or any(isinstance(k, np.ndarray) and k.dtype.kind != "b" for k in key):
                raise _misfit(self, key, value)
            value = value.to(self.dtype)
        value = value.to(self.device)
    try:
        if not (self.requires_grad or value.requires_grad) and self.device.host:
            self._data[key] = value._data
            counter(self)[0] += 1
        else:
            assign(self, _index_put(self, key, value))
    except (IndexError, ValueError) as error:
        raise _misfit(self, key, value) from error


def _warn_of_expanded(name: str, example: str) -> None:
    warnings.warn(
        f"Use of {name} on expanded tensors is deprecated. Please clone() the tensor before performing this operation. "
        f"This also applies to advanced indexing e.g. tensor[{example}",
        stacklevel=4,
    )


def _misfit(self, key, value) -> Exception:
    """PyTorch's complaint about a value that cannot be put there: the index's, the shape's or the dtype's."""
    known = _index_error(key, self._data.shape)
    if known is not None:
        return known
    have, want = value._data.shape, self._data[key].shape
    if broadcast_error(have, want) is None and len(have) <= len(want) and value.dtype is not self.dtype:
        return _mismatch(self, value)
    return RuntimeError(
        f"shape mismatch: value tensor of shape {list(have)} cannot be broadcast to indexing result of shape "
        f"{list(want)}"
    )


def _mismatch(to: Tensor, source: Tensor) -> RuntimeError:
    return RuntimeError(
        f"Index put requires the source and destination dtypes match, got {scalar_name(to)} for the destination "
        f"and {scalar_name(source)} for the source."
    )


def index_put(input, indices, values, accumulate=False):
    """`input` with values placed at (or, with accumulate, added to) the positions that the index tensors name."""
    need_tensor(input, "index_put", "input", 1)
    key, _ = _key(tuple(indices))
    if values.dtype is not input.dtype:
        raise _mismatch(input, values)
    if not accumulate:
        return _index_put(input, key, values)
    return input + _index_back(values.expand(input._data[key].shape), input._data.shape, key)


def take(input, index, *, out=None):
    """Elements of the flattened tensor."""
    need_tensor(input, "take", "input", 1)
    need_tensor(index, "take", "index", 2)
    check_apart(out, input, index)
    size = input._data.size
    data = index._data
    if data.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {scalar_name(index)}")
    if data.size and not (-size <= data.min() and data.max() < size):
        raise IndexError(
            f"out of range: tried to access index {int(data[(data < -size) | (data >= size)].flat[0])} on a tensor of "
            f"{size} elements."
        )
    return write(out, _index(input.reshape(-1), (data,)))


def put(input, index, source, accumulate=False):
    """`input` with source's elements at positions of the flattened tensor."""
    for position, (name, t) in enumerate((("input", input), ("index", index), ("source", source)), 1):
        need_tensor(t, "put", name, position)
    flat = index_put(input.reshape(-1), (index.reshape(-1),), source.reshape(-1), accumulate)
    return flat.reshape(input._data.shape)


__all__ = ["getitem", "index_put", "put", "setitem", "take"]
