"""Operations that only rearrange: views where PyTorch gives views, copies where it copies."""

import math
from collections.abc import Sequence

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.op import Op, ViewOp
from ..autograd.variable import Tensor, mark_view, wrap
from .pointwise import common_device, result_dtype
from .reduction import axes, axis


class Size(tuple):
    """The shape of a tensor: a tuple that prints as torch.Size([2, 3])."""

    __slots__ = ()

    def __repr__(self):
        return f"torch.Size({list(self)})"

    def numel(self) -> int:
        return math.prod(self)

    def __getitem__(self, i):
        got = tuple.__getitem__(self, i)
        return Size(got) if isinstance(i, slice) else got

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __mul__(self, n):
        return Size(tuple.__mul__(self, n))

    __rmul__ = __mul__


def sizes(args) -> tuple:
    """`f(2, 3)` and `f((2, 3))` alike, as a tuple of ints."""
    if len(args) == 1 and isinstance(args[0], (Sequence, Tensor)):
        args = args[0]
    return tuple([a if type(a) is int else a.__index__() for a in args])


# -- reshaping --------------------------------------------------------------------------------------------------------
_reshape = ViewOp("ViewBackward0", lambda x, shape: x.reshape(shape), x=lambda g, x_shape: g.reshape(x_shape))
_reshape_copy = ViewOp("UnsafeViewBackward0", lambda x, shape: x.reshape(shape), x=lambda g, x_shape: g.reshape(x_shape))


