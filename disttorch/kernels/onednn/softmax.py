"""Softmax by oneDNN, and its logarithm."""

from functools import lru_cache
from math import isfinite

import numpy as np

from disttorch.kernels.blas import is_finite
from disttorch.kernels.hushing import hushed
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import FLOAT, contiguous
from disttorch.kernels.onednn.plan import dims
from disttorch.kernels.onednn.rows import add_numbers

FEW = 2048  # elements below which NumPy finds the largest of rows as quickly
HANDFUL = 64  # elements up to which NumPy in double precision is quickest, which needs no largest element
MODERATE = 700.0  # the exponential of this is a number in float64
IN_CACHE = 1 << 15  # elements that are still in the cache when they are read again
WIDE, SEVERAL = 128, 128  # elements of a row, or rows: finding the largest of each costs less than its exponentials
LANES, POOLED = 16, 128  # elements that pooling takes at a time, and of a row up to which it is quickest
TINY = 1e-30  # probabilities from here on have all their digits


class Softmax:
    def softmax_forward(self, x, axis):
        if not _last_axis(x, axis):
            return super().softmax_forward(x, axis)
        if x.size <= HANDFUL and _is_moderate(x):
            _, powers, total = _wide_powers(x)
            return (powers / total).astype(FLOAT)
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        if not isfinite(np.maximum.reduce(rows, axis=None)):  # oneDNN does not carry NaN and inf to the whole row
            return super().softmax_forward(x, axis)
        return self._softmax_of_rows(rows).reshape(x.shape)

    def _softmax_of_rows(self, rows):
        y = np.empty(rows.shape, FLOAT)
        self.engine.run(("softmax", rows.shape), lambda plan: _softmax(plan, rows.shape), rows, y)
        return y

    def log_softmax_forward(self, x, axis):
        if not _last_axis(x, axis):
            return super().log_softmax_forward(x, axis)
        if x.size <= HANDFUL and _is_moderate(x):
            wide, _, total = _wide_powers(x)
            return (wide - np.log(total)).astype(FLOAT)
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        y = self._log_softmax_by_softmax(rows) if rows.shape[1] >= WIDE or len(rows) <= SEVERAL else None
        return (self._log_softmax_in_blocks(rows) if y is None else y).reshape(x.shape)

    @hushed
    def _log_softmax_by_softmax(self, rows):
        """x - largest + log(softmax of the largest), for each row; None if one has no finite largest element.

        oneDNN's own logarithm of the sum is off by up to 4e-6.
        """
        y = self._softmax_of_rows(rows)
        at = np.arange(len(rows)), rows.argmax(1)  # a NaN is the largest
        largest, of_largest = rows[at], np.log(y[at])
        if not is_finite(largest):
            return None
        run, shape = self.engine.run, rows.shape
        run(("log_softmax", shape), lambda p: add_numbers(p, shape, dnnl.SUB), rows, largest, of_largest, y)
        return y

    @hushed
    def _log_softmax_in_blocks(self, rows):
        """In blocks that stay in the cache, sums as products."""
        y = np.empty(rows.shape, FLOAT)
        step = max(1, IN_CACHE // rows.shape[1])
        for i in range(0, len(rows), step):
            block, to = rows[i : i + step], y[i : i + step]
            np.subtract(block, self.row_maxima(block)[:, None], out=to)
            to -= np.log(self._powers(to, 1)[1])[:, None]
        return y

    def _powers(self, x, axis):
        if x.dtype is not FLOAT or not x.size:
            return super()._powers(x, axis)
        powers = self._forward(dnnl.EXP, x, 1)  # of NaN it is infinite
        total = powers @ np.ones(x.shape[1], FLOAT) if axis == x.ndim - 1 else np.add.reduce(powers, axis=axis)
        return (powers, total) if np.maximum.reduce(total, axis=None) < np.inf else super()._powers(x, axis)

    def row_maxima(self, x):
        """The largest of each LANES-th element by pooling, which passes over NaN; what is left as columns."""
        rows, width = x.shape
        if x.size >= FEW and width % LANES == 0 and LANES < width <= POOLED and is_finite(x):
            lanes = np.empty((rows, LANES), FLOAT)
            self.engine.run(("row_maxima", x.shape), lambda plan: _lanes(plan, rows, width), x, lanes)
            x = lanes
        elif x.size < FEW:
            return np.maximum.reduce(x, axis=1)
        return super().row_maxima(x)

    def softmax_and_log(self, x, at):
        if x.size <= HANDFUL and _last_axis(x, 1) and _is_moderate(x):
            wide, powers, total = _wide_powers(x)
            return (powers / total).astype(FLOAT), (wide - np.log(total))[at].astype(FLOAT)
        if not _last_axis(x, 1):
            return super().softmax_and_log(x, at)
        x = np.ascontiguousarray(x)
        top = None if is_finite(x) else (at[0], x.argmax(-1))  # a NaN is the largest
        if top is not None and not isfinite(np.add.reduce(x[top], axis=None)):
            return super().softmax_and_log(x, at)  # oneDNN does not carry NaN and inf to the whole row
        y = self._softmax_of_rows(x)
        chosen = y[at]
        if np.minimum.reduce(chosen) > TINY:
            return y, np.log(chosen)
        top = top or (at[0], x.argmax(-1))
        return y, x[at] - x[top] + np.log(y[top])

    def softmax_backward(self, g, y, axis):
        gx = self._softmax_backward(dnnl.SOFTMAX, g, y, axis)
        return super().softmax_backward(g, y, axis) if gx is None else gx

    def log_softmax_backward(self, g, y, axis):
        gx = self._softmax_backward(dnnl.LOG_SOFTMAX, g, y, axis)
        return super().log_softmax_backward(g, y, axis) if gx is None else gx

    def _softmax_backward(self, algorithm, g, y, axis):
        if y.size <= HANDFUL or not (_last_axis(y, axis) and g.dtype is FLOAT):
            return None
        g_rows, rows = (np.ascontiguousarray(a).reshape(-1, a.shape[-1]) for a in (g, y))
        gx = np.empty(rows.shape, FLOAT)
        key = ("softmax_backward", algorithm, rows.shape)
        try:
            self.engine.run(key, lambda p: _softmax_backward(p, algorithm, rows.shape), g_rows, rows, gx)
        except Unsupported:  # without AVX-512
            return None
        return gx.reshape(y.shape)


def _is_moderate(x):
    """Whether exponentials of all elements (or NaN) are normal numbers in float64."""
    values = x.ravel().tolist()
    return min(values) > -MODERATE and max(values) < MODERATE


def _wide_powers(x):
    """In float64 x, its exponentials, and their sums over the last axis, each as often as a row has elements."""
    wide = x.astype(np.float64)
    powers = np.exp(wide)
    return wide, powers, powers.dot(_wide_ones(x.shape[-1]))


@lru_cache(HANDFUL)
def _wide_ones(width):
    return np.ones((width, width))


def _last_axis(x, axis):
    return x.dtype is FLOAT and x.ndim and x.size and axis in (-1, x.ndim - 1)


# ---- plans


def _lanes(plan, rows, width):
    """(rows, width) as a line of places with LANES channels: the largest of a row's places, channel by channel."""
    count = width // LANES
    source, target = (plan.layout((1, LANES, n), (n * LANES, 1, LANES)) for n in (rows * count, rows))
    window, none = dims((count,)), dims((0,))
    desc = plan.describe(
        "pooling_forward", dnnl.INFERENCE, dnnl.POOL_MAX, source, target, window, window, none, none, none
    )
    plan.step(desc, {dnnl.SRC: plan.array(source), dnnl.DST: plan.array(target)})


def _softmax(plan, shape):
    layout = plan.layout(shape, contiguous(shape))
    desc = plan.describe("softmax_forward", dnnl.TRAINING, dnnl.SOFTMAX, layout, layout, 1)
    plan.step(desc, {dnnl.SRC: plan.array(layout), dnnl.DST: plan.array(layout)})


def _softmax_backward(plan, algorithm, shape):
    layout = plan.layout(shape, contiguous(shape))
    hint = plan.describe("softmax_forward", dnnl.TRAINING, algorithm, layout, layout, 1)
    desc = plan.describe("softmax_backward", algorithm, layout, layout, layout, 1, hint)
    plan.step(desc, {name: plan.array(layout) for name in (dnnl.DIFF_DST, dnnl.DST, dnnl.DIFF_SRC)})
