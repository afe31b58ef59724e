"""The OpenBLAS that NumPy brings, for what NumPy does not hand to it."""

import ctypes
import functools
import math
from ctypes import c_float, c_int64, c_void_p

import numpy as np

from disttorch.kernels.hushing import hushed

FLOAT = np.dtype(np.float32)
TOGETHER = 32  # elements that OpenBLAS's kernels for AVX2 take at a time
DATA_OFFSET = object.__basicsize__  # where a NumPy array object holds its data pointer


def openblas(name, *arguments, result=None):
    """A function of NumPy's OpenBLAS; None where NumPy was built on another BLAS, or one with 32-bit integers."""
    library = ctypes.CDLL(np._core._multiarray_umath.__file__)
    for full in (f"scipy_{name}64_", f"{name}64_"):
        function = getattr(library, full, None)
        if function is not None:
            function.argtypes, function.restype = arguments, result
            return function
    return None


@functools.cache
def _saxpy():
    """OpenBLAS's y += a x, and how many elements at a time it adds to unrounded products: 1, or 32 with AVX2,
    where what is left over is rounded twice. (None, 0) where all is, or there is no OpenBLAS.
    """
    saxpy = openblas("cblas_saxpy", c_int64, c_float, c_void_p, c_int64, c_void_p, c_int64)
    if saxpy is not None:
        x, y = np.linspace(1, 2, 2 * TOGETHER - 1, dtype=FLOAT), np.linspace(-3, 1, 2 * TOGETHER - 1, dtype=FLOAT)
        expected = _fused(y, 0.9, x)
        saxpy(y.size, 0.9, address(x), 1, address(y), 1)
        for at_a_time in (1, TOGETHER):
            if np.array_equal(y[: y.size - y.size % at_a_time], expected[: y.size - y.size % at_a_time]):
                return saxpy, at_a_time
    return None, 0


def _fused(y, a, x):
    """y + a x in float32 with the product not rounded, which is exact in float64."""
    return (y + np.float64(FLOAT.type(a)) * x.astype(np.float64)).astype(FLOAT)


@functools.cache
def _saxpby():
    """OpenBLAS's y = a x + b y; None where it does not round a product before it is added, as two operations do."""
    saxpby = openblas("cblas_saxpby", c_int64, c_float, c_void_p, c_int64, c_float, c_void_p, c_int64)
    if saxpby is None:
        return None
    x, y = np.linspace(1, 2, 1001, dtype=FLOAT), np.linspace(-3, 1, 1001, dtype=FLOAT)
    expected = y * FLOAT.type(0.9) + x
    saxpby(y.size, 1.0, address(x), 1, 0.9, address(y), 1)
    return saxpby if np.array_equal(y, expected) else None


def decay_and_add(y, a, x):
    """y = a * y + x in place for arrays of one shape, each operation rounded, in one pass where that can be."""
    if isinstance(y, np.ndarray) and y.dtype is x.dtype is FLOAT and y.flags.c_contiguous and x.flags.c_contiguous:
        saxpby = _saxpby()
        if saxpby is not None:
            saxpby(y.size, 1.0, address(x), 1, a, address(y), 1)
            return
    y *= a
    y += x


def add_scaled(y, a, x):
    """y += a * x in place for arrays of one shape, in one pass where that can be.

    In float32 the product is not rounded before it is added (a fused multiply-add), as in PyTorch's `add_(x, alpha=a)`,
    where BLAS and the processor can do that.
    """
    if isinstance(y, np.ndarray) and y.dtype is x.dtype is FLOAT and y.flags.c_contiguous and x.flags.c_contiguous:
        saxpy, at_a_time = _saxpy()
        if saxpy is not None:
            saxpy(y.size - y.size % at_a_time, a, address(x), 1, address(y), 1)
            if rest := y.size % at_a_time:
                last = y.reshape(-1)[-rest:]
                last[...] = _fused(last, a, x.reshape(-1)[-rest:])
            return
    y += a * x


@functools.cache
def _sasum():
    return openblas("cblas_sasum", c_int64, c_void_p, c_int64, result=c_float)


def is_finite(x):
    """Whether the sum of a float32 array's magnitudes is finite: False for NaN, for inf, and for an enormous sum."""
    total = _sasum()
    if total is None or not (x.flags.c_contiguous or _last(x).flags.c_contiguous):
        return math.isfinite(_sum(x))
    return math.isfinite(total(x.size, address(x), 1))


@hushed
def _sum(x):
    return np.add.reduce(x, axis=None)


def _last(x):
    """x (N, C, *S) with its channels last; np.moveaxis takes ten times as long."""
    return x.transpose(0, *range(2, x.ndim), 1) if x.ndim > 1 else x


def address(array):
    return c_void_p.from_address(id(array) + DATA_OFFSET).value