def infer_shape(shape: tuple, size: int) -> tuple:
    """`shape` with its -1 filled in for `size` elements; RuntimeError (PyTorch's texts) if that cannot be."""
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
                    f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 can be any value and is ambiguous"
                )
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
        if size % known == 0:
            return tuple([size // known if s == -1 else s for s in shape])
    elif known == size:
        return shape
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")


def reshape(input, *shape):
    """The same elements in another shape: a view where the layout allows, else a copy."""
    data = input._data
    return _reshape(input, infer_shape(sizes(shape), data.size))


def view(input, *shape, dtype=None):
    """The same memory in another shape (or, given a dtype, read as that dtype). RuntimeError if the layout needs a copy."""
    if dtype is not None or (len(shape) == 1 and isinstance(shape[0], dtypes.dtype)):
        return view_dtype(input, dtype or shape[0])
    data = input._data
    shape = infer_shape(sizes(shape), data.size)
    # Kernels lay activations out channels-last; only where the user's own view made the strides is a copy an error.
    if not data.flags.c_contiguous and input._root is not None and not np.may_share_memory(data.reshape(shape), data):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous "
            "subspaces). Use .reshape(...) instead."
        )
    return _reshape(input, shape)


def view_dtype(input, dtype):
    """The tensor's bytes read as another dtype."""
    if dtype is input.dtype:
        return alias_view(input)
    if input._data.ndim == 0 and dtype.itemsize != input.dtype.itemsize:
        raise RuntimeError(f"self.dim() cannot be 0 to view {dtypes.SCALAR_NAMES[input.dtype]} as {dtypes.SCALAR_NAMES[dtype]} (different element sizes)")
    return mark_view(wrap(input._data.view(dtype.np), input.device), input, view_dtype, (dtype,))


def view_as(input, other):
    return view(input, other._data.shape)


def reshape_as(input, other):
    return reshape(input, other._data.shape)


def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim to end_dim made one."""
    n = input._data.ndim
    if n == 0:
        return reshape(input, 1)
    a, b = axis(start_dim, n), axis(end_dim, n)
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if a == b:
        return input
    shape = input._data.shape
    return _reshape(input, (*shape[:a], math.prod(shape[a : b + 1]), *shape[b + 1 :]))


def ravel(input):
    """All elements in one dimension."""
    return reshape(input, -1)


def unflatten(input, dim, sizes_):
    """Dimension `dim` split into several."""
    d = axis(dim, input._data.ndim)
    shape = input._data.shape
    inner = tuple(sizes_)
    if -1 not in inner and math.prod(inner) != shape[d]:
        raise RuntimeError(f"unflatten: Provided sizes {list(inner)} don't multiply up to the size of dim {d} ({shape[d]}) in the input tensor")
    return reshape(input, (*shape[:d], *infer_shape(inner, shape[d]), *shape[d + 1 :]))


# -- permuting --------------------------------------------------------------------------------------------------------
_permute = ViewOp(
    "PermuteBackward0", lambda x, dims: x.transpose(dims), x=lambda g, dims: _permute(g, tuple(np.argsort(dims).tolist()))
)
_transpose = ViewOp("TransposeBackward0", lambda x, a, b: x.swapaxes(a, b), x=lambda g, a, b: _transpose(g, a, b))
_t = ViewOp("TBackward0", lambda x: x.T, x=lambda g: _t(g))


def permute(input, *dims):
    """The dimensions in another order."""
    dims = sizes(dims)
    if len(dims) != input._data.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of "
            f"dimensions i.e. input.dim() = {input._data.ndim} is not equal to len(dims) = {len(dims)}"
        )
    found = tuple([axis(d, len(dims)) for d in dims])
    if len(set(found)) != len(found):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permute(input, found)


def transpose(input, dim0, dim1):
    """Two dimensions exchanged."""
    n = input._data.ndim
    a, b = axis(dim0, n), axis(dim1, n)
    return _transpose(input, a, b) if n else alias_view(input)


swapaxes = swapdims = transpose


def t(input):
    """The transpose of a matrix; fewer dimensions are returned as they are."""
    n = input._data.ndim
    if n > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
    return _t(input) if n == 2 else alias_view(input)


def movedim(input, source, destination):
    """Dimensions moved to other places, the rest in order."""
    n = input._data.ndim
    src = axes((source,) if isinstance(source, int) else source, n)
    dst = axes((destination,) if isinstance(destination, int) else destination, n)
    if len(src) != len(dst):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(src)} dims) should contain the same number of dims as "
            f"destination ({list(dst)} dims)"
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
def _drop(x, dims):
    return x.reshape([s for i, s in enumerate(x.shape) if i not in dims])


_squeeze = ViewOp("SqueezeBackward1", _drop, params=("x", "dims"), x=lambda g, x_shape: g.reshape(x_shape))
_unsqueeze = ViewOp("UnsqueezeBackward0", lambda x, d: np.expand_dims(x, d), x=lambda g, x_shape: g.reshape(x_shape))


def squeeze(input, dim=None):
    """Without the dimensions of size 1 (all of them, or those named)."""
    shape = input._data.shape
    dims = tuple(range(len(shape))) if dim is None else axes(dim, len(shape)) if dim != () else ()
    return _squeeze(input, tuple([d for d in dims if shape and shape[d] == 1]))


def unsqueeze(input, dim):
    """With a new dimension of size 1 at `dim`."""
    return _unsqueeze(input, axis(dim, input._data.ndim + 1))


# -- broadcasting -----------------------------------------------------------------------------------------------------
_expand = ViewOp("ExpandBackward0", lambda x, shape: np.broadcast_to(x, shape), x=lambda g: g)


def expand(input, *shape):
    """Broadcast to `shape` without copying; -1 keeps a size."""
    shape, have = sizes(shape), input._data.shape
    extra = len(shape) - len(have)
    if extra < 0:
        raise RuntimeError(
            f"expand({_type(input)}{{{list(have)}}}, size={list(shape)}): the number of sizes provided ({len(shape)}) must be "
            f"greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
    full = []
    for i, s in enumerate(shape):
        h = have[i - extra] if i >= extra else None
        if s == -1:
            if h is None:
                raise RuntimeError(
                    f"expand({_type(input)}{{{list(have)}}}, size={list(shape)}): the expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}"
                )
            s = h
        elif h is not None and h not in (1, s):
            raise RuntimeError(
                f"The expanded size of the tensor ({s}) must match the existing size ({h}) at non-singleton dimension {i}.  "
                f"Target sizes: {list(shape)}.  Tensor sizes: {list(have)}"
            )
        full.append(s)
    return _expand(input, tuple(full))


def _type(t) -> str:
    return ("torch.cuda." if t.device.type == "cuda" else "torch.") + t.dtype.type_name


def expand_as(input, other):
    return expand(input, other._data.shape)


broadcast_to = expand


def broadcast_shapes(*shapes) -> Size:
    """The shape that all broadcast to."""
    try:
        return Size(np.broadcast_shapes(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))
    except ValueError:
        raise RuntimeError("Shape mismatch: objects cannot be broadcast to a single shape") from None


def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape."""
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    from .pointwise import broadcast_error

    for a in tensors[1:]:
        if (error := broadcast_error(tensors[0]._data.shape, a._data.shape)) is not None:
            raise error
    shape = broadcast_shapes(*[x._data.shape for x in tensors])
    return [expand(x, shape) for x in tensors]


def repeat(input, *repeats):
    """The tensor laid side by side: a copy with each dimension repeated."""
    counts = sizes(repeats)
    have = input._data.shape
    if len(counts) < len(have):
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    return _tile(input, counts)


def _tile_rule(g, x_shape, counts):
    extra = len(counts) - len(x_shape)
    for _ in range(extra):
        g = g.sum(0) if counts[0] == 1 else g.reshape(counts[0], -1, *g._data.shape[1:]).sum((0, 1)) if False else g.reshape(counts[0], *g._data.shape[1:]).sum(0)
        counts = counts[1:]
    split, reduced = [], []
    for c, s in zip(counts, x_shape, strict=True):
        reduced.append(len(split))
        split += [c, s]
    return g.reshape(split).sum(reduced) if split else g


_tile = Op("RepeatBackward0", lambda x, counts: np.tile(x, counts), x=_tile_rule)


def tile(input, *dims):
    """Like `repeat`, with missing leading counts taken as 1."""
    counts = sizes(dims)
    return repeat(input, (1,) * (input._data.ndim - len(counts)) + counts)


def repeat_interleave(input, repeats, dim=None, *, output_size=None):
    """Each element repeated in place along `dim` (of the flattened tensor if None)."""
    if dim is None:
        input, dim = flatten(input) if input._data.ndim else input.reshape(1), 0
    d = axis(dim, input._data.ndim)
    counts = repeats._data if isinstance(repeats, Tensor) else repeats
    index = np.repeat(np.arange(input._data.shape[d]), counts)
    return input.index_select(d, wrap(index, input.device))


# -- joining and cutting ----------------------------------------------------------------------------------------------
def _cut(g, needs, dim, lengths):
    starts = np.cumsum([0, *lengths]).tolist()
    return [g.narrow(dim, s, n) if need else None for s, n, need in zip(starts, lengths, needs, strict=False)]


_cat = Op("CatBackward0", lambda dim, lengths, *xs: np.concatenate(xs, dim), joint=_cut)
_stack = Op(
    "StackBackward0",
    lambda dim, *xs: np.stack(xs, dim),
    joint=lambda g, needs, dim: [g.select(dim, i) if need else None for i, need in enumerate(needs)],
)


def _alike(tensors, name):
    tensors = list(tensors)
    if not tensors:
        raise ValueError(f"{name}(): expected a non-empty list of Tensors") if name == "stack" else RuntimeError(
            f"torch.{name}(): expected a non-empty list of Tensors"
        )
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
    common_device(*tensors)
    d = tensors[0].dtype
    if any(x.dtype is not d for x in tensors):
        d = result_dtype(*tensors)
        tensors = [x.to(d) for x in tensors]
    return tensors


def cat(tensors, dim=0, *, out=None):
    """Tensors joined along an existing dimension; they differ in size there only."""
    tensors = _alike(tensors, "cat")
    kept = [x for x in tensors if x._data.shape != (0,)] or tensors[:1]
    first = kept[0]._data.shape
    if not first:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    d = axis(dim, len(first))
    for i, x in enumerate(kept):
        s = x._data.shape
        if len(s) != len(first):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(s)}")
        for k in range(len(s)):
            if k != d and s[k] != first[k]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {d}. Expected size {first[k]} but got size {s[k]} for tensor number {i} in the list."
                )
    return write(out, _cat(d, tuple([x._data.shape[d] for x in kept]), *kept))


