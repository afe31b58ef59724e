"""Convolution with a group for each input channel: a product and a sum of whole arrays for each element of the kernel.

Letters as in `convolution`. `windows` is a view (N, *P, *K, C) of the padded input, `rows` (N, *P, O) the output's
gradient. Samples are worked on few at a time, so that what is added up stays in the cache.
"""

from math import prod

import numpy as np

BLOCK = 1 << 16  # elements of a block's output


def forward(xp, windows, w):
    """(N, *P, O)"""
    out = windows.shape[: windows.ndim // 2]
    y = xp.zeros((*out, w.shape[0]), xp.result_type(windows, w))
    for block in _blocks(y):
        for tap in np.ndindex(w.shape[2:]):
            y[block] += _seen(xp, windows[block], tap, w) * w[:, 0, *tap]
    return y


def backward_input(padded, rows, w, seen):
    """Add to the padded input's gradient (N, *S, C); seen: what of a sample each element of the kernel meets."""
    c = padded.shape[-1]
    for block in _blocks(rows):
        for window, tap in zip(seen, np.ndindex(w.shape[2:]), strict=True):
            products = rows[block] * w[:, 0, *tap]
            if w.shape[0] > c:
                products = products.reshape(*products.shape[:-1], c, -1).sum(axis=-1)
            padded[(block, *window)] += products


def backward_weight(xp, windows, rows, w_shape):
    """w_shape"""
    gw = xp.zeros(w_shape, xp.result_type(windows, rows))
    for block in _blocks(rows):
        g = rows[block]
        for tap in np.ndindex(w_shape[2:]):
            products = _seen(xp, windows[block], tap, gw) * g
            # line by line first: rounding grows with the number of terms that are added one after another
            gw[:, 0, *tap] += products.sum(axis=-2).reshape(-1, w_shape[0]).sum(axis=0)
    return gw


def _blocks(rows):
    step = max(1, BLOCK // max(1, prod(rows.shape[1:])))
    return [slice(start, start + step) for start in range(0, rows.shape[0], step)]


def _seen(xp, windows, tap, w):
    """What each output channel sees with one element of its kernel: (N, *P, O)."""
    x = windows[..., *tap, :]
    return x if x.shape[-1] == w.shape[0] else xp.repeat(x, w.shape[0] // x.shape[-1], axis=-1)
