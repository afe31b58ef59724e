"""Making tensors of numbers in a row: at steps, or so many between two ends."""

import math
import warnings

import numpy as np

from .. import dtypes
from ..autograd.variable import Tensor
from .creation import as_dtype, created


def _numbers(*values) -> list:
    return [v if type(v) in (int, float) else _number(v) for v in values]


def _number(v):
    return v._data.item() if isinstance(v, Tensor) else v.item() if isinstance(v, np.generic) else v


def arange(
    *bounds, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, start=0, end=None,
    step=1,
):  # fmt: skip
    """Numbers from [start, end) at steps of `step`: arange(end), arange(start, end), arange(start, end, step)."""
    if len(bounds) == 1 and end is None:
        end = bounds[0]
    elif len(bounds) == 1:
        start = bounds[0]
    elif bounds:
        start, end, step = (*bounds, step)[:3]
    if len(bounds) > 3:
        raise TypeError(f"arange() takes 3 positional arguments but {len(bounds)} were given")
    if end is None:
        raise TypeError('arange() missing 1 required positional arguments: "end"')
    start, end, step = _numbers(start, end, step)
    d = as_dtype("arange", dtype) or (out.dtype if out is not None else None)
    if d is None:
        whole = isinstance(start, int) and isinstance(end, int) and isinstance(step, int)
        d = dtypes.int64 if whole else dtypes.get_default_dtype()
    _check_range(start, end, step)
    if d.category == dtypes.INTEGER:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero")
        count = len(range(start, end, step))
    else:
        count = math.ceil((end - start) / step)

    def make(xp, shape, np_type):
        if start == 0 and step == 1 and d is dtypes.int64:
            return xp.arange(count)
        if np_type.kind == "i" or np_type.kind == "u":
            return (start + step * xp.arange(count)).astype(np_type)
        return _ramp(xp, start, step, count, np_type)

    return created("arange", (count,), make, out, d, layout, device, requires_grad)


def _ramp(xp, start, step, count: int, np_type):
    """start + i · step, to the last bit as PyTorch computes it: each vector of 32 bytes from its first element."""
    wide = _wider(xp, np_type)
    start, step, i = wide(start), wide(step), xp.arange(count)
    exact = (start + step * i).astype(np_type)
    lanes = 32 // np_type.itemsize
    vectors = exact[i // lanes * lanes].astype(wide) + step * (i % lanes)
    return xp.where(i < count - count % (2 * lanes), vectors.astype(np_type), exact)


def _check_range(start, end, step):
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")


def range_(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """Numbers from [start, end], both ends included (torch.range; deprecated there)."""
    if end is None:
        raise TypeError('range() missing 1 required positional arguments: "end"')
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        stacklevel=2,
    )
    start, end, step = _numbers(start, end, step)
    _check_range(start, end, step)
    count = math.floor((end - start) / step) + 1
    make = lambda xp, shape, np_type: (start + step * xp.arange(count)).astype(np_type)  # noqa: E731
    return created("range", (count,), make, out, dtype, layout, device, requires_grad)


def _ends(name: str, start, end) -> list:
    """Both ends of a range as numbers; RuntimeError for tensors with dimensions."""
    ranks = [t._data.ndim if isinstance(t, Tensor) else 0 for t in (start, end)]
    if any(ranks):
        raise RuntimeError(
            f"{name} only supports 0-dimensional start and end tensors, but got start with {ranks[0]} dimension(s) and "
            f"end with {ranks[1]} dimension(s)."
        )
    return _numbers(start, end)


def linspace(
    start, end, steps, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):  # fmt: skip
    """`steps` evenly spaced numbers from `start` to `end`, both included."""
    start, end = _ends("linspace", start, end)
    d = _range_dtype("linspace", start, end, steps, out, dtype)
    make = lambda xp, shape, np_type: _spaced(xp, start, end, steps, np_type)  # noqa: E731
    return created("linspace", (steps,), make, out, d, layout, device, requires_grad)


def logspace(
    start, end, steps, base=10.0, *, out=None, dtype=None, layout=None, device=None, pin_memory=False,
    requires_grad=False,
):  # fmt: skip
    """base^start to base^end in `steps` numbers whose logarithms are evenly spaced."""
    start, end = _ends("logspace", start, end)
    d = _range_dtype("logspace", start, end, steps, out, dtype)

    def make(xp, shape, np_type):
        wide = np.dtype(np.complex128 if np_type.kind == "c" else np.float64)
        return xp.power(wide.type(base), _spaced(xp, start, end, steps, wide)).astype(np_type)

    return created("logspace", (steps,), make, out, d, layout, device, requires_grad)


def _range_dtype(name, start, end, steps, out, dtype):
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    d = as_dtype(name, dtype) or (out.dtype if out is not None else dtypes.get_default_dtype())
    if dtype is None and out is None and (isinstance(start, complex) or isinstance(end, complex)):
        d = d.to_complex()
    return d


def _spaced(xp, start, end, steps, np_type):
    """Counted from both ends towards the middle, so that both are met exactly."""
    if steps < 2:
        return xp.full(steps, start).astype(np_type)
    kind = np_type if np_type.kind in "fcV" else np.dtype(np.float64)
    first, last = kind.type(start), kind.type(end)
    with np.errstate(over="ignore"):
        step = kind.type(last - first) / kind.type(steps - 1)
    wide = kind.type if kind.itemsize == 2 else _wider(xp, kind)
    i, back = xp.arange(steps).astype(wide), xp.arange(steps - 1, -1, -1).astype(wide)
    near, far = wide(first) + wide(step) * i, wide(last) - wide(step) * back
    return xp.where(i < steps // 2, near, far).astype(np_type)


def _wider(xp, dtype):
    """A type in which a product and a sum are rounded to `dtype` as if by a fused multiply-add."""
    if xp is not np or dtype.kind == "c":
        return np.complex128 if dtype.kind == "c" else np.float64
    return np.longdouble if dtype.itemsize == 8 else np.float64


__all__ = ["arange", "linspace", "logspace"]
