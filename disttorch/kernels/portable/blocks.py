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


def summed_in_blocks(total, *arrays):
    """total(*arrays), for a function that sums over all elements of arrays of one shape."""
    parts = _parts(arrays)
    if parts is None:
        return total(*arrays)
    return np.add.reduce(np.array([total(*part) for _, *part in parts]), axis=None)


def sum_of_products(a, b):
    """That of two NumPy arrays of float32 or float64 that lie alike: dot products, in one pass."""
    a, b = a.ravel("K"), b.ravel("K")
    if a.size < UNSHARED:
        return a.dot(b)
    whole = a.size - a.size % UNSHARED
    total = np.add.reduce(np.vecdot(a[:whole].reshape(-1, UNSHARED), b[:whole].reshape(-1, UNSHARED)))
    return total + a[whole:].dot(b[whole:])


def sum_of(a):
    """The sum of a contiguous NumPy array of float32 or float64: dot products with ones, faster than NumPy's sum."""
    flat = a.reshape(-1)
    whole = flat.size - flat.size % UNSHARED
    ones = np.ones(UNSHARED, a.dtype)
    return np.add.reduce(np.vecdot(flat[:whole].reshape(-1, UNSHARED), ones)) + np.add.reduce(flat[whole:])


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
