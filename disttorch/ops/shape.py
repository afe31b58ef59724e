"""Other shapes of the same elements: views where PyTorch gives views, copies where it copies."""

import functools
import math
import operator
import sys

import numpy as np

from .. import dtypes, meta
from ..autograd.op import Op, ViewOp
from ..autograd.variable import Tensor, mark_view, wrap
from .arguments import need_tensor, need_tensors
from .dims import Size, axes, axis, sizes

# -- reshaping --------------------------------------------------------------------------------------------------------
_reshape = ViewOp("ViewBackward0", lambda x, shape: x.reshape(shape), x=lambda g, x_shape: _reshape.back(g, x_shape))


def infer_shape(shape: tuple, size: int) -> tuple:
    """`shape` with its -1 filled in for `size` elements; RuntimeError (PyTorch's texts) if that cannot be."""
    if -1 not in shape and math.prod(shape) == size and min(shape, default=0) >= 0:
        return shape
    unknown = [i for i, s in enumerate(shape) if s == -1]
    if len(unknown) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(s < -1 for s in shape):
        raise RuntimeError(f"invalid shape dimension {next(s for s in shape if s < -1)}")
    known = math.prod([s for s in shape if s != -1])
    if unknown:
        if known == 0:
            if size == 0:
                raise RuntimeError(
                    f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension "
                    "size -1 can be any value and is ambiguous"
                )
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
        if size % known == 0:
            return tuple([size // known if s == -1 else s for s in shape])
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")


def _reshaped(input, shape: tuple):
    """`input` in a shape that may have one -1."""
    if input.device.host:
        try:
            out = _reshape(input, shape)
        except ValueError:  # it does not fit: what follows says so in PyTorch's words
            pass
        else:
            if out._data.shape == shape or min(shape) == -1:  # NumPy takes any negative number for -1
                return out
    return _reshape(input, infer_shape(shape, input._data.size))


def reshape(input, *args, shape=None):
    """The same elements in another shape: a view where the layout allows, else a copy."""
    if not isinstance(input, Tensor):
        need_tensor(input, "reshape", "input", 1)
    return _reshaped(input, sizes(args, shape))


def view(input, *shape, dtype=None, size=None):
    """The same memory in another shape (or, given a dtype, read as that dtype). RuntimeError if the layout needs a
    copy.
    """
    if dtype is not None or (len(shape) == 1 and isinstance(shape[0], dtypes.dtype)):
        return view_dtype(input, dtype or shape[0])
    shape = sizes(shape, size)
    if input._data.flags.c_contiguous:
        return _reshaped(input, shape)
    if input._root is None:
        _lay_out(input)
        return _reshaped(input, shape)
    data = input._data
    shape = infer_shape(shape, data.size)
    # Kernels lay activations out channels-last; only where the user's own view made the strides is a copy an error.
    if input._root._data.flags.c_contiguous and not np.may_share_memory(data.reshape(shape), data):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return _reshape(input, shape)


def _lay_out(t) -> None:
    """Lay a kernel's result out row by row, so that views share its memory; not where others share it already: views,
    arrays that `numpy()` gave.
    """
    alone = t._counter is None and t.device.host and all(map(operator.le, _holders(t), _ALONE))
    if alone and _owns_memory(t._data):
        t._data = np.ascontiguousarray(t._data)


def _holders(t) -> tuple[int, int]:
    """Who refers to the tensor's array, and to the one whose memory it is."""
    data = t._data
    return sys.getrefcount(data), 0 if data.base is None else sys.getrefcount(data.base)


_ALONE = _holders(wrap(np.zeros((2, 2)).T))


def _owns_memory(data) -> bool:
    """Whether it is NumPy's own memory: no file's, no shared segment's."""
    base = data.base
    return data.flags.owndata or (isinstance(base, np.ndarray) and base.flags.owndata)


def view_dtype(input, dtype):
    """The tensor's bytes read as another dtype."""
    if dtype is input.dtype:
        return alias_view(input)
    if input._data.ndim == 0 and dtype.itemsize != input.dtype.itemsize:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {dtypes.SCALAR_NAMES[input.dtype]} as {dtypes.SCALAR_NAMES[dtype]} "
            "(different element sizes)"
        )
    have, want = input.dtype.itemsize, dtype.itemsize
    if have != want:
        told = f"to view {dtypes.SCALAR_NAMES[input.dtype]} as {dtypes.SCALAR_NAMES[dtype]} (different element sizes)"
        if input.stride(-1) != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 {told}, but got {input.stride(-1)}")
        if input._data.shape[-1] * have % want:
            raise RuntimeError(
                f"self.size(-1) must be divisible by {want // have} {told}, but got {input._data.shape[-1]}"
            )
    return mark_view(wrap(input._data.view(dtype.np), input.device), input, view_dtype, (dtype,))


def view_as(input, other):
    """`input.view(other.shape)`."""
    return view(input, other._data.shape)


def reshape_as(input, other):
    """`input.reshape(other.shape)`."""
    return reshape(input, other._data.shape)


def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim to end_dim made one."""
    need_tensor(input, "flatten", "input", 1)
    n = input._data.ndim
    a, b = axis(start_dim, n), axis(end_dim, n)
    if n == 0:
        return reshape(input, 1)
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if a == b:
        return input
    shape = input._data.shape
    return _reshape(input, (*shape[:a], math.prod(shape[a : b + 1]), *shape[b + 1 :]))


def ravel(input):
    """All elements in one dimension."""
    return reshape(input, -1)


def unflatten(input, dim, sizes):
    """Dimension `dim` split into several."""
    d = axis(dim, input._data.ndim)
    shape = input._data.shape
    inner = tuple(sizes)
    if -1 not in inner and math.prod(inner) != shape[d]:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(inner)} don't multiply up to the size of dim {d} ({shape[d]}) in the "
            "input tensor"
        )
    return reshape(input, (*shape[:d], *infer_shape(inner, shape[d]), *shape[d + 1 :]))


# -- permuting --------------------------------------------------------------------------------------------------------
@functools.lru_cache(1024)
def _back(dims: tuple) -> tuple:
    """The order that undoes `dims`."""
    return tuple(np.argsort(dims).tolist())


_permute = ViewOp(
    "PermuteBackward0", lambda x, dims: x.transpose(dims), x=lambda g, dims: _permute.back(g, _back(dims))
)
_transpose = ViewOp("TransposeBackward0", lambda x, a, b: x.swapaxes(a, b), x=lambda g, a, b: _transpose.back(g, a, b))
_t = ViewOp("TBackward0", lambda x: x.T, x=lambda g: _t.back(g))


@functools.lru_cache(1024)
def _order(dims: tuple) -> tuple:
    """The order that an argument of `permute` means, each dimension as a non-negative int."""
    order = tuple([axis(d, len(dims)) for d in dims])
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return order


def permute(input, *args, dims=None):
    """The dimensions in another order."""
    need_tensor(input, "permute", "input", 1)
    dims = sizes(args, dims)
    if len(dims) != input._data.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {input._data.ndim} is not equal to len(dims) = {len(dims)}"
        )
    return _permute(input, _order(dims))


def transpose(input, dim0, dim1):
    """Two dimensions exchanged."""
    if not isinstance(input, Tensor):
        need_tensor(input, "transpose", "input", 1)
    n = input._data.ndim
    a, b = axis(dim0, n), axis(dim1, n)
    return _transpose(input, a, b) if n else alias_view(input)


swapdims = transpose


def swapaxes(input, axis0, axis1):
    """`transpose`, by NumPy's name."""
    return transpose(input, axis0, axis1)


def t(input):
    """The transpose of a matrix; fewer dimensions are returned as they are."""
    need_tensor(input, "t", "input", 1)
    n = input._data.ndim
    if n > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
    return _t(input) if n == 2 else alias_view(input)


def movedim(input, source, destination):
    """Dimensions moved to other places, the rest in order."""
    need_tensor(input, "movedim", "input", 1)
    n = input._data.ndim
    if n == 0:
        axes(source, n), axes(destination, n)
        return alias_view(input)
    src = axes((source,) if isinstance(source, int) else source, n)
    dst = axes((destination,) if isinstance(destination, int) else destination, n)
    if len(src) != len(dst):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(src)} dims) should contain the same number of "
            f"dims as destination ({list(dst)} dims)"
        )
    order: list = [None] * n
    for s, d in zip(src, dst, strict=True):
        order[d] = s
    rest = iter([d for d in range(n) if d not in src])
    return _permute(input, tuple([next(rest) if o is None else o for o in order]))


