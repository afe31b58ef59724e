"""Elements kept within bounds."""

import numpy as np

from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor
from ..dtypes import BOOL, COMPLEX
from ..kernels.portable.precision import in_float32, is_narrow
from .arguments import fitting, need_tensor
from .pointwise import broadcast_error, result_dtype, scalar_array

MANY = 1 << 12  # elements
_PLAIN, _WIDE = (float, int), (np.dtype(np.float32), np.dtype(np.float64))


def _clamped(x, low, high):
    if x.size >= MANY and x.dtype.kind == "V":
        return _clamped_in_float32(x, low, high)
    if x.size >= MANY and x.dtype in _WIDE:  # NumPy's clip is three times as quick as its maximum
        return np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


_clamped_in_float32 = in_float32(_clamped)


def _inside(x, low, high):
    """Where the bounds leave x as it is."""
    inside = None if low is None else x >= low
    if high is not None:
        below = x <= high
        inside = below if inside is None else inside & below
    return inside


_clamp = Op(
    "ClampBackward1",
    _clamped,
    params=("x", "low", "high"),
    x=lambda g, x, low, high: g.masked_fill(~_inside(x, low, high), 0),
    low=lambda g, x, low, high: g.masked_fill(~((x < low) if high is None else (x < low) & (low < high)), 0),
    high=lambda g, x, low, high: g.masked_fill(~((x > high) if low is None else (x > high) | (low > high)), 0),
)


def clamp(input, min=None, max=None, *, out=None):
    """Elements below `min` become min, those above `max` become max; bounds are numbers or tensors, NaN stays NaN."""
    need_tensor(input, "clamp", "input", 1)
    if out is None and type(min) in _PLAIN and type(max) in _PLAIN and input._data.dtype in _WIDE:
        return _clamp.of_one(input, min, max)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, Tensor) != isinstance(max, Tensor) and min is not None and max is not None:
        raise TypeError(
            "clamp() received an invalid combination of arguments: min and max must both be tensors or both be "
            f"numbers, got min {type(min).__name__} and max {type(max).__name__}"
        )
    bounds = [b for b in (min, max) if b is not None]
    for b in bounds:
        if isinstance(b, Tensor) and (error := broadcast_error(input._data.shape, b._data.shape)):
            raise error
    d = result_dtype(input, *bounds)
    if d.category == COMPLEX:
        raise NotImplementedError("clamp is not supported for complex types")
    if d.category == BOOL and not any(isinstance(b, Tensor) for b in bounds):
        raise RuntimeError("\"clamp_scalar_cpu\" not implemented for 'Bool'")
    low, high = (b.to(d) if isinstance(b, Tensor) else None if b is None else _number(b, d) for b in (min, max))
    return write(out, _clamp(input.to(d), low, high), input, low, high)


def _number(value, d):
    if is_narrow(d.np):
        fitting(value, d)
    return np.asarray(value, d.np)[()] if d.is_floating_point else scalar_array(int(value), d)[()]


def clamp_min(input, min, *, out=None):
    """`clamp` with a lower bound alone."""
    return clamp(input, min, out=out)


def clamp_max(input, max, *, out=None):
    """`clamp` with an upper bound alone."""
    return clamp(input, None, max, out=out)


clip = clamp

__all__ = ["clamp", "clamp_max", "clamp_min", "clip"]
