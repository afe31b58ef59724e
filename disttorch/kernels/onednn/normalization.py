"""Batch and layer normalisation by oneDNN."""

from math import prod

import numpy as np

from disttorch.kernels.geometry import divisor_near
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

BLOCK = 2048  # elements of a channel that are added one after another
MANY = 131072  # elements of a channel from which on their sums are worth a pass of their own
LONG = 16384  # the same of rows


class Normalization:
    def batch_norm_forward(self, x, weight, bias, eps, mean=None, var=None):
        if not (are_floats(x, weight, bias, mean, var) and x.size and x.ndim >= 2):
            return super().batch_norm_forward(x, weight, bias, eps, mean, var)
        x4 = dense(_with_axes(x))
        y = empty_channels_last(x4.shape)
        training = mean is None
        if training and x4.size > MANY * x4.shape[1]:
            mean, var = self._moments(x4)
            training = False
        elif training:
            mean, var = np.empty(x.shape[1], FLOAT), np.empty(x.shape[1], FLOAT)
        flags = flags_of(weight, bias) | (0 if training else dnnl.GLOBAL_STATS)
        arrays = [x4, y, *map(np.ascontiguousarray, (mean, var)), *present(weight, bias)]
        key = ("batch_norm", x4.shape, x4.strides, eps, flags)
        try:
            self.engine.run(key, lambda plan: batch_forward(plan, x4, eps, flags), *arrays)
        except Unsupported:
            return super().batch_norm_forward(x, weight, bias, eps, *((None, None) if training else (mean, var)))
        return _without_axes(y, x), mean, var

    def _moments(self, x):
        """Each channel's mean and variance, from those of blocks: long float32 sums lose digits, above all if the mean
        is great beside the deviation.
        """
        samples, rows = max(1, BLOCK // prod(x.shape[2:])), max(1, BLOCK // prod(x.shape[3:]))
        parts = [
            x[n : n + samples, :, r : r + rows]
            for n in range(0, x.shape[0], samples)
            for r in range(0, x.shape[2], rows)
        ]
        found = [self.batch_norm_forward(part, None, None, 1.0)[1:] for part in parts]
        means, variances = np.array(found).swapaxes(0, 1)
        return _of_whole(means, variances, np.array([part.size for part in parts])[:, None] / x.size, 0)

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
        y, flags = np.empty(rows.shape, FLOAT), flags_of(weight, bias)
        if rows.shape[1] <= LONG:
            mean, var = np.empty(leading, FLOAT), np.empty(leading, FLOAT)
        else:
            parts = divisor_near(rows.shape[1], rows.shape[1] / BLOCK)
            if rows.shape[1] > parts * LONG:
                return super().layer_norm_forward(x, dims, weight, bias, eps)
            moments = self.layer_norm_forward(rows.reshape(len(rows), parts, -1), 1, None, None, 1.0)[1:]
            mean, var = (m.reshape(leading) for m in _of_whole(*moments, 1 / parts, 1))
            flags |= dnnl.GLOBAL_STATS
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


@hushed
def _of_whole(means, variances, weights, axis):
    """The mean and variance of what consists of parts with these along `axis`; weights: the parts' shares of it. Chan,
    Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979), formula 2.1.
    """
    means = means.astype(np.float64)
    mean = (weights * means).sum(axis, keepdims=True)
    var = (weights * (variances + (means - mean) ** 2)).sum(axis)
    return mean.squeeze(axis).astype(FLOAT), var.astype(FLOAT)


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