moveaxis = movedim


def alias_view(input):
    """The same tensor as a new view."""
    return _alias(input)


_alias = ViewOp("AliasBackward0", lambda x: x[...], x=lambda g: g)


# -- size-1 dimensions ------------------------------------------------------------------------------------------------
_squeeze = ViewOp("SqueezeBackward1", lambda x, dims: x.squeeze(dims), x=lambda g, x_shape: _reshape.back(g, x_shape))
_unsqueeze = ViewOp(
    "UnsqueezeBackward0", lambda x, d: x[(slice(None),) * d + (None,)], x=lambda g, x_shape: _reshape.back(g, x_shape)
)


def squeeze(input, dim=None):
    """Without the dimensions of size 1 (all of them, or those named)."""
    need_tensor(input, "squeeze", "input", 1)
    shape = input._data.shape
    dims = range(len(shape)) if dim is None else axes(dim, len(shape)) if dim not in ((), []) else ()
    return _squeeze(input, tuple([d for d in dims if shape[d] == 1]) if 1 in shape else ())


def unsqueeze(input, dim):
    """With a new dimension of size 1 at `dim`."""
    return _unsqueeze(input, axis(dim, input._data.ndim + 1))


# -- broadcasting -----------------------------------------------------------------------------------------------------
def _expanded(x, shape):
    """np.broadcast_to(x, shape), at a tenth of its price for arrays that lie in one piece; writeable where x is: what
    may be written is asked by who writes.
    """
    if x.shape == shape:
        return x[...]
    if type(x) is np.ndarray and x.flags.c_contiguous and x.dtype.kind != "V" and x.size:
        new = len(shape) - x.ndim
        steps = x.strides
        if shape[new:] != x.shape:
            steps = tuple([0 if own != n else s for own, s, n in zip(x.shape, steps, shape[new:], strict=True)])
        return np.ndarray(shape, x.dtype, x, 0, (0,) * new + steps)
    out = np.broadcast_to(x, shape)
    if isinstance(out, np.ndarray):
        out.flags.writeable = x.flags.writeable
    return out


