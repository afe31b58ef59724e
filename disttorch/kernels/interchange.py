"""Entries that change places one after another, for random permutations: a loop that NumPy has not, but LAPACK."""

import functools
from ctypes import c_void_p

import numpy as np

from .blas import address, openblas

FEW = 64  # entries that Python's loop is quicker with


@functools.cache
def _dlaswp():
    return openblas("dlaswp_", *[c_void_p] * 7)


def interchanged(places):
    """0 to n (int64) after entry i and entry places[i] have changed places, for each i of `places` (n) in turn."""
    if len(places) < FEW or _dlaswp() is None:
        return one_by_one(places)
    return by_lapack(places)


def one_by_one(places):
    order = list(range(len(places) + 1))
    for i, j in enumerate(places.tolist()):
        order[i], order[j] = order[j], order[i]
    return np.array(order)


def by_lapack(places):
    """As LAPACK interchanges the rows of a matrix: here of one float64 each."""
    order = np.arange(len(places) + 1, dtype=np.float64)
    pivots = places + 1  # counted from 1
    one, count, rows = np.array([1]), np.array([len(pivots)]), np.array([len(order)])
    _dlaswp()(*map(address, (one, order, rows, one, count, pivots, one)))
    return order.astype(np.int64)
