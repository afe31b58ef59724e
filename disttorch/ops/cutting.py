"""Parts of a tensor along a dimension, as views: narrow, select, split and their kin."""

from itertools import accumulate, pairwise

import numpy as np

from ..autograd.mode import mode
from ..autograd.op import Op, ViewOp
from ..autograd.variable import Tensor
from .arguments import need_tensor
from .dims import axis

_narrow = ViewOp(
    "SliceBackward0",
    lambda x, dim, start, length: x[(slice(None),) * dim + (slice(start, start + length),)],
    x=lambda g, x_shape, dim, start, length: _narrow_back(g, x_shape, dim, start, length),
)


_split = ViewOp("SplitBackward0", _narrow.forward, x=_narrow.gradients["x"])
_split_with_sizes = ViewOp("SplitWithSizesBackward0", _narrow.forward, x=_narrow.gradients["x"])
_split.several = _split_with_sizes.several = True


def _place(g, shape, dim, start, length):
    z = np.zeros_like(g, shape=shape)
    z[(slice(None),) * dim + (slice(start, start + length),)] = g
    return z


_narrow_back = Op(
    "SliceBackwardBackward0",
    _place,
    params=("g", "shape", "dim", "start", "length"),
    g=lambda g, dim, start, length: _narrow(g, dim, start, length),
)


def narrow(input, dim, start, length):
    """`length` entries of dimension `dim` from `start` on, as a view."""
    d = axis(dim, input._data.ndim)
    size = input._data.shape[d] if input._data.ndim else 1
    if isinstance(start, Tensor) and (start._data.ndim or start._data.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
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


def slice_of(input, dim=0, start=None, end=None, step=1):
    """Entries start to end (exclusive) of dimension `dim`, every step-th, as a view."""
    if input._data.ndim == 0:
        raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    d = axis(dim, input._data.ndim)
    return input[(slice(None),) * d + (slice(start, end, step),)]


def select(input, dim, index):
    """Entry `index` of dimension `dim`, as a view without that dimension."""
    n = input._data.ndim
    if n == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d, size = axis(dim, n), input._data.shape[axis(dim, n)]
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input._data.shape)} at dimension {d}"
        )
    return _select(input, d, int(index) % size)


def _place_at(g, shape, dim, index):
    z = np.zeros_like(g, shape=shape)
    z[(slice(None),) * dim + (index,)] = g
    return z


_select_back = Op(
    "SelectBackwardBackward0",
    _place_at,
    params=("g", "shape", "dim", "index"),
    g=lambda g, dim, index: _select(g, dim, index),
)
_select = ViewOp(
    "SelectBackward0",
    lambda x, dim, index: x[(slice(None),) * dim + (index, ...)],
    x=lambda g, x_shape, dim, index: _select_back(g, x_shape, dim, index),
)


_unbind = ViewOp("UnbindBackward0", _select.forward, x=_select.gradients["x"])
_unbind.several = True


def _joined(g, dim):
    from .joining import cat

    return g if isinstance(g, Tensor) else cat(g, dim)  # one piece has no tuple of gradients


def _stacked(g, dim):
    from .joining import stack

    return stack((g,) if isinstance(g, Tensor) else g, dim)


# The node of all pieces: it puts their gradients together at once, where each piece's own would add zeros to the rest.
_split_node = Op("SplitBackward0", _narrow.forward, params=("x", "dim"), x=_joined)
_split_with_sizes_node = Op("SplitWithSizesBackward0", _narrow.forward, params=("x", "dim"), x=_joined)
_unbind_node = Op("UnbindBackward0", _select.forward, params=("x", "dim"), x=_stacked)


def _together(op, x, dim, pieces):
    if mode.grad:
        op.record(pieces, (x, dim), ())
    return tuple(pieces)


def split(tensor, split_size_or_sections, dim=0):
    """Cut into pieces of one size (the last may be smaller), or of the sizes given; views."""
    d = axis(dim, tensor._data.ndim)
    if tensor._data.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    size = tensor._data.shape[d]
    view, node = _split, _split_node
    if isinstance(split_size_or_sections, Tensor) and not split_size_or_sections._data.ndim:
        split_size_or_sections = int(split_size_or_sections)
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step == 0 and size:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
        if step < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}")
        lengths = [min(step, size - s) for s in range(0, size, step)] if size else [0]
    else:
        view, node = _split_with_sizes, _split_with_sizes_node
        lengths = [int(n) for n in split_size_or_sections]
        if sum(lengths) != size or any(n < 0 for n in lengths):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension "
                f"{d}), but got split_sizes={lengths}"
            )
    places = zip(accumulate(lengths, initial=0), lengths, strict=False)
    return _together(node, tensor, d, [view.view(tensor, d, start, n) for start, n in places])


def split_with_sizes(input, split_sizes, dim=0):
    """`split` into pieces of the sizes given."""
    return split(input, split_sizes, dim)


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
        lengths = [size // n + (i < size % n) for i in range(n)]
        return tuple([_narrow(input, d, end - n, n) for end, n in zip(accumulate(lengths), lengths, strict=True)])
    bounds = [0, *[min(max(i + size if i < 0 else i, 0), size) for i in indices_or_sections], size]
    return tuple([_narrow(input, d, a, max(b - a, 0)) for a, b in pairwise(bounds)])


def _splitter(name, least, dim):
    def function(input, indices_or_sections):
        need_tensor(input, name, "input", 1)
        n = input._data.ndim
        if n < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension{'s' if least > 1 else ''}, but got a "
                f"tensor with {n} dimensions!"
            )
        along = dim if n > 1 else 0
        if isinstance(indices_or_sections, int):
            size = input._data.shape[along]
            if indices_or_sections == 0 or size % indices_or_sections:
                raise RuntimeError(
                    f"torch.{name} attempted to split along dimension {along}, but the size of the dimension {size} is "
                    f"not divisible by the split_size {indices_or_sections}!"
                )
        return tensor_split(input, indices_or_sections, along)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"tensor_split along the dimension of NumPy's {name}."
    return function


hsplit, vsplit, dsplit = _splitter("hsplit", 1, 1), _splitter("vsplit", 2, 0), _splitter("dsplit", 3, 2)


def unbind(input, dim=0):
    """The slices along `dim`, as a tuple of views."""
    need_tensor(input, "unbind", "input", 1)
    if input._data.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = axis(dim, input._data.ndim)
    return _together(_unbind_node, input, d, [_unbind.view(input, d, i) for i in range(input._data.shape[d])])


__all__ = [
    "chunk", "dsplit", "hsplit", "narrow", "select", "split", "split_with_sizes", "tensor_split", "unbind",
    "vsplit",
]  # fmt: skip