concat = concatenate = cat


def stack(tensors, dim=0, *, out=None):
    """Tensors of one shape joined along a new dimension."""
    tensors = _alike(tensors, "stack")
    first = tensors[0]._data.shape
    for i, x in enumerate(tensors):
        if x._data.shape != first:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and {list(x._data.shape)} at entry {i}")
    return write(out, _stack(axis(dim, len(first) + 1), *tensors))


def _stacker(name, least, dim):
    def function(tensors, *, out=None):
        return cat([least(x) for x in tensors], dim if tensors[0]._data.ndim != 1 or name != "hstack" else 0, out=out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Tensors joined as NumPy's {name} does."
    return function


def atleast_1d(*tensors):
    return _each(tensors, lambda x: reshape(x, 1) if x._data.ndim == 0 else x)


def atleast_2d(*tensors):
    return _each(tensors, lambda x: reshape(x, 1, 1) if x._data.ndim == 0 else unsqueeze(x, 0) if x._data.ndim == 1 else x)


def atleast_3d(*tensors):
    def raised(x):
        x = atleast_2d(x)
        return unsqueeze(x, -1) if x._data.ndim == 2 else x

    return _each(tensors, raised)


def _each(tensors, f):
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return f(tensors[0])
    return tuple(f(x) for x in (tensors[0] if len(tensors) == 1 else tensors))


hstack, vstack, dstack = _stacker("hstack", atleast_1d, 1), _stacker("vstack", atleast_2d, 0), _stacker("dstack", atleast_3d, 2)
row_stack = vstack


def column_stack(tensors, *, out=None):
    """1-D tensors as columns, 2-D ones side by side."""
    return cat([reshape(x, -1, 1) if x._data.ndim < 2 else x for x in tensors], 1, out=out)


_narrow = ViewOp(
    "SliceBackward0",
    lambda x, dim, start, length: x[(slice(None),) * dim + (slice(start, start + length),)],
    x=lambda g, x_shape, dim, start, length: _narrow_back(g, x_shape, dim, start, length),
)


def _place(g, shape, dim, start, length):
    z = np.zeros_like(g, shape=shape)
    z[(slice(None),) * dim + (slice(start, start + length),)] = g
    return z


_narrow_back = Op(
    "SliceBackwardBackward0", _place, params=("g", "shape", "dim", "start", "length"), **{"g": lambda g, dim, start, length: _narrow(g, dim, start, length)}
)


def narrow(input, dim, start, length):
    """`length` entries of dimension `dim` from `start` on, as a view."""
    d = axis(dim, input._data.ndim)
    size = input._data.shape[d] if input._data.ndim else 1
    start = int(start)
    if input._data.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return _narrow(input, d, start, length)


def select(input, dim, index):
    """Entry `index` of dimension `dim`, as a view without that dimension."""
    n = input._data.ndim
    if n == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d, size = axis(dim, n), input._data.shape[axis(dim, n)]
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input._data.shape)} at dimension {d}")
    return _select(input, d, int(index) % size)


