"""Copies and conversions: clone, copy_, to other dtypes, devices and layouts, detach."""

import numpy as np

from .. import dtypes, meta
from ..autograd.inplace import assign, check_inplace, check_partly_apart, write
from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.sweep import sum_to
from ..autograd.variable import Tensor, alias, counter, wrap
from ..devices import META, device, resolve, scope, to_device
from ..kernels.portable.precision import converted, is_narrow
from ..layouts import asked, channels_last, channels_last_3d, contiguous_format, preserve_format
from .arguments import need_tensor, type_name
from .dims import sizes
from .matmul import kernels_of
from .pointwise import cast_array, no_gradient

LONG = 1 << 15  # elements: of fewer, all in the cache, copies by NumPy are as quick


class _Copy(Op):
    """An operation that reads each element once, and no more."""

    def on_meta(self, arrays):
        return meta.pointwise(self.forward, *arrays)


def _need_rank(input, memory_format) -> None:
    rank, name = (4, "channels_last") if memory_format is channels_last else (5, "channels_last_3d")
    if input._data.ndim != rank:
        raise RuntimeError(f"required rank {rank} tensor to use {name} format")
    asked.add(memory_format)


def _in_order(x, order):
    plain = order == "K" or x.size < LONG or x.flags.c_contiguous
    return x.copy(order) if plain else kernels_of(x).contiguous_copy(x)


_clone = _Copy("CloneBackward0", _in_order, x=lambda g: g)
channels_last_copy = Op(
    "CloneBackward0", lambda x: np.moveaxis(_in_order(np.moveaxis(x, 1, -1), "C"), -1, 1), x=lambda g: g
)


def clone(input, *, memory_format=None):
    """A copy; gradients flow through it to the original."""
    need_tensor(input, "clone", "input", 1)
    if memory_format in (channels_last, channels_last_3d):
        _need_rank(input, memory_format)
        return channels_last_copy(input)
    return _clone(input, "C" if memory_format == contiguous_format or 0 in input._data.strides else "K")


def contiguous(input, memory_format=contiguous_format):
    """The tensor itself if its memory is laid out row by row (or in the format given), else a copy that is."""
    if memory_format in (channels_last, channels_last_3d):
        _need_rank(input, memory_format)
        return input if np.moveaxis(input._data, 1, -1).flags.c_contiguous else channels_last_copy(input)
    return input if input._data.flags.c_contiguous else _clone(input, "C")


def _converted(x, to):
    if x.dtype.kind in "biu" and to.np.itemsize > 2:  # whole numbers fit: no warning to keep quiet
        return x.astype(to.np)
    return cast_array(x, to) if x.dtype != to.np else x.copy("K")


_convert = _Copy("ToCopyBackward0", _converted, params=("x", "to"), x=lambda g: g)  # the sweep casts back


def convert(input, dtype):
    """A copy in another dtype."""
    return _convert(input, dtype)


class _Move:
    """A copy on another device, as an operation (`Op` wants all its tensors on one device)."""

    op = Op("ToCopyBackward0", lambda x: x, x=lambda g: g)  # the sweep sends the gradient back

    def __call__(self, input, target: device):
        out = wrap(to_device(input._data, input.device, target), target)
        if mode.grad:
            self.op.record((out,), (input,), ())
        return out


move = _Move()


def to(input, *args, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None):
    """The tensor in another dtype and/or on another device; itself if it already is there.

    to(dtype), to(device), to(device, dtype), to(other).
    """
    seen = False
    for a in args:
        if isinstance(a, dtypes.dtype):
            dtype = a
        elif isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, bool):  # non_blocking (of no meaning here), then copy
            copy, seen = a and seen, True
        elif a is not None:
            device = a
    if dtype is not None and not isinstance(dtype, dtypes.dtype):
        from .creation import as_dtype

        dtype = as_dtype("to", dtype)
    out = input
    if device is not None:
        where = resolve(device)
        if where is not input.device:
            out = move(out, where)
    if dtype is not None and dtype is not out.dtype:
        out = _convert(out, dtype)
    if copy and out is input:
        out = clone(input)
    if memory_format in (channels_last, channels_last_3d):
        out = contiguous(out, memory_format)
    return out


def detach(input):
    """The same memory outside the graph; in-place changes of either are seen by both, and noticed by autograd."""
    if not isinstance(input, Tensor):
        need_tensor(input, "detach", "input", 1)
    return alias(input)


def detach_(self):
    """Take the tensor itself out of the graph."""
    need_tensor(self, "detach_", "input", 1)
    if self._view is not None:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
            "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
            "detach_() cannot be called on these gradients. To fix this error, please refer to the "
            "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
        )
    self._node, self._nr, self._rg = None, 0, False
    return self


_copied = Op(
    "CopyBackwards",
    lambda x, src: np.array(np.broadcast_to(src, x.shape), x.dtype),
    params=("x", "src"),
    x=no_gradient,
    src=lambda g: g,
)


def copy_(self, src, non_blocking=False):
    """Take over the elements of `src`, broadcast and converted to this dtype and device."""
    check_inplace(self)
    if isinstance(src, bool | int | float | complex):
        return self.fill_(src)
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type_name(src)}")
    if src is self:
        return self
    check_partly_apart(self, src)
    if src.device is not self.device:
        src = move(src, self.device)
    try:
        shape = np.broadcast_shapes(src._data.shape, self._data.shape)
    except ValueError:
        shape = None
    if shape != self._data.shape:
        from .pointwise import broadcast_error

        raise broadcast_error(self._data.shape, src._data.shape) or RuntimeError(
            f"output with shape {list(self._data.shape)} doesn't match the broadcast shape {list(shape)}"
        )
    if mode.grad and (self.requires_grad or src.requires_grad):
        if src.dtype is not self.dtype:
            src = _convert(src, self.dtype)
        return assign(self, _copied(self, src))
    if self.device is META:
        return self
    with scope(self.device), np.errstate(all="ignore"):
        data, own = src._data, self._data.dtype
        if data.dtype.kind == "c" and own.kind not in "cb":
            data = data.real
        self._data[...] = converted(data, own) if is_narrow(data.dtype) != is_narrow(own) else data
    counter(self)[0] += 1
    return self


# -- parts of complex tensors -----------------------------------------------------------------------------------------
_conj = Op("ConjBackward0", np.conj, params=("x",), x=lambda g: _conj(g))


def conj(input):
    """The complex conjugate; a real tensor is returned as it is."""
    need_tensor(input, "conj", "input", 1)
    return _conj(input) if input._data.dtype.kind == "c" else input


def conj_physical(input, *, out=None):
    """The complex conjugate (here always a tensor of its own)."""
    return write(out, conj(input))


def resolve_conj(input):
    """The tensor itself: conjugation is never delayed here."""
    need_tensor(input, "resolve_conj", "input", 1)
    return input


resolve_neg = resolve_conj


def sum_to_size(input, *size):
    """Summed over the dimensions in which `size` is 1 or missing: the reverse of broadcasting."""
    size = sizes(size)
    have = input._data.shape
    extra = len(have) - len(size)
    if extra < 0 or any(s not in (1, h) for s, h in zip(size, have[extra:], strict=True)):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(have)}}}.")
    return sum_to(input, size)


__all__ = [
    "channels_last", "channels_last_3d", "clone", "conj", "conj_physical", "contiguous", "contiguous_format",
    "convert", "copy_", "detach", "detach_", "move", "preserve_format", "resolve_conj", "resolve_neg", "sum_to_size",
    "to",
]  # fmt: skip
