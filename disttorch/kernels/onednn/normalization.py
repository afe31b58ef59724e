"""Batch and layer normalisation and softmax by oneDNN."""

from functools import lru_cache
from math import isfinite, prod

import numpy as np

from disttorch.kernels.blas import is_finite
from disttorch.kernels.hushing import hushed
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import (
    FLOAT,
    are_floats,
    channels_last,
    contiguous,
    dense,
    empty_channels_last,
    strides_of,
)
from disttorch.kernels.onednn.plan import dims

FEW = 2048  # elements below which NumPy finds the largest of rows as quickly
HANDFUL = 64  # elements up to which NumPy in double precision is quickest, which needs no largest element
MODERATE = 700.0  # the exponential of this is a number in float64
IN_CACHE = 1 << 15  # elements that are still in the cache when they are read again
LANES, POOLED = 16, 128  # elements that pooling takes at a time, and of a row up to which it is quickest
TINY = 1e-30  # probabilities from here on have all their digits


class Normalization:
    def batch_norm_forward(self, x, weight, bias, eps, mean=None, var=None):
        if not (are_floats(x, weight, bias, mean, var) and x.size and x.ndim >= 2):
            return super().batch_norm_forward(x, weight, bias, eps, mean, var)
        x4 = dense(_with_axes(x))
        y = empty_channels_last(x4.shape)
        training = mean is None
        if training:
            mean, var = np.empty(x.shape[1], FLOAT), np.empty(x.shape[1], FLOAT)
        flags = flags_of(weight, bias) | (0 if training else dnnl.GLOBAL_STATS)
        arrays = [x4, y, *map(np.ascontiguousarray, (mean, var)), *present(weight, bias)]
        key = ("batch_norm", x4.shape, x4.strides, eps, flags)
        try:
            self.engine.run(key, lambda plan: batch_forward(plan, x4, eps, flags), *arrays)
        except Unsupported:
            return super().batch_norm_forward(x, weight, bias, eps, *((None, None) if training else (mean, var)))
        return _without_axes(y, x), mean, var

    def batch_norm_backward(self, g, x, weight, mean, var, eps, training=True, needs=(True, True, True)):
        if not (are_floats(g, x, weight, mean, var) and x.size and needs[0]):
            return super().batch_norm_backward(g, x, weight, mean, var, eps, training, needs)
        g4, x4 = dense(_with_axes(g)), dense(_with_axes(x))
        gx = empty_channels_last(x4.shape)
        channels = x.shape[1]
        flags = dnnl.SCALE_FLAG | dnnl.SHIFT_FLAG | (0 if training else dnnl.GLOBAL_STATS)
        scale = np.ones(channels, FLOAT) if weight is None else np.ascontiguousarray(weight)
        gw, gb = np.empty(channels, FLOAT), np.empty(channels, FLOAT)
        arrays = (g4, x4, gx, *map(np.ascontiguousarray, (mean, var)), scale, gw, gb)
        key = ("batch_norm_backward", g4.strides, x4.shape, x4.strides, eps, flags)
        try:
            self.engine.run(key, lambda plan: batch_backward(plan, g4, x4, eps, flags), *arrays)
        except Unsupported:
            return super().batch_norm_backward(g, x, weight, mean, var, eps, training, needs)
        return _without_axes(gx, x), gw if needs[1] else None, gb if needs[2] else None

    def layer_norm_forward(self, x, dims, weight, bias, eps):
        if not (are_floats(x, weight, bias) and x.size):
            return super().layer_norm_forward(x, dims, weight, bias, eps)
        rows, leading = _rows(x, dims)
        y = np.empty(rows.shape, FLOAT)
        mean, var = np.empty(leading, FLOAT), np.empty(leading, FLOAT)
        flags = flags_of(weight, bias)
        arrays = (rows, y, mean, var, *present(weight, bias))
        key = ("layer_norm", rows.shape, eps, flags)
        self.engine.run(key, lambda plan: _layer_forward(plan, rows.shape, eps, flags), *arrays)
        return y if dims == 1 == x.ndim - 1 else y.reshape(x.shape), mean, var

    def layer_norm_backward(self, g, x, dims, weight, mean, var, eps, needs=(True, True, True)):
        if not (are_floats(g, x, weight, mean, var) and x.size and needs[0]):
            return super().layer_norm_backward(g, x, dims, weight, mean, var, eps, needs)
        rows, _ = _rows(x, dims)
        g_rows, _ = _rows(g, dims)
        width = rows.shape[1]
        gx = np.empty(rows.shape, FLOAT)
        arrays = [g_rows, rows, gx, *map(np.ascontiguousarray, (mean, var))]
        if weight is None and not (needs[1] or needs[2]):
            key = ("layer_norm_backward", rows.shape, eps, 0)
            self.engine.run(key, lambda plan: _layer_backward(plan, rows.shape, eps, 0), *arrays)
            return gx.reshape(x.shape), None, None
        scale = np.ones(width, FLOAT) if weight is None else np.ascontiguousarray(weight).reshape(-1)
        gw, gb = np.empty(width, FLOAT), np.empty(width, FLOAT)
        arrays += [scale, gw, gb]
        flags = dnnl.SCALE_FLAG | dnnl.SHIFT_FLAG
        key = ("layer_norm_backward", rows.shape, eps, flags)
        self.engine.run(key, lambda plan: _layer_backward(plan, rows.shape, eps, flags), *arrays)
        shape = x.shape[x.ndim - dims :]
        gw, gb = (p.reshape(shape) if need else None for p, need in zip((gw, gb), needs[1:], strict=True))
        return gx.reshape(x.shape), gw, gb

    def softmax_forward(self, x, axis):
        if not _last_axis(x, axis):
            return super().softmax_forward(x, axis)
        if x.size <= HANDFUL and _is_moderate(x):
            _, powers, total = _wide_powers(x)
            return (powers / total).astype(FLOAT)
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        if not isfinite(np.maximum.reduce(rows, axis=None)):  # oneDNN does not carry NaN and inf to the whole row
            return super().softmax_forward(x, axis)
        y = np.empty(rows.shape, FLOAT)
        key = ("softmax", dnnl.SOFTMAX, rows.shape)
        self.engine.run(key, lambda plan: _softmax(plan, dnnl.SOFTMAX, rows.shape), rows, y)
        return y.reshape(x.shape)

    def log_softmax_forward(self, x, axis):
        if not _last_axis(x, axis):
            return super().log_softmax_forward(x, axis)
        if x.size <= HANDFUL and _is_moderate(x):
            wide, _, total = _wide_powers(x)
            return (wide - np.log(total)).astype(FLOAT)
        return self._log_softmax_in_blocks(x)

    @hushed
    def _log_softmax_in_blocks(self, x):
        """In blocks that stay in the cache, sums as products: oneDNN's own logarithm is off by up to 4e-6."""
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        y = np.empty(rows.shape, FLOAT)
        step = max(1, IN_CACHE // rows.shape[1])
        for i in range(0, len(rows), step):
            block, to = rows[i : i + step], y[i : i + step]
            np.subtract(block, self.row_maxima(block)[:, None], out=to)
            to -= np.log(self._powers(to, 1)[1])[:, None]
        return y.reshape(x.shape)

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
        y = np.empty(x.shape, FLOAT)
        self.engine.run(("softmax", dnnl.SOFTMAX, y.shape), lambda p: _softmax(p, dnnl.SOFTMAX, y.shape), x, y)
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


def present(*vectors):
    return [np.ascontiguousarray(v) for v in vectors if v is not None]


def flags_of(weight, bias):
    return (0 if weight is None else dnnl.SCALE_FLAG) | (0 if bias is None else dnnl.SHIFT_FLAG)


def _with_axes(x):
    """(N, C) as (N, C, 1): oneDNN's fast implementations want a spatial axis."""
    return x[:, :, None] if x.ndim == 2 else x


def _without_axes(y, x):
    return y[:, :, 0] if x.ndim == 2 else y


def _rows(x, dims):
    """x as contiguous (rows, width) and the shape of its leading axes."""
    leading = x.shape[: x.ndim - dims]
    if dims == 1 == len(leading) and x.flags.c_contiguous:
        return x, leading
    return np.ascontiguousarray(x).reshape(prod(leading), -1), leading


# ---- plans


def batch_forward(plan, x, eps, flags):
    source = plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, channels_last(x.shape))))
    layout = plan.layout(x.shape, channels_last(x.shape))
    vector = plan.layout(x.shape[1:2], (1,))
    desc = plan.describe("batch_normalization_forward", dnnl.TRAINING, layout, layout, eps, flags)
    arguments = {
        dnnl.DST: plan.array(layout),
        dnnl.MEAN: plan.array(vector),
        dnnl.VARIANCE: plan.array(vector),
    }
    if flags & dnnl.SCALE_FLAG:
        arguments[dnnl.SCALE] = plan.array(vector)
    if flags & dnnl.SHIFT_FLAG:
        arguments[dnnl.SHIFT] = plan.array(vector)
    arguments[dnnl.SRC] = plan.input(source, desc, dnnl.QUERY_SRC)
    plan.step(desc, arguments)


