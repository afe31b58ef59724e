"""A checksum of a tensor's elements, by which runs can be told apart."""

import numpy as np

from ..autograd.inplace import write
from ..autograd.variable import wrap
from .dims import axes


def hash_tensor(input, dim=(), *, keepdim=False, mode=0, out=None):
    """The exclusive or of the elements' bits over `dim` (all if empty), as uint64: floats as float64, integers as 64
    bits. `mode` 0 is the only one: RuntimeError for others.
    """
    if mode != 0:
        raise RuntimeError(f"hash_tensor: Unknown mode: {mode}. Only mode 0 (xor_sum) is supported.")
    data = input._data
    bits = data.astype(np.float64).view(np.uint64) if data.dtype.kind in "fV" else data.astype(np.int64).view(np.uint64)
    dims = axes(dim, data.ndim)
    found = np.bitwise_xor.reduce(bits, axis=dims, keepdims=keepdim) if data.ndim else bits
    return write(out, wrap(np.asarray(found), input.device))


__all__ = ["hash_tensor"]
