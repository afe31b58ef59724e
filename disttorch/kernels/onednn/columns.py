"""Convolution of small planes as one GEMM that reads the weights where they lie.

Deep layers see few pixels through millions of weights: there, bringing the weights into oneDNN's blocked layout and
their gradient back costs more than the convolution. Columns are ordered (C, *K) as the weights are, so a weight array
(O, C, *K) is the GEMM's operand as it stands. It is the left one where few rows meet it: oneDNN packs the right one.
"""

from functools import lru_cache
from math import prod

import numpy as np

from disttorch.kernels.geometry import window_slices
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import FLOAT, TO_CHANNELS_FIRST, TO_CHANNELS_LAST

# Weights (elements) from which their reordering is worth avoiding, and how many output channels there must be for each
# output position: building columns costs as much per position as reordering does per channel. Measured on ResNet's and
# LeNet's last layers.
WEIGHTS = 1 << 15
CHANNELS_PER_ROW, CHANNELS_PER_ROW_FOR_WEIGHTS = 4, 1
CHANNELS_PER_ROW_OF_BFLOATS = 16  # from which even bfloat16 is convolved so, in float32
FEW_ROWS = 32  # output positions up to which the gradient of the input, too, is better computed transposed


def worthwhile(y_shape, w_shape, groups, channels_per_row):
    """Whether to convolve by columns."""
    rows = y_shape[0] * prod(y_shape[2:])
    return groups == 1 and rows * channels_per_row <= w_shape[0] and prod(w_shape) >= WEIGHTS


def are_pixels(g, x, w_shape, padding, groups):
    """Whether each output sees one pixel, and channels lie last, so that pixels are a product's rows as they stand."""
    single = groups == 1 and not any(padding) and prod(w_shape[2:]) == 1
    return single and all(a.transpose(TO_CHANNELS_LAST[a.ndim]).flags.c_contiguous for a in (g, x))


class Columns:
    def _columns_forward(self, x, w, b, y_shape, geometry):
        columns = _columns(x, w.shape[2:], geometry, y_shape[2:])
        y = np.ascontiguousarray(self._product(w.reshape(w.shape[0], -1), columns).T)
        if b is not None:
            y += b
        return _channels_first(y.reshape(y_shape[0], *y_shape[2:], w.shape[0]))

    def _columns_backward_weight(self, g, x, w_shape, geometry, into):
        columns = _columns(x, w_shape[2:], geometry, g.shape[2:])
        gw = np.empty(w_shape, FLOAT) if into is None else into
        self._gemm(_rows(g).T, columns, out=gw.reshape(w_shape[0], -1))
        return gw

    def _pixels_backward_parameters(self, g, x, w_shape, stride, with_bias, into):
        """As quick as the convolution's primitive, whose sums are cut as there are threads."""
        rows, gw = _rows(g), np.empty(w_shape, FLOAT) if into is None else into
        self._gemm(rows.T, _rows(x[:, :, *(slice(None, None, step) for step in stride)]), out=gw.reshape(len(gw), -1))
        return gw, self._column_sums(rows) if with_bias else None

    def _columns_backward_input(self, g, w, x_shape, geometry):
        stride, padding, dilation, _ = geometry
        kernel, out = w.shape[2:], g.shape[2:]
        rows, matrix = _rows(g), w.reshape(w.shape[0], -1)
        if len(rows) <= FEW_ROWS:
            columns = np.ascontiguousarray(self._product(matrix.T, rows).T)
        else:
            columns = self._gemm(rows, matrix)
        columns = columns.reshape(x_shape[0], *out, x_shape[1], -1)
        shape, inner = _padded(x_shape, padding)
        padded = np.zeros(shape, FLOAT)
        for k, window in enumerate(window_slices(kernel, stride, dilation, out)):
            padded[:, *window] += columns[..., k]
        return _channels_first(padded[inner])

    def _product(self, a, b):
        """a @ b.T, for a the weights or their transpose and b contiguous."""
        out = np.empty((a.shape[0], b.shape[0]), FLOAT)
        key = ("product", a.shape, a.strides, b.shape)
        self.engine.run(key, lambda plan: _product(plan, a, b), a, b, out, work=out.size * a.shape[1])
        return out


def _product(plan, a, b):
    (m, k), n = a.shape, b.shape[0]
    left = plan.array(plan.layout(a.shape, tuple(s // 4 for s in a.strides)))
    right, out = plan.array(plan.layout((k, n), (1, k))), plan.array(plan.layout((m, n), (n, 1)))
    desc = plan.describe("matmul", left.layout, right.layout, None, out.layout)
    plan.step(desc, {dnnl.SRC: left, dnnl.WEIGHTS: right, dnnl.DST: out})


def _columns(x, kernel, geometry, out):
    """(N * P, C * K)."""
    stride, padding, dilation, _ = geometry
    n, c = x.shape[:2]
    last = x.transpose(TO_CHANNELS_LAST[x.ndim])
    if any(padding):
        shape, inner = _padded(x.shape, padding)
        padded = np.zeros(shape, FLOAT)
        padded[inner] = last
        last = padded
    columns = np.empty((n, *out, c, prod(kernel)), FLOAT)
    for k, window in enumerate(window_slices(kernel, stride, dilation, out)):
        columns[..., k] = last[:, *window]
    return columns.reshape(n * prod(out), -1)


def _rows(g):
    """(N, O, *P) as (N * P, O)."""
    return g.transpose(TO_CHANNELS_LAST[g.ndim]).reshape(-1, g.shape[1])


def _channels_first(y):
    return y.transpose(TO_CHANNELS_FIRST[y.ndim])


@lru_cache(1024)
def _padded(shape, padding):
    """An array (N, C, *S) with its padding, channels last: the whole's shape, and where in it the array lies."""
    (n, c), axes = shape[:2], list(zip(shape[2:], padding, strict=True))
    return (n, *(s + 2 * p for s, p in axes), c), (slice(None), *(slice(p, p + s) for s, p in axes))