_expand = ViewOp("ExpandBackward0", _expanded, params=("x", "shape"), x=lambda g: g)


def expand(input, *args, size=None, implicit=False):
    """Broadcast to `size` without copying; -1 keeps a size."""
    need_tensor(input, "expand", "input", 1)
    shape, have = sizes(args, size), input._data.shape
    extra = len(shape) - len(have)
    if extra < 0:
        raise RuntimeError(
            f"expand({_type(input)}{{{list(have)}}}, size={list(shape)}): the number of sizes provided ({len(shape)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
    if shape[extra:] != have or -1 in shape:
        shape = _full_size(input, shape, have, extra)
    return _expand(input, shape)


def _full_size(input, shape, have, extra) -> tuple:
    """`shape`, the argument of `expand`, with a size for each -1. have: the tensor's own; extra: how many it lacks."""
    full = []
    for i, s in enumerate(shape):
        h = have[i - extra] if i >= extra else None
        if s == -1:
            if h is None:
                raise RuntimeError(
                    f"expand({_type(input)}{{{list(have)}}}, size={list(shape)}): the expanded size of the tensor (-1) "
                    f"isn't allowed in a leading, non-existing dimension {i}"
                )
            s = h
        elif h is not None and h not in (1, s):
            raise RuntimeError(
                f"The expanded size of the tensor ({s}) must match the existing size ({h}) at non-singleton dimension "
                f"{i}.  Target sizes: {list(shape)}.  Tensor sizes: {list(have)}"
            )
        full.append(s)
    return tuple(full)


def _type(t) -> str:
    return ("torch.cuda." if t.device.type == "cuda" else "torch.") + t.dtype.type_name


def expand_as(input, other):
    """`input.expand(other.shape)`."""
    need_tensor(other, "expand_as", "other", 1)
    return expand(input, other._data.shape)


broadcast_to = expand


def broadcast_shapes(*shapes) -> Size:
    """The shape that all broadcast to."""
    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    common = [1] * max((len(s) for s in shapes), default=0)
    for number, shape in enumerate(shapes):
        for i in range(-1, -len(shape) - 1, -1):
            if shape[i] not in (1, common[i]):
                if common[i] != 1:
                    raise RuntimeError(
                        f"Attempting to broadcast a dimension of length {shape[i]} at {i}! Mismatching argument at "
                        f"index {number} had {shape}; but expected shape should be broadcastable to {common}"
                    )
                common[i] = shape[i]
    return Size(common)


def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape."""
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    from .pointwise import broadcast_error

    need_tensors(tensors)
    for a in tensors[1:]:
        if (error := broadcast_error(tensors[0]._data.shape, a._data.shape)) is not None:
            raise error
    shape = broadcast_shapes(*[x._data.shape for x in tensors])
    return tuple(expand(x, shape) for x in tensors)


def repeat(input, *args, repeats=None):
    """The tensor laid side by side: a copy with each dimension repeated."""
    counts = sizes(args, repeats)
    have = input._data.shape
    if len(counts) < len(have):
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    made = [c * s for c, s in zip(counts, (1,) * (len(counts) - len(have)) + have, strict=True)]
    if any(n < 0 for n in made):
        negative = next(n for n in made if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {negative}: {made}")
    return _tile(input, counts)


def _tile_rule(g, x_shape, counts):
    extra = len(counts) - len(x_shape)
    if extra:
        g, counts = g.sum(list(range(extra))), counts[extra:]
    split, reduced = [], []
    for c, s in zip(counts, x_shape, strict=True):
        reduced.append(len(split))
        split += [c, s]
    return g.reshape(split).sum(reduced) if split else g


_tile = Op("RepeatBackward0", lambda x, counts: np.tile(x, counts), x=_tile_rule)


def tile(input, *args, dims=None):
    """Like `repeat`, with missing leading counts taken as 1."""
    need_tensor(input, "tile", "input", 1)
    counts = sizes(args, dims)
    return repeat(input, (1,) * (input._data.ndim - len(counts)) + counts)


def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each element repeated in place along `dim` (of the flattened tensor if None); of repeats alone, the indices."""
    if repeats is None:
        if input._data.dtype not in (np.int32, np.int64):
            raise NotImplementedError(
                f"\"repeat_interleave_cpu\" not implemented for '{dtypes.SCALAR_NAMES[input.dtype]}'"
            )
        if input._data.ndim != 1:
            raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
        input, repeats = wrap(np.arange(input._data.shape[0], dtype=input._data.dtype), input.device), input
    if dim is None:
        input, dim = flatten(input) if input._data.ndim else input.reshape(1), 0
    d = axis(dim, input._data.ndim)
    if output_size is None:
        meta.refuse("aten::repeat_interleave.Tensor", repeats)
    counts = repeats._data if isinstance(repeats, Tensor) else repeats
    if np.any(np.less(counts, 0)):
        raise RuntimeError("repeats can not be negative")
    index = np.repeat(np.arange(input._data.shape[d]), counts)
    if output_size is not None and output_size != index.size:
        raise RuntimeError("allocated size does not match required size")
    return input.index_select(d, wrap(index, input.device))


__all__ = [
    "alias_view", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "expand", "expand_as", "flatten",
    "infer_shape", "moveaxis", "movedim", "permute", "ravel", "repeat", "repeat_interleave", "reshape",
    "reshape_as", "squeeze", "swapaxes", "swapdims", "t", "tile", "transpose", "unflatten", "unsqueeze", "view",
    "view_as", "view_dtype",
]  # fmt: skip
