"""Views that overlap themselves: sliding windows, and any strides at all."""

import numpy as np

from ..autograd.op import Op, ViewOp
from ..autograd.variable import wrap
from .arguments import need_tensor
from .dims import axis


def _windows(x, dim, size, step):
    view = np.lib.stride_tricks.sliding_window_view(x, size, dim, writeable=x.flags.writeable)
    return view[(slice(None),) * dim + (slice(None, None, step),)]


def _sum_windows(g, shape, dim, size, step):
    z = np.zeros_like(g, shape=shape)
    windows = _windows(z, dim, size, step)
    for k in range(size):
        windows[..., k] += g[..., k]
    return z


_unfold = ViewOp(
    "UnfoldBackward0",
    _windows,
    params=("x", "dim", "size", "step"),
    x=lambda g, x_shape, dim, size, step: _unfold_back(g, x_shape, dim, size, step),
)
_unfold_back = Op(
    "UnfoldBackwardBackward0",
    _sum_windows,
    params=("g", "shape", "dim", "size", "step"),
    g=lambda g, dim, size, step: _unfold(g, dim, size, step),
)


def unfold(input, dimension, size, step):
    """All windows of `size` along a dimension, `step` apart; the window is the last dimension of the view."""
    if input._data.ndim == 0:
        if size > 1:
            raise RuntimeError(f"maximum size for tensor at dimension 0 is 1 but size is {size}")
        return input.reshape(1).narrow(0, 0, size)
    d = axis(dimension, input._data.ndim)
    if size > input._data.shape[d]:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {input._data.shape[d]} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if size == 0:
        count = (input._data.shape[d] - size) // step + 1
        shape = list(input._data.shape)
        shape[d] = count
        return input.new_empty((*shape, 0))
    return _unfold(input, d, size, step)


# -- any strides ------------------------------------------------------------------------------------------------------
def _storage(x):
    """The whole memory that an array is a view of, in one dimension, and where in it the array begins."""
    owner = x
    while owner.base is not None:
        base = owner.base
        if not isinstance(base, type(x)):
            base = getattr(base, "base", None)  # numpy's as_strided puts an object of its own between
            if not isinstance(base, type(x)):
                break
        owner = base
    flat = owner.ravel(order="K")
    if flat.dtype != x.dtype:
        flat = flat.view(x.dtype)
    return flat, (_address(x) - _address(flat)) // x.itemsize


def _address(x) -> int:
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def _positions(size, stride, offset):
    """Where the elements of a strided tensor lie in its storage."""
    index = np.full((), offset, np.int64)
    for n, step in zip(size, stride, strict=True):
        index = index[..., None] + np.arange(n) * step
    return index


def _strided(x, size, stride, offset):
    flat, start = _storage(x)
    offset = start if offset is None else offset
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and not 0 <= last < flat.size:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize "
            f"{x.itemsize} requiring a storage size of {(last + 1) * x.itemsize} are out of bounds for storage of size "
            f"{flat.nbytes}"
        )
    view = np.lib.stride_tricks.as_strided(flat[offset:], size, tuple([s * x.itemsize for s in stride]))
    source = _positions(x.shape, [s // x.itemsize for s in x.strides], start)
    return view, (source, _positions(size, stride, offset), flat.size)


def _regathered(g, source, target, count):
    """The elements of g laid (added) at the positions `source` of a memory of zeros, then those at `target` taken."""
    memory = np.zeros_like(g, shape=(count,))
    np.add.at(memory, source, g)
    return memory[target]


_regather = Op("RegatherBackward0", _regathered, g=lambda g, source, target, count: _regather(g, target, source, count))


def _strided_back(g, places):
    source, target, count = places
    if source.size > 1 and len(np.unique(source)) < source.size:  # an expanded input: its elements share a gradient
        _, inverse, counts = np.unique(source, return_inverse=True, return_counts=True)
        return _regather(g, target, source, count) / wrap(counts[inverse].reshape(source.shape), g.device)
    return _regather(g, target, source, count)


_as_strided = ViewOp(
    "AsStridedBackward0", _strided, params=("x", "size", "stride", "offset"), keeps=("places",), x=_strided_back
)


def as_strided(input, size, stride, storage_offset=None):
    """A view of the tensor's memory with any shape and strides (both in elements)."""
    need_tensor(input, "as_strided", "input", 1)
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: {len(stride)} and {len(size)}")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    if storage_offset is not None and storage_offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {storage_offset}")
    return _as_strided(input, tuple(size), tuple(stride), storage_offset)


__all__ = ["as_strided", "unfold"]