def batch_backward(plan, g, x, eps, flags):
    gradient, source = (
        plan.array(plan.layout(a.shape, strides_of(a.shape, a.strides, channels_last(a.shape)))) for a in (g, x)
    )
    layout = plan.layout(x.shape, channels_last(x.shape))
    vector = plan.layout(x.shape[1:2], (1,))
    hint = plan.describe("batch_normalization_forward", dnnl.TRAINING, layout, layout, eps, flags)
    desc = plan.describe("batch_normalization_backward", dnnl.BACKWARD, layout, layout, layout, eps, flags, hint)
    arguments = {dnnl.DIFF_SRC: plan.array(layout)}
    for name in (dnnl.MEAN, dnnl.VARIANCE, dnnl.SCALE, dnnl.DIFF_SCALE, dnnl.DIFF_SHIFT):
        arguments[name] = plan.array(vector)
    arguments[dnnl.DIFF_DST] = plan.input(gradient, desc, dnnl.QUERY_DIFF_DST)
    arguments[dnnl.SRC] = plan.input(source, desc, dnnl.QUERY_SRC)
    plan.step(desc, arguments)


def _layer_forward(plan, shape, eps, flags):
    layout, stats = plan.layout(shape, contiguous(shape)), plan.layout(shape[:1], (1,))
    desc = plan.describe("layer_normalization_forward", dnnl.TRAINING, layout, layout, stats, eps, flags)
    names = [dnnl.SRC, dnnl.DST, dnnl.MEAN, dnnl.VARIANCE]
    arguments = {name: plan.array(each) for name, each in zip(names, (layout, layout, stats, stats), strict=True)}
    vector = plan.layout(shape[1:], (1,))
    if flags & dnnl.SCALE_FLAG:
        arguments[dnnl.SCALE] = plan.array(vector)
    if flags & dnnl.SHIFT_FLAG:
        arguments[dnnl.SHIFT] = plan.array(vector)
    plan.step(desc, arguments)


