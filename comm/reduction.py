"""Reductions over ranks: which operations there are, for which dtypes, and summing arrays block by block.

The operands always come in rank order, so the result's bits depend on the ranks alone, never on who arrived first.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from ctypes import c_int64, c_void_p

import numpy as np

from disttorch.kernels.blas import address, openblas
from disttorch.kernels.float16 import widen

UFUNCS = {
    "sum": np.add,
    "avg": np.add,
    "product": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "band": np.bitwise_and,
    "bor": np.bitwise_or,
    "bxor": np.bitwise_xor,
}
ALIASES = {"prod": "product"}
BLOCK = 1 << 20  # bytes of all operands worked on at a time: they stay in the second-level cache


def check_op(op: str, dtype: np.dtype) -> str:
    """The operation's plain name. Raises ValueError for an unknown one, TypeError if `dtype` does not have it."""
    name = ALIASES.get(op, op)
    if name not in UFUNCS:
        raise ValueError(f"op must be one of {', '.join([*UFUNCS, *ALIASES])}, got {op!r}")
    kind = "f" if is_half(dtype) else dtype.kind
    if name in ("band", "bor", "bxor") and kind not in "biu":
        raise TypeError(f"op {name!r} needs an integer or bool array, got {dtype}")
    if name in ("min", "max") and kind == "c":
        raise TypeError(f"op {name!r} is not defined for complex arrays, got {dtype}")
    if name == "avg" and kind == "b":
        raise TypeError(f"op 'avg' is not defined for bool arrays, got {dtype}")
    return name


def is_half(dtype: np.dtype) -> bool:
    """True for floating types narrower than float32, whose sums are accumulated in float32."""
    return dtype == np.float16 or (dtype.kind == "V" and dtype.names is None)


def block_length(dtype: np.dtype, operands: int) -> int:
    """How many elements to combine at a time."""
    return max(BLOCK // (dtype.itemsize * operands), 1)


def reduce_into(outs: Sequence[np.ndarray], sources: Sequence[np.ndarray], op: str) -> None:
    """Write op(sources[0], sources[1], ...) to every array of `outs`; all are flat, of one dtype and size.

    An array of `outs` may be one of `sources` (the same memory from the same place), but not overlap one otherwise.
    """
    dtype, count = sources[0].dtype, sources[0].size
    if outs is sources and len(outs) == 2 and op in ("sum", "avg") and (rotate := _rotation(dtype, op)) is not None:
        rotate(*outs)
        return
    step = block_length(dtype, len(sources))
    combine = _combine_half if is_half(dtype) else _combine
    if count <= step and len(outs) == 1:
        combine(outs[0], sources, op)
        return
    for low in range(0, count, step):
        block = slice(low, low + step)
        first, *rest = [out[block] for out in outs]
        combine(first, [source[block] for source in sources], op)
        for out in rest:
            out[...] = first


@np.errstate(all="ignore")  # what overflows or is not a number shows in the result; a warning per rank helps nobody
def _combine(out: np.ndarray, sources: Sequence[np.ndarray], op: str) -> None:
    ufunc = UFUNCS[op]
    if len(sources) == 1:
        out[...] = sources[0]
        return
    if len(sources) == 2:
        ufunc(sources[0], sources[1], out=out)
    else:
        in_place = out is sources[0]  # otherwise it may be a later source
        partial = ufunc(sources[0], sources[1], out=out if in_place else None)
        for source in sources[2:-1]:
            ufunc(partial, source, out=partial)
        ufunc(partial, sources[-1], out=out)
    if op == "avg":
        divide(out, len(sources))


@np.errstate(all="ignore")
def _combine_half(out: np.ndarray, sources: Sequence[np.ndarray], op: str) -> None:
    first, *rest = [widen(source) if source.dtype == np.float16 else source.astype(np.float32) for source in sources]
    for source in rest:
        UFUNCS[op](first, source, out=first)
    if op == "avg":
        divide(first, len(sources))
    out[...] = first


def divide(array: np.ndarray, n: int) -> None:
    """array /= n, for whole numbers without the fraction, as NCCL's averages are. By a power of two the product with
    1/n has the same bits, in a third of the time.
    """
    if array.dtype.kind in "iu":
        np.subtract(array, np.fmod(array, n), out=array)
        np.floor_divide(array, n, out=array)
    elif array.dtype.kind == "f" and n & (n - 1) == 0:
        np.multiply(array, 1 / n, out=array)
    else:
        np.divide(array, n, out=array)


@functools.cache
def _rotation(dtype: np.dtype, op: str):
    """rotate(x, y) makes both x + y, or both x/2 + y/2, in one pass; None where that cannot be.

    BLAS's modified Givens rotation (Lawson et al. 1979) with four equal elements: it reads and writes each array once,
    where NumPy's operations take two or three passes. An average does not overflow where the sum would; where x/2 or
    y/2 is subnormal its last bit may differ from that of (x + y)/2, as other ways to the same average compute it.
    """
    name = {"f4": "cblas_srotm", "f8": "cblas_drotm"}.get(dtype.str[1:])
    call = openblas(name, c_int64, c_void_p, c_int64, c_void_p, c_int64, c_void_p) if name and dtype.isnative else None
    if call is None:
        return None
    full, factor = -1, 0.5 if op == "avg" else 1.0  # -1: all four elements of the matrix are given
    matrix = np.array([full, factor, factor, factor, factor], dtype)

    def rotate(x: np.ndarray, y: np.ndarray) -> None:
        call(x.size, address(x), 1, address(y), 1, address(matrix))

    return rotate if _is_exact(rotate, dtype, factor) else None


@np.errstate(all="ignore")
def _is_exact(rotate, dtype: np.dtype, factor: float) -> bool:
    """Whether `rotate` gives the bits of a sum that is rounded and then scaled, infinities and NaNs included."""
    odd = np.array([np.inf, -np.inf, np.nan, -np.nan, 0.0, -0.0, 1.0], dtype)
    x = np.concatenate([np.repeat(odd, odd.size), np.geomspace(1e-20, 1e20, 1001, dtype=dtype)])
    y = np.concatenate([np.tile(odd, odd.size), np.sin(np.arange(1001)).astype(dtype)])
    expected = ((x + y) * dtype.type(factor)).tobytes()
    rotate(x, y)
    return x.tobytes() == expected == y.tobytes()
