"""The places of an array's elements in order, equal ones in the order of their places, NaN last.

NumPy sorts numbers by vector instructions, some fifty times as fast as it finds the places that sort them and keep
equal ones in order. So many elements of up to 32 bits are sorted as integers of 64: above, bits in the order of the
elements, below, their places.
"""

import numpy as np

MANY = 1 << 10  # elements from which that is quicker
PLACE_BITS = 32
SIGN = np.uint32(1 << 31)


def order(a, dim, descending=False):
    """Indices that sort along `dim`."""
    keys = _keys(a, dim, descending)
    if keys is not None:
        keys.sort(axis=-1)
        return _places(keys, dim)
    if a.dtype.kind == "V":
        a = a.astype(np.float32)
    if type(a) is np.ndarray and a.ndim == 1:  # as a method at half the price
        return a.argsort(kind="stable") if not descending else (a.size - 1 - a[::-1].argsort(kind="stable"))[::-1]
    if not descending:
        return np.argsort(a, axis=dim, kind="stable")
    backwards = (*(slice(None),) * (dim % a.ndim), slice(None, None, -1))
    return a.shape[dim] - 1 - np.argsort(a[backwards], axis=dim, kind="stable")[backwards]


def kth(a, dim, k):
    """The index of the element at place k of the order along `dim`, of size 1 there."""
    keys = _keys(a, dim)
    if keys is None:
        return np.take(order(a, dim), [k], axis=dim)
    keys.partition(k, axis=-1)
    return _places(keys[..., k : k + 1], dim)


def first(a, dim, k, descending):
    """Indices of the first k elements in order along `dim`; of elements of 64 bits which of equal ones is left open."""
    n = a.shape[dim]
    keys = _keys(a, dim, descending) if 0 < k < n else None
    if keys is not None:
        keys.partition(k - 1, axis=-1)
        keys = keys[..., :k]
        keys.sort(axis=-1)
        return _places(keys, dim)
    if (
        0 < k < n // 8 and a.dtype.kind in "fiu"
    ):  # a partition finds them, equal ones anywhere, without sorting the rest
        part = np.argpartition(a, n - k if descending else k - 1, axis=dim)
        part = np.take(part, range(n - k, n) if descending else range(k), axis=dim)
        return np.take_along_axis(part, order(np.take_along_axis(a, part, dim), dim, descending), dim)
    return order(a, dim, descending)[(*(slice(None),) * (dim % a.ndim), slice(k))]


def _keys(a, dim, descending=False):
    """What sorts as the elements along `dim` do, with that axis last; None where it does not pay or cannot be made."""
    if type(a) is not np.ndarray or a.size < MANY or a.shape[dim] >= 1 << PLACE_BITS:
        return None
    bits = _ordered_bits(np.moveaxis(a, dim, -1))
    if bits is None:
        return None
    if descending:
        np.invert(bits, out=bits)
    keys = bits.astype(np.uint64)
    keys <<= np.uint64(PLACE_BITS)
    keys |= np.arange(keys.shape[-1], dtype=np.uint64)
    return keys


def _ordered_bits(a):
    """A new array of uint32 in the order of a's elements; None where those have more bits."""
    if a.dtype.kind == "V" or a.dtype.char in "ef":
        numbers = np.add(a, 0, dtype=np.float32, order="C")  # -0 becomes 0
        if (missing := np.isnan(numbers)).any():
            numbers[missing] = np.nan  # some have a sign
        bits = numbers.view(np.uint32)
        bits ^= (bits.view(np.int32) >> 31).view(np.uint32) | SIGN  # below 0 all bits, else that of the sign
        return bits
    if (a.dtype.kind in "bui" and a.dtype.itemsize < 4) or a.dtype == np.int32:
        return a.astype(np.int32, order="C").view(np.uint32) ^ SIGN
    if a.dtype == np.int64:
        low = a.min()
        return (a - low).astype(np.uint32, order="C") if int(a.max()) - int(low) < 1 << 32 else None
    return None


def _places(keys, dim):
    places = (keys & np.uint64((1 << PLACE_BITS) - 1)).view(np.int64)
    return np.moveaxis(places, -1, dim)
