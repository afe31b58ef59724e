"""Convolution by oneDNN: activations channels last, weights reordered in each call (nothing depends on values)."""

from functools import lru_cache
from math import prod

import numpy as np

from disttorch.kernels.blas import is_finite
from disttorch.kernels.geometry import conv_out_size
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn import pairs
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.columns import (
    CHANNELS_PER_ROW,
    CHANNELS_PER_ROW_FOR_WEIGHTS,
    CHANNELS_PER_ROW_OF_BFLOATS,
    Columns,
    are_pixels,
    worthwhile,
)
from disttorch.kernels.onednn.layouts import (
    BFLOAT16,
    FLOAT,
    channels_last,
    contiguous,
    dense,
    empty_channels_last,
    kind_of,
    strides_of,
)
from disttorch.kernels.onednn.plan import dims

FEW_CHANNELS = 16  # below which other layouts than channels last are the quickest, where there are no groups


class Convolution(Columns):
    def conv_forward(self, x, w, b, stride, padding, dilation, groups):
        if self._multiplies(x, w):
            x, w = dense(x), dense(w)
            geometry = (stride, padding, dilation, groups)
            y_shape, columns, paired, *layouts = _way(x.shape, w.shape, geometry, self.engine.register)
            if x.dtype is BFLOAT16 and (paired or worthwhile(y_shape, w.shape, groups, CHANNELS_PER_ROW_OF_BFLOATS)):
                return super().conv_forward(x, w, b, stride, padding, dilation, groups)  # in float32, which is quicker
            if columns and x.dtype is FLOAT:
                return self._columns_forward(x, w, b, y_shape, geometry)
            try:
                if paired and is_finite(x):  # the added column's zeros meet x
                    return self._pairs_forward(x, w, b, y_shape, geometry)
                return self._direct_forward(x, w, b, y_shape, geometry, *layouts)
            except Unsupported:
                pass
        return super().conv_forward(x, w, b, stride, padding, dilation, groups)

    def _multiplies(self, a, b):
        """Whether oneDNN convolves these: arrays of float32, or of bfloat16 if the processor multiplies that."""
        narrow = a.dtype is BFLOAT16 and self.engine.multiplies_bfloat16
        return (a.dtype is FLOAT or narrow) and b.dtype is a.dtype and a.size and b.size

    def _pairs_forward(self, x, w, b, y_shape, geometry):
        w, b = pairs.pair_weights(w), b if b is None else np.concatenate((b, b))
        shape, geometry = pairs.pair_shape(y_shape), pairs.pair_geometry(geometry)
        return pairs.as_singles(self._direct_forward(x, w, b, shape, geometry, _free, channels_last))

    def _direct_forward(self, x, w, b, y_shape, geometry, source, target):
        y = empty_channels_last(y_shape, x.dtype)
        key = ("conv", x.shape, x.strides, w.shape, w.strides, b is None, *geometry, source, target)
        arrays = (x, w, y) if b is None else (x, w, y, np.ascontiguousarray(b, x.dtype))

        def build(plan):
            _forward(plan, x, w, b, y_shape, geometry, source, target)

        self.engine.run(key, build, *arrays, work=_work(y_shape, w.shape), kind=kind_of(x))
        return y

    def conv_backward(self, g, x, w, stride, padding, dilation, groups, needs=(True, True, True), into=None):
        geometry = (stride, padding, dilation, groups)
        gx = self.conv_backward_input(g, w, x.shape, *geometry) if needs[0] else None
        if not needs[1]:
            return gx, None, self._channel_sum(g) if needs[2] else None
        return gx, *self._conv_backward_parameters(g, x, w.shape, *geometry, needs[2], into)

    def conv_backward_weight(self, g, x, w_shape, stride, padding, dilation, groups):
        return self._conv_backward_parameters(g, x, tuple(w_shape), stride, padding, dilation, groups, False)[0]

    def _conv_backward_parameters(self, g, x, w_shape, stride, padding, dilation, groups, with_bias, into=None):
        geometry = (stride, padding, dilation, groups)
        if self._multiplies(g, x):
            kind = g.dtype
            paired = pairs.worthwhile_for_weights(g, w_shape, geometry, self.engine.register)
            if kind is BFLOAT16 and (paired or worthwhile(g.shape, w_shape, groups, CHANNELS_PER_ROW_OF_BFLOATS)):
                gw = super().conv_backward_weight(g, x, w_shape, *geometry)
                return gw, self._channel_sum(g) if with_bias else None
            if kind is FLOAT and worthwhile(g.shape, w_shape, groups, CHANNELS_PER_ROW_FOR_WEIGHTS):
                gw = self._columns_backward_weight(g, x, w_shape, geometry, into)
                return gw, self._channel_sum(g) if with_bias else None
            if kind is FLOAT and are_pixels(g, x, w_shape, padding, groups):
                return self._pixels_backward_parameters(g, x, w_shape, stride, with_bias, into)
            g, x = dense(g), dense(x)
            if paired:
                shape, geometry = (2 * w_shape[0], *w_shape[1:-1], w_shape[-1] + 1), pairs.pair_geometry(geometry)
                gw, gb = self._conv_backward_parameters(pairs.as_pairs(g), x, shape, *geometry, with_bias)
                return pairs.sum_of_halves(gw, into), np.add(*np.split(gb, 2)) if with_bias else None
            gw = np.empty(w_shape, kind) if into is None else into
            gb = np.empty(w_shape[0], kind) if with_bias else None
            key = ("conv_w", g.shape, g.strides, x.shape, x.strides, w_shape, with_bias, *geometry)
            arrays = (g, x, gw, gb) if with_bias else (g, x, gw)

            def build(plan):
                _backward_weight(plan, g, x, w_shape, with_bias, geometry)

            try:
                self.engine.run(key, build, *arrays, work=_work(g.shape, w_shape), kind=kind_of(g))
            except Unsupported:
                pass
            else:
                return gw, gb
        gw = super().conv_backward_weight(g, x, w_shape, *geometry)
        return gw, self._channel_sum(g) if with_bias else None

    def conv_backward_input(self, g, w, x_shape, stride, padding, dilation, groups):
        geometry = (stride, padding, dilation, groups)
        if self._multiplies(g, w):
            g, w = dense(g), dense(w)
            x_shape = tuple(x_shape)
            if g.dtype is FLOAT:
                if worthwhile(g.shape, w.shape, groups, CHANNELS_PER_ROW):
                    return self._columns_backward_input(g, w, x_shape, geometry)
                if mirrored := _mirrored_in_pairs(x_shape, w.shape, geometry, self.engine.register):
                    turned = np.flip(w.swapaxes(0, 1), tuple(range(2, w.ndim)))
                    return self.conv_forward(g, turned, None, *mirrored)
            elif worthwhile(g.shape, w.shape, groups, CHANNELS_PER_ROW_OF_BFLOATS):
                return super().conv_backward_input(g, w, x_shape, *geometry)
            gx = empty_channels_last(x_shape, g.dtype)
            key = ("conv_x", g.shape, g.strides, w.shape, w.strides, x_shape, *geometry)

            def build(plan):
                _backward_input(plan, g, w, x_shape, geometry)

            try:
                self.engine.run(key, build, g, w, gx, work=_work(g.shape, w.shape), kind=kind_of(g))
            except Unsupported:
                pass
            else:
                return gx
        return super().conv_backward_input(g, w, x_shape, *geometry)


