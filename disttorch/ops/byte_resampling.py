"""Resizing of pictures of bytes in whole numbers, axis after axis, each rounded to bytes: PyTorch's bits.

Weights are 16-bit fixed-point numbers with as many binary places as their largest allows; sums are rounded half up and
held within 0..255.
"""

import numpy as np

MOST_PLACES = 22  # with which the sum of bytes times weights fits into 32 bits


def resampled_bytes(x, axis: int, index, weight):
    """`x` (uint8) with each element along `axis` a weighted sum of a few: `index` and `weight` are (out, taps)."""
    weight = _together(index, weight)
    places = _places(float(weight.max()))
    whole = np.trunc(weight * (1 << places) + np.copysign(0.5, weight)).astype(np.int32)
    shape = (-1, *(1,) * (x.ndim - 1 - axis))
    total = 1 << (places - 1)
    for k in range(index.shape[1]):
        total = total + np.take(x, index[:, k], axis).astype(np.int32) * whole[:, k].reshape(shape)
    return np.clip(total >> places, 0, 255).astype(np.uint8)


def _together(index, weight):
    """The weights with those of one element, met again at the edge, in its last place."""
    weight = weight.copy()
    for k in range(1, index.shape[1]):
        again = index[:, k] == index[:, k - 1]
        weight[again, k] += weight[again, k - 1]
        weight[again, k - 1] = 0
    return weight


def _places(largest: float) -> int:
    """The most binary places with which the largest weight stays below 2 ** 15."""
    places = 0
    while places < MOST_PLACES and int(0.5 + largest * (1 << (places + 1))) < 1 << 15:
        places += 1
    return places


__all__: list[str] = []
