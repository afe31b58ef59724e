"""The order of the elements changed along dimensions: flip, roll, rot90."""

import numpy as np

from ..autograd.op import Op
from .arguments import need_tensor
from .dims import axes, axis, sizes
from .shape import transpose


def _flipped(x, dims):
    return x[tuple([_BACKWARDS if d in dims else _AS_IT_IS for d in range(x.ndim)])].copy()


_BACKWARDS, _AS_IT_IS = slice(None, None, -1), slice(None)
_flip = Op("FlipBackward0", _flipped, x=lambda g, dims: _flip(g, dims))


def flip(input, *args, dims=None):
    """The order of the elements reversed along `dims` (a copy)."""
    need_tensor(input, "flip", "input", 1)
    dims = sizes(args, dims)
    found = axes(dims, input._data.ndim) if dims else ()
    return _flip(input, found) if input._data.ndim else input.clone()


def fliplr(input):
    """The order of columns, dimension 1, turned round. RuntimeError below two dimensions."""
    need_tensor(input, "fliplr", "input", 1)
    if input._data.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input):
    """The order of rows, dimension 0, turned round. RuntimeError without a dimension."""
    need_tensor(input, "flipud", "input", 1)
    if input._data.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


_roll = Op(
    "RollBackward0",
    lambda x, shifts, dims: np.roll(x, shifts, dims),
    x=lambda g, shifts, dims: _roll(g, tuple([-s for s in shifts]), dims),
)


def roll(input, shifts, dims=None):
    """The elements moved along `dims`, those that fall off coming back at the other end."""
    need_tensor(input, "roll", "input", 1)
    shifts = (shifts.__index__(),) if hasattr(shifts, "__index__") else tuple(shifts)
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
    need_tensor(input, "rot90", "input", 1)
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input._data.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input._data.ndim}")
    a, b = (axis(d, input._data.ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return flip(input, (a, b))
    return transpose(flip(input, (b,)), a, b) if k == 1 else flip(transpose(input, a, b), (b,))


__all__ = ["flip", "fliplr", "flipud", "roll", "rot90"]