@lru_cache(1024)
def _way(x_shape, w_shape, geometry, register):
    """How to convolve: the output's shape, whether by columns, whether in pairs, else the layouts to ask for."""
    *sliding, groups = geometry
    spatial = [conv_out_size(*a) for a in zip(x_shape[2:], w_shape[2:], *sliding, strict=True)]
    y_shape = (x_shape[0], w_shape[0], *spatial)
    columns = worthwhile(y_shape, w_shape, groups, CHANNELS_PER_ROW)
    paired = pairs.worthwhile(y_shape, w_shape, geometry, register)
    return y_shape, columns, paired, *_quickest(w_shape, y_shape, groups)


@lru_cache(1024)
def _mirrored_in_pairs(x_shape, w_shape, geometry, register):
    """The geometry of the convolution in pairs that gives the input's gradient, or None where that does not pay."""
    mirrored = _mirrored(w_shape, geometry) if 2 * w_shape[1] <= register else None
    turned = (w_shape[1], w_shape[0], *w_shape[2:])
    return mirrored if mirrored and pairs.worthwhile(x_shape, turned, mirrored, register) else None


def _mirrored(w_shape, geometry):
    """The geometry of the convolution of the output's gradient that gives the input's, or None if it is not one."""
    stride, padding, dilation, groups = geometry
    around = tuple([k - 1 - p for k, p in zip(w_shape[2:], padding, strict=True)])
    return None if max(stride) > 1 or max(dilation) > 1 or min(around) < 0 else (stride, around, dilation, groups)


@lru_cache(1024)
def _work(y_shape, w_shape):
    """Multiplications of a convolution."""
    return prod(y_shape) * prod(w_shape[1:])


# ---- plans. Activations come and go channels last; weights are reordered to what the primitive likes best.


def _forward(plan, x, w, b, y_shape, geometry, source_layout, target_layout):
    source, weights = _activation(plan, x), _weights(plan, w.shape, geometry, w)
    target = plan.array(plan.layout(y_shape, channels_last(y_shape)))
    bias = plan.array(plan.layout(b.shape, (1,))) if b is not None else None
    shapes = (x.shape, w.shape, y_shape)
    desc = _describe(plan, "forward", shapes, geometry, source_layout, target_layout, bias)
    written = plan.output(target, desc, dnnl.QUERY_DST)
    arguments = {
        dnnl.SRC: plan.input(source, desc, dnnl.QUERY_SRC),
        dnnl.WEIGHTS: plan.input(weights, desc, dnnl.QUERY_WEIGHTS),
        dnnl.DST: written,
    }
    if bias:
        arguments[dnnl.BIAS] = bias
    plan.step(desc, arguments)
    plan.finish(written, target)


