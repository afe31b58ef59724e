"""16-bit (and 8-bit) floats are computed in float32 and rounded once, at the end, as PyTorch does on the CPU."""

import functools

import numpy as np


def is_narrow(dtype):
    """True for float16, bfloat16 and the 8-bit floats (ml_dtypes registers its types with kind "V")."""
    return dtype.itemsize <= 2 and dtype.kind in "fV"


def in_float32(kernel=None, *, rounded=None):
    """Make `kernel` see narrow float arrays as float32 and round its results back.

    rounded: how many leading results are rounded to the narrow dtype (default all); statistics stay float32.
    """
    if kernel is None:
        return functools.partial(in_float32, rounded=rounded)

    @functools.wraps(kernel)
    def wrapper(*args, **options):
        for arg in args:
            dtype = getattr(arg, "dtype", None)
            if dtype is not None and dtype.itemsize <= 2 and is_narrow(dtype):
                narrow = dtype
                break
        else:
            return kernel(*args, **options) if options else kernel(*args)
        results = kernel(*map(_widen, args), **options)
        if not isinstance(results, tuple):
            return _round(results, narrow)
        count = len(results) if rounded is None else rounded
        return tuple(_round(r, narrow) if i < count else r for i, r in enumerate(results))

    return wrapper


def _widen(arg):
    dtype = getattr(arg, "dtype", None)
    return arg.astype(np.float32) if dtype is not None and is_narrow(dtype) else arg


def _round(result, dtype):
    if getattr(result, "dtype", None) == np.float32:
        return result.astype(dtype)
    return result