def _place_at(g, shape, dim, index):
    z = np.zeros_like(g, shape=shape)
    z[(slice(None),) * dim + (index,)] = g
    return z


_select_back = Op("SelectBackwardBackward0", _place_at, params=("g", "shape", "dim", "index"), **{"g": lambda g, dim, index: _select(g, dim, index)})
_select = ViewOp(
    "SelectBackward0",
    lambda x, dim, index: x[(slice(None),) * dim + (index, ...)],
    x=lambda g, x_shape, dim, index: _select_back(g, x_shape, dim, index),
)


def split(tensor, split_size_or_sections, dim=0):
    """Cut into pieces of one size (the last may be smaller), or of the sizes given; views."""
    d = axis(dim, tensor._data.ndim)
    if tensor._data.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    size = tensor._data.shape[d]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and size):
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}")
        lengths = [min(step, size - s) for s in range(0, size, step)] if size else [0]
    else:
        lengths = [int(n) for n in split_size_or_sections]
        if sum(lengths) != size or any(n < 0 for n in lengths):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {d}), but got split_sizes={lengths}"
            )
    starts = np.cumsum([0, *lengths]).tolist()
    return tuple([_narrow(tensor, d, s, n) for s, n in zip(starts, lengths, strict=False)])


split_with_sizes = split


