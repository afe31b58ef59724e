"""Forms without side effects: copies of views, and views written to (`select_scatter` and its kin)."""

import functools

from ..autograd.inplace import write
from .arguments import need_tensor
from .complexes import view_as_complex, view_as_real
from .copying import contiguous_format, detach
from .cutting import chunk, narrow, select, slice_of, split, split_with_sizes, unbind
from .diagonal import diagonal
from .shape import alias_view, expand, permute, squeeze, t, transpose, unsqueeze, view
from .windows import as_strided, unfold


def _copying(function):
    """The view's elements in memory of their own."""

    @functools.wraps(function)
    def copied(input, *args, out=None, **kwargs):
        need_tensor(input, copied.__name__, "input", 1)
        views = function(input, *args, **kwargs)
        if isinstance(views, tuple):
            return tuple([v.clone(memory_format=contiguous_format) for v in views])
        return write(out, views.clone(memory_format=contiguous_format))

    copied.__name__ = copied.__qualname__ = function.__name__ + "_copy"
    copied.__doc__ = f"`{function.__name__}`, as a copy."
    return copied


alias_copy = _copying(alias_view)
as_strided_copy = _copying(as_strided)
detach_copy = _copying(detach)
diagonal_copy = _copying(diagonal)
expand_copy = _copying(expand)
permute_copy = _copying(permute)
select_copy = _copying(select)
slice_copy = _copying(slice_of)
split_copy = _copying(split)
split_with_sizes_copy = _copying(split_with_sizes)
squeeze_copy = _copying(squeeze)
t_copy = _copying(t)
transpose_copy = _copying(transpose)
unbind_copy = _copying(unbind)
unfold_copy = _copying(unfold)
unsqueeze_copy = _copying(unsqueeze)
view_as_complex_copy = _copying(view_as_complex)
view_as_real_copy = _copying(view_as_real)
view_copy = _copying(view)


def narrow_copy(input, dim, start, length, *, out=None):
    """`narrow`, as a copy."""
    if dim >= input._data.ndim > 0:  # this one function speaks so of it
        raise RuntimeError("Expected dim < static_cast<int64_t>(self_sizes.size()) to be true, but got false.")
    return write(out, narrow(input, dim, start, length).clone(memory_format=contiguous_format))


unsafe_chunk, unsafe_split = chunk, split


def fill(input, value):
    """A tensor like `input` with all elements `value` (a number or a 0-dimensional tensor)."""
    need_tensor(input, "fill", "input", 1)
    return input.clone().fill_(value)


def resize_as_(input, the_template, *, memory_format=None):
    """`input`, given the shape of another tensor: its elements in order, new ones uninitialised."""
    need_tensor(input, "resize_as_", "input", 1)
    return input.resize_(the_template.shape)


def _scattered(input, src, view, *args):
    """A copy of `input` in which `view(copy, *args)` is `src`."""
    out = input.clone()
    part = view(out, *args)
    if src._data.shape != part._data.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src._data.shape)}, slice size "
            f"= {list(part._data.shape)}"
        )
    part.copy_(src)
    return out


def select_scatter(input, src, dim, index):
    """`input` with entry `index` of dimension `dim` replaced by `src`."""
    return _scattered(input, src, select, dim, index)


def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """`input` with a slice of dimension `dim` replaced by `src`."""
    need_tensor(input, "slice_scatter", "input", 1)
    need_tensor(src, "slice_scatter", "src", 2)
    return _scattered(input, src, slice_of, dim, start, end, step)


def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """`input` with a diagonal replaced by `src`."""
    need_tensor(input, "diagonal_scatter", "input", 1)
    return _scattered(input, src, diagonal, offset, dim1, dim2)


def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """`input` with the elements that `as_strided` would show replaced by `src`."""
    need_tensor(input, "as_strided_scatter", "input", 1)
    return _scattered(input, src, as_strided, size, stride, storage_offset)


__all__ = [
    "alias_copy", "as_strided_copy", "as_strided_scatter", "detach_copy", "diagonal_copy", "diagonal_scatter",
    "expand_copy", "fill", "narrow_copy", "permute_copy", "resize_as_", "select_copy", "select_scatter", "slice_copy",
    "slice_scatter", "split_copy",
    "split_with_sizes_copy", "squeeze_copy", "t_copy", "transpose_copy", "unbind_copy", "unfold_copy", "unsafe_chunk",
    "unsafe_split", "unsqueeze_copy", "view_as_complex_copy", "view_as_real_copy", "view_copy",
]  # fmt: skip
