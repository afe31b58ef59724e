"""Entries that change places one after another, for random permutations: a loop that NumPy has not, but LAPACK."""

import functools
from ctypes import c_void_p

import numpy as np

from .. import sampling
from .blas import address, openblas


@functools.cache
def _dlaswp():
    return openblas("dlaswp_", *[c_void_p] * 7)


def interchanged(places):
    """`sampling.interchanged`, done as LAPACK interchanges the rows of a matrix: here of one float64 each."""
    dlaswp = _dlaswp()
    if dlaswp is None or len(places) == 0:
        return sampling.interchanged(places)
    order = np.arange(len(places) + 1, dtype=np.float64)
    pivots = places + 1  # counted from 1
    one, count, rows = np.array([1]), np.array([len(pivots)]), np.array([len(order)])
    dlaswp(*map(address, (one, order, rows, one, count, pivots, one)))
    return order.astype(np.int64)