def _layer_backward(plan, shape, eps, flags):
    layout, stats, vector = (
        plan.layout(shape, contiguous(shape)),
        plan.layout(shape[:1], (1,)),
        plan.layout(shape[1:], (1,)),
    )
    hint = plan.describe("layer_normalization_forward", dnnl.TRAINING, layout, layout, stats, eps, flags)
    desc = plan.describe("layer_normalization_backward", dnnl.BACKWARD, layout, layout, layout, stats, eps, flags, hint)
    arguments = {name: plan.array(layout) for name in (dnnl.DIFF_DST, dnnl.SRC, dnnl.DIFF_SRC)}
    arguments |= {name: plan.array(stats) for name in (dnnl.MEAN, dnnl.VARIANCE)}
    if flags:
        arguments |= {name: plan.array(vector) for name in (dnnl.SCALE, dnnl.DIFF_SCALE, dnnl.DIFF_SHIFT)}
        arguments[dnnl.SHIFT] = arguments[dnnl.SCALE]  # counted among the inputs, never read
    plan.step(desc, arguments)


def _lanes(plan, rows, width):
    """(rows, width) as a line of places with LANES channels: the largest of a row's places, channel by channel."""
    count = width // LANES
    source, target = (plan.layout((1, LANES, n), (n * LANES, 1, LANES)) for n in (rows * count, rows))
    window, none = dims((count,)), dims((0,))
    desc = plan.describe(
        "pooling_forward", dnnl.INFERENCE, dnnl.POOL_MAX, source, target, window, window, none, none, none
    )
    plan.step(desc, {dnnl.SRC: plan.array(source), dnnl.DST: plan.array(target)})


def _softmax(plan, algorithm, shape):
    layout = plan.layout(shape, contiguous(shape))
    desc = plan.describe("softmax_forward", dnnl.TRAINING, algorithm, layout, layout, 1)
    plan.step(desc, {dnnl.SRC: plan.array(layout), dnnl.DST: plan.array(layout)})


def _softmax_backward(plan, algorithm, shape):
    layout = plan.layout(shape, contiguous(shape))
    hint = plan.describe("softmax_forward", dnnl.TRAINING, algorithm, layout, layout, 1)
    desc = plan.describe("softmax_backward", algorithm, layout, layout, layout, 1, hint)
    plan.step(desc, {name: plan.array(layout) for name in (dnnl.DIFF_DST, dnnl.DST, dnnl.DIFF_SRC)})
