"""Convolution by oneDNN: activations channels last, weights reordered in each call (nothing depends on values)."""

from math import prod

import numpy as np

from disttorch.kernels.geometry import conv_out_size
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.columns import CHANNELS_PER_ROW, CHANNELS_PER_ROW_FOR_WEIGHTS, Columns, worthwhile
from disttorch.kernels.onednn.layouts import FLOAT, channels_last, contiguous, dense, empty_channels_last, strides_of
from disttorch.kernels.onednn.plan import dims

# Output channels up to which a gradient of weights is computed for pairs of outputs, and elements of the output's
# gradient from which that saves more than it costs. Measured on LeNet's first layer.
FEW_CHANNELS, PAIRED = 8, 1 << 15


class Convolution(Columns):
    def conv_forward(self, x, w, b, stride, padding, dilation, groups):
        if x.dtype is FLOAT and w.dtype is FLOAT and x.size and w.size:
            x, w = dense(x), dense(w)
            geometry = (stride, padding, dilation, groups)
            spatial = [conv_out_size(*a) for a in zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)]
            y_shape = (x.shape[0], w.shape[0], *spatial)
            if worthwhile(y_shape, w.shape, groups, CHANNELS_PER_ROW):
                return self._columns_forward(x, w, b, y_shape, geometry)
            y = empty_channels_last(y_shape)
            key = ("conv", x.shape, x.strides, w.shape, w.strides, b is None, *geometry)
            arrays = (x, w, y) if b is None else (x, w, y, np.ascontiguousarray(b, FLOAT))
            try:
                work = _work(y_shape, w.shape)
                self.engine.run(key, lambda plan: _forward(plan, x, w, b, y_shape, geometry), *arrays, work=work)
            except Unsupported:
                pass
            else:
                return y
        return super().conv_forward(x, w, b, stride, padding, dilation, groups)

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
        if g.dtype is FLOAT and x.dtype is FLOAT and g.size and x.size:
            if worthwhile(g.shape, w_shape, groups, CHANNELS_PER_ROW_FOR_WEIGHTS):
                gw = self._columns_backward_weight(g, x, w_shape, geometry, into)
                return gw, self._channel_sum(g) if with_bias else None
            g, x = dense(g), dense(x)
            if _pairs_fill_registers(g, w_shape, geometry):
                return self._paired_backward_weight(g, x, w_shape, geometry, with_bias, into)
            gw = np.empty(w_shape, FLOAT) if into is None else into
            gb = np.empty(w_shape[0], FLOAT) if with_bias else None
            key = ("conv_w", g.shape, g.strides, x.shape, x.strides, w_shape, with_bias, *geometry)
            arrays = (g, x, gw, gb) if with_bias else (g, x, gw)

            def build(plan):
                _backward_weight(plan, g, x, w_shape, with_bias, geometry)

            try:
                self.engine.run(key, build, *arrays, work=_work(g.shape, w_shape))
            except Unsupported:
                pass
            else:
                return gw, gb
        gw = super().conv_backward_weight(g, x, w_shape, *geometry)
        return gw, self._channel_sum(g) if with_bias else None

    def _paired_backward_weight(self, g, x, w_shape, geometry, with_bias, into):
        """Two neighbouring outputs of a row are read as one of twice the channels. Then the kernel is one wider and
        moves by two, and its two halves hold the gradient one place apart.
        """
        (n, o, *rows, width), (stride, padding, dilation, _) = g.shape, geometry
        pairs = np.moveaxis(np.moveaxis(g, 1, -1).reshape(n, *rows, width // 2, 2 * o), -1, 1)
        shape, stride = (2 * o, *w_shape[1:-1], w_shape[-1] + 1), (*stride[:-1], 2)
        gw, gb = self._conv_backward_parameters(pairs, x, shape, stride, padding, dilation, 1, with_bias)
        gw = np.add(gw[:o, ..., :-1], gw[o:, ..., 1:], out=into)
        return gw, gb[:o] + gb[o:] if with_bias else None

    def conv_backward_input(self, g, w, x_shape, stride, padding, dilation, groups):
        geometry = (stride, padding, dilation, groups)
        if g.dtype is FLOAT and w.dtype is FLOAT and g.size and w.size:
            g, w = dense(g), dense(w)
            x_shape = tuple(x_shape)
            if worthwhile(g.shape, w.shape, groups, CHANNELS_PER_ROW):
                return self._columns_backward_input(g, w, x_shape, geometry)
            gx = empty_channels_last(x_shape)
            key = ("conv_x", g.shape, g.strides, w.shape, w.strides, x_shape, *geometry)
            try:
                work = _work(g.shape, w.shape)
                self.engine.run(key, lambda plan: _backward_input(plan, g, w, x_shape, geometry), g, w, gx, work=work)
            except Unsupported:
                pass
            else:
                return gx
        return super().conv_backward_input(g, w, x_shape, *geometry)


def _pairs_fill_registers(g, w_shape, geometry):
    """Whether a pair of outputs makes better use of registers of 16: few channels in and out, as in a first layer."""
    stride, _, dilation, groups = geometry
    return (
        groups == 1
        and w_shape[0] <= FEW_CHANNELS
        and w_shape[1] <= 4
        and g.shape[-1] % 2 == 0
        and stride[-1] == dilation[-1] == 1
        and g.size >= PAIRED
        and np.moveaxis(g, 1, -1).flags.c_contiguous
    )


def _work(y_shape, w_shape):
    """Multiplications of a convolution."""
    return prod(y_shape) * prod(w_shape[1:])


# ---- plans. Activations come and go channels last; weights are reordered to what the primitive likes best.


def _forward(plan, x, w, b, y_shape, geometry):
    source, weights = _activation(plan, x), _weights(plan, w.shape, geometry, w.strides)
    target = plan.array(plan.layout(y_shape, channels_last(y_shape)))
    bias = plan.array(plan.layout(b.shape, (1,))) if b is not None else None
    desc = _describe_forward(plan, x.shape, w.shape, y_shape, geometry, _blocked(w.shape, y_shape), bias)
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
    gradient, weights = _activation(plan, g), _weights(plan, w.shape, geometry, w.strides)
    target = plan.array(plan.layout(x_shape, channels_last(x_shape)))
    free = _blocked(w.shape, g.shape)
    source_layout, weights_layout, target_layout = _layouts(plan, x_shape, w.shape, g.shape, geometry, free)
    desc = plan.describe(
        "convolution_backward_data",
        dnnl.CONVOLUTION_DIRECT,
        source_layout,
        weights_layout,
        target_layout,
        *_window(geometry),
        _describe_forward(plan, x_shape, w.shape, g.shape, geometry, free),
    )
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
    free = w_shape[1] <= 4 and prod(w_shape[2:]) >= 36  # the first layer of a network for large pictures
    source_layout, weights_layout, gradient_layout = _layouts(plan, x.shape, w_shape, g.shape, geometry, free)
    desc = plan.describe(
        "convolution_backward_weights",
        dnnl.CONVOLUTION_DIRECT,
        source_layout,
        weights_layout,
        bias and bias.layout,
        gradient_layout,
        *_window(geometry),
        _describe_forward(plan, x.shape, w_shape, g.shape, geometry, free, bias),
    )
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


def _describe_forward(plan, x_shape, w_shape, y_shape, geometry, free, bias=None):
    source, weights, target = _layouts(plan, x_shape, w_shape, y_shape, geometry, free)
    return plan.describe(
        "convolution_forward",
        dnnl.TRAINING,
        dnnl.CONVOLUTION_DIRECT,
        source,
        weights,
        bias and bias.layout,
        target,
        *_window(geometry),
    )


def _layouts(plan, x_shape, w_shape, y_shape, geometry, free):
    """What to ask the primitive for: channels last or, `free`, whatever layouts it likes best."""
    return (
        plan.layout(x_shape, None if free else channels_last(x_shape)),
        plan.layout(_grouped(w_shape, geometry[3])),
        plan.layout(y_shape, None if free else channels_last(y_shape)),
    )


def _blocked(w_shape, y_shape):
    """Whether oneDNN's blocked kernels are so much faster that reordering the activations pays.

    So they are with fewer channels than a register holds, where those for channels last do not use a second thread,
    and with many channels in small planes.
    """
    channels = w_shape[1]
    return 4 < channels < 16 or (channels >= 128 and prod(w_shape[2:]) > 1 and prod(y_shape[2:]) <= 64)


def _activation(plan, x):
    return plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, channels_last(x.shape))))


def _weights(plan, shape, geometry, strides=None):
    strides = contiguous(shape) if strides is None else strides_of(shape, strides, contiguous(shape))
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
