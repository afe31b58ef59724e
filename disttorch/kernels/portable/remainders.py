"""Remainders of many float32 numbers, exact: in float64, where the C library's function goes bit by bit.

With a quotient of less than 2^29 its product with the divisor fits into float64's 53 bits, and so does what is left.
The quotient is one too many where rounding has lifted it to the next whole number: what is left then has the wrong
sign.
"""

import numpy as np

from disttorch.kernels.portable.blocks import BLOCK
from disttorch.kernels.portable.masking import chosen, kept

MANY = 1 << 13  # elements from which it is quicker
EXACT = 2.0**29


def fmod(a, b):
    """np.fmod."""
    return _in_blocks(_fmod, np.fmod, a, b)


def remainder(a, b):
    """What has the sign of b instead, as PyTorch's: zeros keep that of a."""
    return _in_blocks(_remainder, _plain_remainder, a, b)


def _in_blocks(exact, plain, a, b):
    """exact(block of a, the same of b), or plain(a, b) where they are few, of another kind, or not finite."""
    if not (_is_float(a) and a.size >= MANY and (np.ndim(b) == 0 or (_is_float(b) and b.shape == a.shape))):
        return plain(a, b)
    flat, divisors = a.reshape(-1), b if np.ndim(b) == 0 else b.reshape(-1)
    out = np.empty(flat.shape, np.float32)
    for i in range(0, flat.size, BLOCK):
        at = slice(i, i + BLOCK)
        divisor = np.float32(divisors) if np.ndim(b) == 0 else divisors[at]
        found = exact(flat[at], divisor)
        out[at] = plain(flat[at], divisor) if found is None else found
    return out.reshape(a.shape)


def _is_float(a):
    return type(a) is np.ndarray and a.dtype == np.float32


def _fmod(a, b):
    """None where quotients are too large, or something is not finite or 0."""
    wide, divisor = a.astype(np.float64), np.float64(b) if np.ndim(b) == 0 else b.astype(np.float64)
    quotient = np.trunc(wide / divisor)
    if not (np.abs(quotient).max() < EXACT and np.isfinite(divisor).all()):
        return None
    quotient *= divisor
    rest = wide - quotient
    wrong = rest * wide < 0
    if wrong.any():
        rest += kept(np.copysign(divisor, wide), wrong)
    return np.copysign(rest, wide, out=rest).astype(np.float32)


def _remainder(a, b):
    rest = _fmod(a, b)
    return None if rest is None else chosen(_is_other(rest, b), rest + b, rest)


def _plain_remainder(a, b):
    if np.result_type(a, b).kind in "iub":
        return np.remainder(a, b)
    rest = np.fmod(a, b)
    return np.where(_is_other(rest, b), rest + b, rest).astype(rest.dtype, copy=False)


def _is_other(rest, b):
    """Where what is left has not the sign of b."""
    return (rest != 0) & ((rest < 0) != (b < 0))