def _backward_input(plan, g, w, x_shape, geometry):
    gradient, weights = _activation(plan, g), _weights(plan, w.shape, geometry, w)
    target = plan.array(plan.layout(x_shape, channels_last(x_shape)))
    few = geometry[3] == 1 and 4 < w.shape[1] < FEW_CHANNELS
    liked = _free if few or _deep(w.shape, g.shape) else channels_last
    desc = _describe(plan, "backward_data", (x_shape, w.shape, g.shape), geometry, liked, liked)
    written = plan.output(target, desc, dnnl.QUERY_DIFF_SRC)
    arguments = {
        dnnl.DIFF_DST: plan.input(gradient, desc, dnnl.QUERY_DIFF_DST),
        dnnl.WEIGHTS: plan.input(weights, desc, dnnl.QUERY_WEIGHTS),
        dnnl.DIFF_SRC: written,
    }
    plan.step(desc, arguments)
    plan.finish(written, target)


def _backward_weight(plan, g, x, w_shape, with_bias, geometry):
    gradient, source = _activation(plan, g), _activation(plan, x)
    target = _weights(plan, w_shape, geometry)
    bias = plan.array(plan.layout(w_shape[:1], (1,))) if with_bias else None
    few = geometry[3] == 1 and w_shape[1] < FEW_CHANNELS
    planes = few and w_shape[1] <= 3  # so few channels come as pictures are read
    liked = contiguous if planes else channels_last, _free if few else channels_last
    desc = _describe(plan, "backward_weights", (x.shape, w_shape, g.shape), geometry, *liked, bias)
    written = plan.output(target, desc, dnnl.QUERY_DIFF_WEIGHTS)
    arguments = {
        dnnl.SRC: plan.input(source, desc, dnnl.QUERY_SRC),
        dnnl.DIFF_DST: plan.input(gradient, desc, dnnl.QUERY_DIFF_DST),
        dnnl.DIFF_WEIGHTS: written,
    }
    if bias:
        arguments[dnnl.DIFF_BIAS] = bias
    plan.step(desc, arguments)
    plan.finish(written, target)


def _describe(plan, operation, shapes, geometry, source, target, bias=None):
    """A descriptor of the convolution ("forward") or of its gradient for the data or the weights.

    shapes: of input, weights and output. source, target: the layouts to ask for of input and output, as functions that
    give a shape's strides; channels last where the processor has no kernel for those.
    """
    try:
        return _described(plan, operation, shapes, geometry, source, target, bias)
    except Unsupported:
        return _described(plan, operation, shapes, geometry, channels_last, channels_last, bias)


def _described(plan, operation, shapes, geometry, source, target, bias):
    x_shape, w_shape, y_shape = shapes
    x, y = plan.layout(x_shape, source(x_shape)), plan.layout(y_shape, target(y_shape))
    w, b = plan.layout(_grouped(w_shape, geometry[3])), bias and bias.layout
    window = _window(geometry)
    desc = plan.describe("convolution_forward", dnnl.TRAINING, dnnl.CONVOLUTION_DIRECT, x, w, b, y, *window)
    if operation != "forward":
        arrays = (x, w, y) if operation == "backward_data" else (x, w, b, y)
        desc = plan.describe(f"convolution_{operation}", dnnl.CONVOLUTION_DIRECT, *arrays, *window, desc)
    if plan.kind == dnnl.BF16:
        name, depthwise = plan.implementation(desc), geometry[3] > 1 == w_shape[1]
        if "gemm:jit" in name or (depthwise and "dw" not in name):
            raise Unsupported("a general implementation, slower than float32's")
    return desc


def _free(shape):
    """The layout that the primitive likes best, to or from which the array is then reordered."""


def _quickest(w_shape, y_shape, groups):
    """The layouts of input and output with which a convolution was the quickest.

    oneDNN's kernels for a group to each channel want both channels last.
    """
    if _deep(w_shape, y_shape):
        return _free, _free
    return _free if groups == 1 and w_shape[1] < FEW_CHANNELS else channels_last, channels_last


def _deep(w_shape, y_shape):
    """Many channels in small planes, where blocked kernels are so much faster that reordering all arrays pays."""
    return w_shape[1] >= 128 and prod(w_shape[2:]) > 1 and prod(y_shape[2:]) <= 64


def _activation(plan, x):
    return plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, channels_last(x.shape), x.itemsize)))


def _weights(plan, shape, geometry, w=None):
    strides = contiguous(shape)
    if w is not None:
        strides = strides_of(shape, w.strides, strides, w.itemsize)
    groups = geometry[3]
    if groups > 1:
        strides = (shape[0] // groups * strides[0], *strides)
    return plan.array(plan.layout(_grouped(shape, groups), strides))


def _grouped(w_shape, groups):
    return w_shape if groups == 1 else (groups, w_shape[0] // groups, *w_shape[1:])


def _window(geometry):
    """Strides, dilations (oneDNN counts from 0) and both paddings."""
    stride, padding, dilation, _ = geometry
    return dims(stride), dims([d - 1 for d in dilation]), dims(padding), dims(padding)
