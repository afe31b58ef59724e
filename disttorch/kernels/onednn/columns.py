"""Convolution of small planes as one GEMM that reads the weights where they lie.

Deep layers see few pixels through millions of weights: there, bringing the weights into oneDNN's blocked layout and
their gradient back costs more than the convolution. Columns are ordered (C, *K) as the weights are, so a weight array
(O, C, *K) is the GEMM's operand as it stands.
"""

from math import prod

import numpy as np

from disttorch.kernels.geometry import window_slices
from disttorch.kernels.onednn.layouts import FLOAT

# Weights (elements) from which their reordering is worth avoiding, and how many output channels there must be for each
# output position: building columns costs as much per position as reordering does per channel. Measured on ResNet's and
# LeNet's last layers.
WEIGHTS = 1 << 15
CHANNELS_PER_ROW, CHANNELS_PER_ROW_FOR_WEIGHTS = 4, 1


def worthwhile(y_shape, w_shape, groups, channels_per_row):
    """Whether to convolve by columns."""
    rows = y_shape[0] * prod(y_shape[2:])
    return groups == 1 and rows * channels_per_row <= w_shape[0] and prod(w_shape) >= WEIGHTS


class Columns:
    def _columns_forward(self, x, w, b, y_shape, geometry):
        columns = _columns(x, w.shape[2:], geometry, y_shape[2:])
        y = self._gemm(columns, w.reshape(w.shape[0], -1).T, b)
        return _channels_first(y.reshape(y_shape[0], *y_shape[2:], w.shape[0]))

    def _columns_backward_weight(self, g, x, w_shape, geometry):
        columns = _columns(x, w_shape[2:], geometry, g.shape[2:])
        return self._gemm(_rows(g).T, columns).reshape(w_shape)

    def _columns_backward_input(self, g, w, x_shape, geometry):
        stride, padding, dilation, _ = geometry
        (n, c, *spatial), kernel, out = x_shape, w.shape[2:], g.shape[2:]
        columns = self._gemm(_rows(g), w.reshape(w.shape[0], -1)).reshape(n, *out, c, -1)
        padded = np.zeros((n, *_padded(spatial, padding), c), FLOAT)
        for k, window in enumerate(window_slices(kernel, stride, dilation, out)):
            padded[(slice(None), *window)] += columns[..., k]
        return _channels_first(padded[_inner(spatial, padding)])


def _columns(x, kernel, geometry, out):
    """(N * P, C * K)."""
    stride, padding, dilation, _ = geometry
    n, c, *spatial = x.shape
    x = np.moveaxis(x, 1, -1)
    if any(padding):
        padded = np.zeros((n, *_padded(spatial, padding), c), FLOAT)
        padded[_inner(spatial, padding)] = x
        x = padded
    columns = np.empty((n, *out, c, prod(kernel)), FLOAT)
    for k, window in enumerate(window_slices(kernel, stride, dilation, out)):
        columns[..., k] = x[(slice(None), *window)]
    return columns.reshape(n * prod(out), -1)


def _rows(g):
    """(N, O, *P) as (N * P, O)."""
    return np.moveaxis(g, 1, -1).reshape(-1, g.shape[1])


def _channels_first(y):
    return np.moveaxis(y, -1, 1)


def _padded(spatial, padding):
    return tuple(s + 2 * p for s, p in zip(spatial, padding, strict=True))


def _inner(spatial, padding):
    return (slice(None), *(slice(p, p + s) for s, p in zip(spatial, padding, strict=True)))
