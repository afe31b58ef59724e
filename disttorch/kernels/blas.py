"""The OpenBLAS that NumPy brings, for what NumPy does not hand to it."""

import ctypes
import functools
from ctypes import c_float, c_int64, c_void_p

import numpy as np

FLOAT = np.dtype(np.float32)
DATA_OFFSET = object.__basicsize__  # where a NumPy array object holds its data pointer


def openblas(name, *arguments):
    """A function of NumPy's OpenBLAS; None where NumPy was built on another BLAS, or one with 32-bit integers."""
    library = ctypes.CDLL(np._core._multiarray_umath.__file__)
    for full in (f"scipy_{name}64_", f"{name}64_"):
        function = getattr(library, full, None)
        if function is not None:
            function.argtypes, function.restype = arguments, None
            return function
    return None


@functools.cache
def _saxpy():
    return openblas("cblas_saxpy", c_int64, c_float, c_void_p, c_int64, c_void_p, c_int64)


def add_scaled(y, a, x):
    """y += a * x in place for arrays of one shape, in one pass where that can be.

    In float32 the product is not rounded before it is added (a fused multiply-add), as in PyTorch's `add_(x, alpha=a)`.
    """
    if isinstance(y, np.ndarray) and y.dtype is x.dtype is FLOAT and y.flags.c_contiguous and x.flags.c_contiguous:
        saxpy = _saxpy()
        if saxpy is not None:
            saxpy(y.size, a, address(x), 1, address(y), 1)
            return
    y += a * x


def address(array):
    return c_void_p.from_address(id(array) + DATA_OFFSET).value