def chunk(input, chunks, dim=0):
    """Cut into at most `chunks` pieces of nearly one size; views."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    d = axis(dim, input._data.ndim)
    if input._data.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    size = input._data.shape[d]
    step = -(-size // chunks)
    return split(input, step, d) if step else split(input, [0] * chunks, d)


def tensor_split(input, indices_or_sections, dim=0):
    """Cut into that many pieces as even as can be, or at the indices given; views."""
    d = axis(dim, input._data.ndim)
    if input._data.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    size = input._data.shape[d]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {n}")
        return split(input, [size // n + (i < size % n) for i in range(n)], d)
    bounds = [0, *[min(max(i + size if i < 0 else i, 0), size) for i in indices_or_sections], size]
    return tuple([_narrow(input, d, a, max(b - a, 0)) for a, b in zip(bounds, bounds[1:], strict=False)])


def _splitter(name, least, dim):
    def function(input, indices_or_sections):
        n = input._data.ndim
        if n < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension{'s' if least > 1 else ''}, but got a tensor with {n} dimensions!")
        return tensor_split(input, indices_or_sections, dim if n > 1 or name != "hsplit" else 0)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"tensor_split along the dimension of NumPy's {name}."
    return function


hsplit, vsplit, dsplit = _splitter("hsplit", 1, 1), _splitter("vsplit", 2, 0), _splitter("dsplit", 3, 2)


def unbind(input, dim=0):
    """The slices along `dim`, as a tuple of views."""
    if input._data.ndim == 0:
        raise RuntimeError("Dimension specified as 0 but tensor has no dimensions")
    d = axis(dim, input._data.ndim)
    return tuple([_select(input, d, i) for i in range(input._data.shape[d])])


# -- turning ----------------------------------------------------------------------------------------------------------
_flip = Op("FlipBackward0", lambda x, dims: np.flip(x, dims).copy(), x=lambda g, dims: _flip(g, dims))


def flip(input, *dims):
    """The order of the elements reversed along `dims` (a copy)."""
    found = axes(sizes(dims), input._data.ndim) if sizes(dims) else ()
    return _flip(input, found) if input._data.ndim else input.clone()


def fliplr(input):
    if input._data.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input):
    if input._data.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


_roll = Op("RollBackward0", lambda x, shifts, dims: np.roll(x, shifts, dims), x=lambda g, shifts, dims: _roll(g, tuple([-s for s in shifts]), dims))


def roll(input, shifts, dims=None):
    """The elements moved along `dims`, those that fall off coming back at the other end."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        if len(shifts) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:0")
        return _roll(input.reshape(-1), shifts, (0,)).reshape(input._data.shape)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    return _roll(input, shifts, tuple([axis(d, input._data.ndim) for d in dims]))


def rot90(input, k=1, dims=(0, 1)):
    """Turned by k quarter turns in the plane of two dimensions."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    a, b = (axis(d, input._data.ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return flip(input, (a, b))
    return transpose(flip(input, (b,)), a, b) if k == 1 else flip(transpose(input, a, b), (b,))


# -- diagonals and triangles ------------------------------------------------------------------------------------------
def _put_diagonal(g, shape, offset, a, b):
    z = np.zeros_like(g, shape=shape, order="C")
    np.moveaxis(_diagonal_view(z, offset, a, b), -1, -1)[...] = g
    return z


def _diagonal_view(x, offset, a, b):
    view = np.diagonal(x, offset, a, b)
    if view.flags.writeable or not x.flags.writeable:
        return view
    return np.lib.stride_tricks.as_strided(x[tuple([slice(1) if i in (a, b) else slice(None) for i in range(x.ndim)])], view.shape, view.strides) if offset == 0 else _offset_view(x, view, offset, a, b)


def _offset_view(x, view, offset, a, b):
    start = [slice(None)] * x.ndim
    start[a] = slice(max(-offset, 0), None)
    start[b] = slice(max(offset, 0), None)
    return np.lib.stride_tricks.as_strided(x[tuple(start)], view.shape, view.strides)


_diagonal = ViewOp("DiagonalBackward0", _diagonal_view, params=("x", "offset", "a", "b"), x=lambda g, x_shape, offset, a, b: _diagonal_back(g, x_shape, offset, a, b))
_diagonal_back = Op(
    "DiagonalBackwardBackward0", _put_diagonal, params=("g", "shape", "offset", "a", "b"), **{"g": lambda g, offset, a, b: _diagonal(g, offset, a, b)}
)


def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of the plane of two dimensions, as a view with the diagonal last."""
    n = input._data.ndim
    a, b = axis(dim1, n), axis(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal(input, offset, a, b)


def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """A tensor of matrices with `input`'s last dimension on their diagonals."""
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
    if input._data.ndim == 1:
        return write(out, diag_embed(input, diagonal))
    if input._data.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input._data.ndim}D")
    return write(out, globals()["diagonal"](input, diagonal).clone())


