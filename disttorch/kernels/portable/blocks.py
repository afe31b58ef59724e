"""Formulas of several steps on long arrays, in blocks that stay in the cache from one step to the next."""

import numpy as np

BLOCK = 1 << 15  # elements
UNSHARED = 1 << 13  # elements whose dot product a BLAS leaves to one thread, so that their number does not change it


def in_blocks(function, *arrays):
    """function(*arrays), for a function of arrays of one shape that works element by element and gives their dtype."""
    parts = _parts(arrays)
    if parts is None:
        return function(*arrays)
    out = np.empty(arrays[0].shape, arrays[0].dtype)
    flat = out.reshape(-1)
    for at, *part in parts:
        flat[at] = function(*part)
    return out


def summed_in_blocks(function, *arrays):
    """The sum of all elements of function(*arrays)."""
    parts = _parts(arrays)
    if parts is None:
        return np.add.reduce(function(*arrays), axis=None)
    sums = [np.add.reduce(function(*part), axis=None) for _, *part in parts]
    return np.add.reduce(np.array(sums), axis=None)


def sum_of_squares(a):
    """That of a NumPy array of float32 or float64: dot products, in one pass."""
    flat = a.ravel("K")
    whole = flat.size - flat.size % UNSHARED
    rest = flat[whole:]
    total = np.dot(rest, rest)
    if whole:
        rows = flat[:whole].reshape(-1, UNSHARED)
        total += np.add.reduce(np.vecdot(rows, rows))
    return total


def _parts(arrays):
    """(slice, a block of each array), or None where they are short or do not lie as one piece each."""
    first = arrays[0]
    if first.size <= 2 * BLOCK:
        return None
    for a in arrays:
        if type(a) is not np.ndarray or a.shape != first.shape or not a.flags.c_contiguous:
            return None
    flat = [a.reshape(-1) for a in arrays]
    places = [slice(i, i + BLOCK) for i in range(0, first.size, BLOCK)]
    return [(at, *[a[at] for a in flat]) for at in places]
