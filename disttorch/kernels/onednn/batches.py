"""Batch normalisation by oneDNN, with the same bits for any number of threads.

Its primitive shares out samples, so that the sums depend on how many threads there are. Here all samples are one, of
which threads share the channels. Of many elements, where that is slow, or if channels do not fill the primitive's
blocks, sums are a depthwise convolution's gradients for its weights and bias: neighbouring positions of a channel are
channels of their own, lanes, each one thread's, and what comes of a channel's lanes is added in float64.
"""

from functools import lru_cache
from math import prod

import numpy as np

from disttorch.kernels.geometry import divisor_near
from disttorch.kernels.hushing import hushed
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import (
    FLOAT,
    TO_CHANNELS_FIRST,
    TO_CHANNELS_LAST,
    are_floats,
    channels_last,
    dense,
    empty_channels_last,
    strides_of,
)
from disttorch.kernels.onednn.normalization import flags_of, present
from disttorch.kernels.onednn.plan import dims
from disttorch.kernels.threads import get_num_threads

# Elements up to which the primitive is the quickest: of channels that fill its blocks, and of others.
FEW, FEW_UNEVEN = 1 << 19, 1 << 15
LANES = 256  # enough for many threads; with more, the elements of a lane lie too far apart
LONG = 2048  # elements that are added one after another
FAR = 16.0  # squared distance from 0, in variances, from which on sums of squares lose digits: x is centred first
BLOCK = 16  # channels that kernels take at a time; the weights of depthwise convolutions have room for as many
SHARE = 64  # channels from which a thread does not wait for cache lines beside those that another writes


