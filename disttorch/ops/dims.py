"""Shapes and dimension numbers as arguments: `Size`, and PyTorch's complaints about dimensions that are not there."""

import math
import operator
from collections.abc import Sequence

from ..autograd.variable import Tensor


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


def sizes(args, named=None) -> tuple:
    """`f(2, 3)`, `f((2, 3))` and `f(size=(2, 3))` alike, as a tuple of ints."""
    if named is not None:
        args = (named,)
    if len(args) == 1 and type(args[0]) is not int and isinstance(args[0], (tuple, Sequence, Tensor)):
        args = args[0]
    for a in args:
        if type(a) is not int:
            return tuple(map(operator.index, args))
    return tuple(args)


def axes(dim, ndim: int) -> tuple:
    """The dimensions named by `dim` as non-negative ints; IndexError (PyTorch's text) for one that is not there."""
    if dim is None:
        return tuple(range(ndim))
    if type(dim) is int:
        return (axis(dim, ndim),)
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if not dims:
        return tuple(range(ndim))
    found = tuple([axis(d, ndim) for d in dims])
    if len(set(found)) != len(found):
        repeated = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"dim {repeated} appears multiple times in the list of dims")
    return found


def axis(dim: int, ndim: int) -> int:
    """`dim` as a non-negative int; IndexError (PyTorch's text) if there is no such dimension. 0-dimensional tensors
    have dim 0.
    """
    if type(dim) is not int and not hasattr(dim, "__index__"):
        raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
    size = ndim or 1
    if not -size <= dim < size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})")
    return dim % size


def entry_of(values: tuple, dim: int) -> int:
    """What `values` (sizes, strides) say of dimension `dim`. IndexError if there is no such dimension."""
    if not values:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return values[axis(dim, len(values))]


__all__ = ["Size", "axes", "axis", "entry_of", "sizes"]