def diagflat(input, offset=0):
    """All elements on the diagonal of a matrix."""
    return diag_embed(input.reshape(-1), offset)


def trace(input):
    """The sum of a matrix's diagonal."""
    if input._data.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._data.ndim}")
    return diagonal(input).sum()


_tril = Op("TrilBackward0", lambda x, k: np.tril(x, k), x=lambda g, k: _tril(g, k))
_triu = Op("TriuBackward0", lambda x, k: np.triu(x, k), x=lambda g, k: _triu(g, k))


def tril(input, diagonal=0, *, out=None):
    """The lower triangle, the rest 0."""
    if input._data.ndim < 2:
        raise RuntimeError("tril: input tensor must have at least 2 dimensions")
    return write(out, _tril(input, diagonal))


def triu(input, diagonal=0, *, out=None):
    """The upper triangle, the rest 0."""
    if input._data.ndim < 2:
        raise RuntimeError("triu: input tensor must have at least 2 dimensions")
    return write(out, _triu(input, diagonal))


# -- windows ----------------------------------------------------------------------------------------------------------
def _windows(x, dim, size, step):
    view = np.lib.stride_tricks.sliding_window_view(x, size, dim, writeable=x.flags.writeable)
    return view[(slice(None),) * dim + (slice(None, None, step),)]


def _sum_windows(g, shape, dim, size, step):
    z = np.zeros_like(g, shape=shape)
    windows = _windows(z, dim, size, step)
    for k in range(size):
        windows[..., k] += g[..., k]
    return z


_unfold = ViewOp("UnfoldBackward0", _windows, params=("x", "dim", "size", "step"), x=lambda g, x_shape, dim, size, step: _unfold_back(g, x_shape, dim, size, step))
_unfold_back = Op("UnfoldBackwardBackward0", _sum_windows, params=("g", "shape", "dim", "size", "step"), **{"g": lambda g, dim, size, step: _unfold(g, dim, size, step)})


def unfold(input, dimension, size, step):
    """All windows of `size` along a dimension, `step` apart; the window is the last dimension of the view."""
    if input._data.ndim == 0:
        input = input.reshape(1)
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


def as_strided(input, size, stride, storage_offset=None):
    """A view of the tensor's memory with any shape and strides (in elements); no gradient flows through overlapping ones."""
    data = input._data
    base = data
    while isinstance(base.base, np.ndarray):
        base = base.base
    flat = base.reshape(-1)
    start = (data.ctypes.data - flat.ctypes.data) // data.itemsize if storage_offset is None else storage_offset
    index = np.full((), start, np.int64)
    for s, st in zip(size, stride, strict=True):
        index = index[..., None] + np.arange(s) * st
    if index.size and not 0 <= index.min() <= index.max() < flat.size:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start}, and itemsize {data.itemsize} are out of bounds for storage of size {flat.nbytes}"
        )
    if input.requires_grad and data.size == flat.size and data.flags.c_contiguous:
        from .indexing import take

        return take(input, wrap(index, input.device))
    view = np.lib.stride_tricks.as_strided(flat[start:], tuple(size), tuple([s * data.itemsize for s in stride]))
    return mark_view(wrap(view, input.device), input, as_strided, (size, stride, storage_offset))

__all__ = [
    "Size", "alias_view", "as_strided", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_shapes",
    "broadcast_tensors", "broadcast_to", "cat", "chunk", "column_stack", "concat", "concatenate", "diag",
    "diag_embed", "diagflat", "diagonal", "dsplit", "dstack", "expand", "expand_as", "flatten", "flip", "fliplr",
    "flipud", "hsplit", "hstack", "infer_shape", "moveaxis", "movedim", "narrow", "permute", "ravel", "repeat",
    "repeat_interleave", "reshape", "reshape_as", "roll", "rot90", "row_stack", "select", "sizes", "split",
    "split_with_sizes", "squeeze", "stack", "swapaxes", "swapdims", "t", "tensor_split", "tile", "trace", "transpose",
    "tril", "triu", "unbind", "unflatten", "unfold", "unsqueeze", "view", "view_as", "view_dtype", "vsplit", "vstack",
]  # fmt: skip