class BatchNorm:
    def batch_norm_forward(self, x, weight, bias, eps, mean=None, var=None):
        if not (are_floats(x, weight, bias, mean, var) and x.size and 2 <= x.ndim <= 5):
            return super().batch_norm_forward(x, weight, bias, eps, mean, var)
        x4 = dense(_with_axes(x))
        forward = self._batch_forward_in_one if _is_small(x) else self._batch_forward_by_lanes
        try:
            y, mean, var = forward(x4, weight, bias, eps, mean, var)
        except Unsupported:
            return super().batch_norm_forward(x, weight, bias, eps, mean, var)
        return _without_axes(y, x), mean, var

    def batch_norm_backward(self, g, x, weight, mean, var, eps, training=True, needs=(True, True, True)):
        if not (are_floats(g, x, weight, mean, var) and x.size and 2 <= x.ndim <= 5 and needs[0]):
            return super().batch_norm_backward(g, x, weight, mean, var, eps, training, needs)
        g4, x4 = dense(_with_axes(g)), dense(_with_axes(x))
        try:
            backward = self._batch_backward_in_one if _is_small(x) else self._batch_backward_by_lanes
            gx, gw, gb = backward(g4, x4, weight, mean, var, eps, training)
        except Unsupported:
            return super().batch_norm_backward(g, x, weight, mean, var, eps, training, needs)
        return _without_axes(gx, x), gw if needs[1] else None, gb if needs[2] else None

    def _batch_forward_in_one(self, x, weight, bias, eps, mean, var):
        y, flags, work = empty_channels_last(x.shape), flags_of(weight, bias), None
        if mean is None:
            x, work = self._channels_last(x), _work(x)
            mean, var = np.empty(x.shape[1], FLOAT), np.empty(x.shape[1], FLOAT)
            shape = _as_one_sample(x)
        else:
            flags |= dnnl.GLOBAL_STATS
            shape = x.shape
        vectors = present(mean, var, weight, bias)
        key = ("batch_norm", shape, x.strides, eps, flags)
        self.engine.run(key, lambda plan: _forward(plan, x, shape, eps, flags), x, y, *vectors, work=work)
        return y, *vectors[:2]

    @hushed
    def _batch_forward_by_lanes(self, x, weight, bias, eps, mean, var):
        if mean is None:
            x = self._channels_last(x)
            mean, var = self._moments(x)
        if x.shape[1] % BLOCK == 0 or _are_far(mean, var):
            return self._batch_forward_in_one(x, weight, bias, eps, mean, var)
        x = self._channels_last(x)
        slope = 1 / np.sqrt(var.astype(np.float64) + eps)
        if weight is not None:
            slope *= weight
        shift = slope * -mean if bias is None else bias - slope * mean
        y = empty_channels_last(x.shape)
        arrays = (x, _padded(slope), shift.astype(FLOAT), y)
        self.engine.run(("affine", x.shape), lambda plan: _affine(plan, x.shape, False), *arrays)
        return y, mean, var

    def _batch_backward_in_one(self, g, x, weight, mean, var, eps, training):
        g, x = self._channels_last(g), self._channels_last(x)
        gx, channels, shape = empty_channels_last(x.shape), x.shape[1], _as_one_sample(x)
        flags = dnnl.SCALE_FLAG | dnnl.SHIFT_FLAG | (0 if training else dnnl.GLOBAL_STATS)
        scale = np.ones(channels, FLOAT) if weight is None else np.ascontiguousarray(weight)
        gw, gb = np.empty(channels, FLOAT), np.empty(channels, FLOAT)
        arrays = (g, x, gx, *map(np.ascontiguousarray, (mean, var)), scale, gw, gb)
        key = ("batch_norm_backward", shape, eps, flags)
        self.engine.run(key, lambda plan: _backward(plan, shape, eps, flags), *arrays, work=_work(x))
        return gx, gw, gb

    @hushed
    def _batch_backward_by_lanes(self, g, x, weight, mean, var, eps, training):
        """Ioffe and Szegedy, "Batch Normalization" (2015), section 3."""
        g, x = self._channels_last(g), self._channels_last(x)
        centre, rstd = mean.astype(np.float64), 1 / np.sqrt(var + np.float64(eps))
        if _are_far(centre, var):
            x, centre = _less(x, mean), np.float64(0)
        by_x, by_g = self._sums_of_products(g, x)
        by_x = (by_x - centre * by_g) * rstd
        gw, gb = by_x.astype(FLOAT), by_g.astype(FLOAT)
        if not training:
            return self.batch_norm_forward(g, weight, None, eps, np.zeros_like(mean), var)[0], gw, gb
        count = x.size // len(rstd)
        slope = by_x * rstd / -count
        shift = by_g / -count - slope * centre
        scale = rstd if weight is None else rstd * weight
        gx = empty_channels_last(x.shape)
        arrays = (x, _padded(slope), shift.astype(FLOAT), gx, g, scale.astype(FLOAT))
        self.engine.run(("affine_sum", x.shape), lambda plan: _affine(plan, x.shape, True), *arrays)
        return gx, gw, gb

    def _moments(self, x):
        """Each channel's mean and variance."""
        count = x.size // x.shape[1]
        mean, var = self._moments_about_0(x, count)
        if _are_far(mean, var):
            centre = mean.astype(FLOAT)
            mean, var = self._moments_about_0(_less(x, centre), count)
            mean += centre
        return mean.astype(FLOAT), np.maximum(var, 0, dtype=FLOAT)

    def _moments_about_0(self, x, count):
        square, mean = self._sums_of_products(x, x) / count
        return mean, square - mean * mean

    def _sums_of_products(self, a, b):
        """Each channel's sums of a * b and of a, (2, C) float64; a and b are channels last."""
        channels = a.shape[1]
        together, length = _lanes(a.size // channels, channels)
        lanes = together * channels
        parts = np.empty((2, _padded_size(lanes)), FLOAT)
        key = ("sums_of_products", lanes, length)
        self.engine.run(key, lambda plan: _sums_of_products(plan, lanes, length), a, b, *parts)
        sums = np.add.reduce(parts[:, :lanes].reshape(2, together, channels), axis=1, dtype=np.float64)
        if lanes * length < a.size:
            rest = [_rows(v)[together * length :].astype(np.float64) for v in (a, b)]
            sums += (rest[0] * rest[1]).sum(axis=0), rest[0].sum(axis=0)
        return sums

    def _channels_last(self, x):
        last = x.transpose(TO_CHANNELS_LAST[x.ndim])
        return x if last.flags.c_contiguous else self.contiguous_copy(last).transpose(TO_CHANNELS_FIRST[x.ndim])


def _is_small(x):
    return x.size <= (FEW_UNEVEN if x.shape[1] % BLOCK else FEW)


def _as_one_sample(x):
    """The shape of all samples as a single one."""
    return (1, x.shape[1], x.size // x.shape[1])


def _work(x):
    """For `run`: one thread where there are not enough channels for each."""
    return None if x.shape[1] >= SHARE * get_num_threads() else 0


def _are_far(mean, var):
    return not (mean * mean <= FAR * var).all()


def _less(x, mean):
    """x - mean, channels last."""
    return (x.transpose(TO_CHANNELS_LAST[x.ndim]) - mean).transpose(TO_CHANNELS_FIRST[x.ndim])


@lru_cache(1024)
def _lanes(count, channels):
    """How many of a channel's elements lie in lanes of their own, and how long those are; some may be left over."""
    wanted = max(LANES / channels, count / LONG, 1)
    together = divisor_near(count, wanted)
    if not wanted / 2 <= together <= 2 * wanted:
        together = min(round(wanted), count)
    return together, count // together


def _rows(x):
    return x.transpose(TO_CHANNELS_LAST[x.ndim]).reshape(-1, x.shape[1])


def _padded_size(count):
    return -(-count // BLOCK) * BLOCK


def _padded(vector):
    padded = np.zeros(_padded_size(len(vector)), FLOAT)
    padded[: len(vector)] = vector
    return padded


def _with_axes(x):
    """(N, C) as (N, C, 1): oneDNN's fast implementations want a spatial axis."""
    return x[:, :, None] if x.ndim == 2 else x


def _without_axes(y, x):
    return y[:, :, 0] if x.ndim == 2 else y


# ---- plans


def _forward(plan, x, shape, eps, flags):
    """x: an array of this shape, or one that is channels last and is taken as one."""
    strides = channels_last(shape) if shape != x.shape else strides_of(x.shape, x.strides, channels_last(x.shape))
    source = plan.array(plan.layout(shape, strides))
    layout, vector = plan.layout(shape, channels_last(shape)), plan.layout(shape[1:2], (1,))
    desc = plan.describe("batch_normalization_forward", dnnl.TRAINING, layout, layout, eps, flags)
    arguments = {dnnl.DST: plan.array(layout)}
    for name in (dnnl.MEAN, dnnl.VARIANCE):
        arguments[name] = plan.array(vector)
    for name, flag in ((dnnl.SCALE, dnnl.SCALE_FLAG), (dnnl.SHIFT, dnnl.SHIFT_FLAG)):
        if flags & flag:
            arguments[name] = plan.array(vector)
    arguments[dnnl.SRC] = plan.input(source, desc, dnnl.QUERY_SRC)
    plan.step(desc, arguments)


def _backward(plan, shape, eps, flags):
    layout, vector = plan.layout(shape, channels_last(shape)), plan.layout(shape[1:2], (1,))
    hint = plan.describe("batch_normalization_forward", dnnl.TRAINING, layout, layout, eps, flags)
    desc = plan.describe("batch_normalization_backward", dnnl.BACKWARD, layout, layout, layout, eps, flags, hint)
    arguments = {name: plan.array(layout) for name in (dnnl.DIFF_DST, dnnl.SRC, dnnl.DIFF_SRC)}
    for name in (dnnl.MEAN, dnnl.VARIANCE, dnnl.SCALE, dnnl.DIFF_SCALE, dnnl.DIFF_SHIFT):
        arguments[name] = plan.array(vector)
    plan.step(desc, arguments)


def _sums_of_products(plan, lanes, length):
    """Of a, b, products (padded) and sums: a lane's sum of a * b, and of a."""
    layout = plan.layout((1, lanes, 1, length), (lanes * length, 1, lanes * length, lanes))
    weights, bias = plan.layout((lanes, 1, 1, 1, 1)), plan.layout((lanes,), (1,))
    arrays = (layout, weights, bias, layout, *_window())
    hint = plan.describe("convolution_forward", dnnl.TRAINING, dnnl.CONVOLUTION_DIRECT, *arrays)
    desc = plan.describe("convolution_backward_weights", dnnl.CONVOLUTION_DIRECT, *arrays, hint)
    arguments = {dnnl.DIFF_DST: plan.array(layout), dnnl.SRC: plan.array(layout)}
    arguments[dnnl.DIFF_WEIGHTS] = plan.array(_in_a_row(plan, desc, dnnl.QUERY_DIFF_WEIGHTS, lanes))
    plan.step(desc, arguments | {dnnl.DIFF_BIAS: plan.array(bias)})


def _affine(plan, shape, added):
    """Of x, slope (padded), shift and y: y = x * slope + shift; if `added`, also of g and scale:
    y = (x * slope + shift + g) * scale.
    """
    samples, channels, length = *shape[:2], prod(shape[2:])
    layout = plan.layout((samples, channels, 1, length), (channels * length, 1, channels * length, channels))
    weights, bias = plan.layout((channels, 1, 1, 1, 1)), plan.layout((channels,), (1,))
    scale = plan.layout((1, channels, 1, 1), (channels, 1, channels, channels))
    attributes = plan.engine.attributes_with(*([(dnnl.ADD, layout), (dnnl.MUL, scale)] if added else []))
    arrays = (layout, weights, bias, layout, *_window())
    what = ("convolution_forward", dnnl.INFERENCE, dnnl.CONVOLUTION_DIRECT)
    desc = plan.describe(*what, *arrays, attributes=attributes)
    plan.lib.dnnl_primitive_attr_destroy(attributes)  # the descriptor has a copy
    arguments = {dnnl.SRC: plan.array(layout)}
    arguments[dnnl.WEIGHTS] = plan.array(_in_a_row(plan, desc, dnnl.QUERY_WEIGHTS, channels))
    arguments |= {dnnl.BIAS: plan.array(bias), dnnl.DST: plan.array(layout)}
    if added:
        arguments |= {dnnl.second_source(k): plan.array(each) for k, each in enumerate((layout, scale))}
    plan.step(desc, arguments)


def _in_a_row(plan, desc, query, channels):
    """The layout of weights of one number for each channel, which lie one after another, whatever blocks they form."""
    layout = plan.wanted(desc, query)
    if plan.size(layout) > 4 * _padded_size(channels):
        raise Unsupported
    return layout


def _window():
    """Of one element: strides, dilations and paddings."""
    return dims((1, 1)), dims((0, 0)), dims((0, 0)), dims((0, 0))
