"""16-bit (and 8-bit) floats are computed in float32 and rounded once, at the end, as PyTorch does on the CPU."""

import functools

import ml_dtypes
import numpy as np

from disttorch.kernels.float16 import widen

FLOAT, BFLOAT16, FLOAT16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16)
LONG = 1 << 12  # elements from which a conversion is worth a backend's way
_convert = np.ndarray.astype  # (x, dtype): from float32 to bfloat16 and back, where that is long


def convert_by(function):
    """Let long arrays go from float32 to bfloat16 and back by `function(x, dtype)`."""
    global _convert
    _convert = function


def is_narrow(dtype):
    """True for float16, bfloat16 and the 8-bit floats (ml_dtypes registers its types with kind "V")."""
    return dtype.itemsize <= 2 and dtype.kind in "fV"


def converted(x, dtype):
    """x in another dtype; narrowed, each number is rounded to the nearest."""
    if type(x) is np.ndarray and x.size >= LONG:
        own = x.dtype
        if (own is FLOAT and dtype is BFLOAT16) or (own is BFLOAT16 and dtype is FLOAT):
            return _convert(x, dtype)
        if own is FLOAT16 and dtype is FLOAT:
            return widen(x)
    return x.astype(dtype)


def widened(x):
    """x in float32 if it is an array of narrow floats; anything else as it is."""
    dtype = getattr(x, "dtype", None)
    if dtype is None or not is_narrow(dtype):
        return x
    if type(x) is np.ndarray and x.size >= LONG and 0 in x.strides:  # broadcast: every number once
        whole, one = slice(None), slice(0, 1)
        return np.broadcast_to(x[tuple([whole if s else one for s in x.strides])].astype(FLOAT), x.shape)
    return converted(x, FLOAT)


def in_float32(function):
    """Make a function of arrays see narrow floats as float32, and round its results back."""

    @functools.wraps(function)
    def wrapper(*args, **options):
        narrow = _narrow(args)
        if narrow is None:
            return function(*args, **options) if options else function(*args)
        return _rounded_all(function(*map(widened, args), **options), narrow)

    return wrapper


def kernel_in_float32(kernel=None, *, rounded=None):
    """The same for a backend's method: in float32 the backend that was asked computes it, which may have a faster one.

    rounded: how many leading results are rounded to the narrow dtype (default all); statistics stay float32.
    """
    if kernel is None:
        return functools.partial(kernel_in_float32, rounded=rounded)
    name = kernel.__name__

    @functools.wraps(kernel)
    def wrapper(self, *args, **options):
        narrow = _narrow(args)
        if narrow is None:
            return kernel(self, *args, **options) if options else kernel(self, *args)
        return _rounded_all(getattr(self, name)(*map(widened, args), **options), narrow, rounded)

    return wrapper


def _narrow(args):
    """The first dtype of narrow floats among the arguments' dtypes, or None."""
    for arg in args:
        dtype = getattr(arg, "dtype", None)
        if dtype is not None and dtype.itemsize <= 2 and is_narrow(dtype):
            return dtype
    return None


def _rounded_all(results, dtype, count=None):
    if not isinstance(results, tuple):
        return _rounded_back(results, dtype)
    count = len(results) if count is None else count
    return tuple([_rounded_back(r, dtype) if i < count else r for i, r in enumerate(results)])


def _rounded_back(result, dtype):
    """Only what is float32 has been narrow."""
    return converted(result, dtype) if getattr(result, "dtype", None) == FLOAT else result
