"""Tensors joined along a dimension."""

import numpy as np

from ..autograd.inplace import check_apart, write
from ..autograd.op import Op
from ..autograd.variable import Tensor
from .arguments import need_tensors, type_name
from .dims import axis
from .pointwise import common_device, result_dtype
from .shape import reshape, unsqueeze


def _cut(g, needs, dim, lengths):
    starts = np.cumsum([0, *lengths]).tolist()
    return [g.narrow(dim, s, n) if need else None for s, n, need in zip(starts, lengths, needs, strict=False)]


_cat = Op("CatBackward0", lambda dim, lengths, *xs: np.concatenate(xs, dim), joint=_cut)


def _stacked(dim, *arrays):
    shape = arrays[0].shape
    if dim == 0 and shape:  # half of np.stack's time
        return np.concatenate(arrays).reshape(len(arrays), *shape)
    return np.stack(arrays, dim)


_stack = Op(
    "StackBackward0",
    _stacked,
    joint=lambda g, needs, dim: [g.select(dim, i) if need else None for i, need in enumerate(needs)],
)


def _alike(tensors, name):
    if isinstance(tensors, Tensor):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    tensors = list(tensors)
    if not tensors:
        raise ValueError(f"torch.{name}(): expected a non-empty list of Tensors")
    need_tensors(tensors)
    kind, where = tensors[0]._data.dtype, tensors[0].device
    for x in tensors:
        if x._data.dtype is not kind or x.device is not where:
            common_device(*tensors)
            d = result_dtype(*tensors)
            return [x.to(d) for x in tensors]
    return tensors


def cat(tensors, dim=0, *, out=None):
    """Tensors joined along an existing dimension; they differ in size there only."""
    tensors = _alike(tensors, "cat")
    kept, shapes = tensors, [x._data.shape for x in tensors]
    if (0,) in shapes:
        kept = [x for x in tensors if x._data.shape != (0,)] or tensors[:1]
        shapes = [x._data.shape for x in kept]
    first = shapes[0]
    if not first:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    d = axis(dim, len(first))
    for i, s in enumerate(shapes):
        if s == first:
            continue
        if len(s) != len(first):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(s)}")
        for k in range(len(s)):
            if k != d and s[k] != first[k]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {d}. Expected size {first[k]} but got size "
                    f"{s[k]} for tensor number {i} in the list."
                )
    if out is not None:
        check_apart(out, *tensors, numel=sum(x._data.size for x in kept))
    return write(out, _cat(d, tuple([s[d] for s in shapes]), *kept))


concat = concatenate = cat


def stack(tensors, dim=0, *, out=None):
    """Tensors of one shape joined along a new dimension."""
    if not isinstance(tensors, (tuple, list, Tensor)):
        raise TypeError(f"stack(): argument 'tensors' (position 1) must be tuple of Tensors, not {type_name(tensors)}")
    if not isinstance(tensors, Tensor) and not len(tensors):
        raise RuntimeError("stack expects a non-empty TensorList")
    tensors = _alike(tensors, "stack")
    first = tensors[0]._data.shape
    for i, x in enumerate(tensors):
        if x._data.shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                f"{list(x._data.shape)} at entry {i}"
            )
    check_apart(out, *tensors)
    return write(out, _stack(axis(dim, len(first) + 1), *tensors))


def _stacker(name, least, dim):
    def function(tensors, *, out=None):
        if not len(tensors):
            raise RuntimeError(f"{name} expects a non-empty TensorList")
        raised = [least(x) for x in tensors]
        return cat(raised, dim if raised[0]._data.ndim != 1 or name != "hstack" else 0, out=out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Tensors joined as NumPy's {name} does."
    return function


def atleast_1d(*tensors):
    """Each tensor, those without dimensions as (1,). One tensor for one, else a tuple."""
    return _each(tensors, lambda x: reshape(x, 1) if x._data.ndim == 0 else x)


def atleast_2d(*tensors):
    """Each tensor with two dimensions at least: () as (1, 1), (N,) as (1, N)."""
    return _each(
        tensors, lambda x: reshape(x, 1, 1) if x._data.ndim == 0 else unsqueeze(x, 0) if x._data.ndim == 1 else x
    )


def atleast_3d(*tensors):
    """Each tensor with three dimensions at least: () as (1, 1, 1), (N,) as (1, N, 1), (N, M) as (N, M, 1)."""

    def raised(x):
        x = atleast_2d(x)
        return unsqueeze(x, -1) if x._data.ndim == 2 else x

    return _each(tensors, raised)


def _each(tensors, f):
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return f(tensors[0])
    if len(tensors) == 1:
        tensors = tensors[0]
    need_tensors(tensors)
    return tuple(f(x) for x in tensors)


hstack, vstack, dstack = (
    _stacker("hstack", atleast_1d, 1),
    _stacker("vstack", atleast_2d, 0),
    _stacker("dstack", atleast_3d, 2),
)
row_stack = vstack


def column_stack(tensors, *, out=None):
    """1-D tensors as columns, 2-D ones side by side."""
    need_tensors(tensors)
    return cat([reshape(x, -1, 1) if x._data.ndim < 2 else x for x in tensors], 1, out=out)


__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "cat", "column_stack", "concat", "concatenate", "dstack", "hstack",
    "row_stack",
    "stack", "vstack",
]  # fmt: skip
