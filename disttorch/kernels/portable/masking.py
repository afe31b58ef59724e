"""Elements chosen by a mask, whatever they are: a product with the mask would make NaN of an infinity.

NumPy's `where` goes element by element, and the processor guesses wrong at every turn of the mask: for more than a few
elements arithmetic on their bits is many times as fast. For few, `where` takes twice as long as a copy and `putmask`.
"""

import numpy as np

BRIEF = 1024  # elements up to which going through them one by one is as quick
_BITS = {size: np.dtype(f"i{size}") for size in (1, 2, 4, 8)}


def kept(x, mask):
    """x where `mask` is True, or a number other than 0; elsewhere 0."""
    if mask.size <= BRIEF or x.dtype.itemsize not in _BITS or not isinstance(x, np.ndarray):
        if type(x) is not np.ndarray or x.shape != mask.shape or not x.flags.c_contiguous:
            return np.where(mask, x, np.zeros((), x.dtype))
        picked = np.zeros(x.shape, x.dtype)
        np.putmask(picked, mask, x)
        return picked
    if mask.dtype.kind == "V":  # whose comparison goes one by one
        mask = mask.view(_BITS[mask.dtype.itemsize]) << 1  # without the sign
    return (x.view(_BITS[x.dtype.itemsize]) * (mask != 0)).view(x.dtype)


def chosen(mask, a, b):
    """a where `mask` holds, elsewhere b: two arrays, either of which may have no dimensions."""
    if mask.size <= BRIEF or a.dtype != b.dtype or a.dtype.itemsize not in _BITS or not isinstance(mask, np.ndarray):
        return _chosen_of_few(mask, a, b)
    bits = _BITS[a.dtype.itemsize]
    b = b.view(bits)
    picked = a.view(bits) ^ b
    if picked.shape != mask.shape:
        return ((picked * mask) ^ b).view(a.dtype)
    picked *= mask
    picked ^= b
    return picked.view(a.dtype)


def _chosen_of_few(mask, a, b):
    """np.where(mask, a, b)."""
    shape = mask.shape
    plain = type(mask) is np.ndarray and a.dtype == b.dtype and (a.shape == shape or not a.shape)
    if not plain or not (mask.flags.c_contiguous and a.flags.c_contiguous and b.flags.c_contiguous):
        return np.where(mask, a, b)
    if not b.shape:
        picked = np.empty(shape, b.dtype)
        picked.fill(b)
    elif b.shape == shape:
        picked = b.copy()
    else:
        return np.where(mask, a, b)
    np.putmask(picked, mask, a)
    return picked
