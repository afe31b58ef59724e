"""Pooling by oneDNN, channels last; ceil_mode's extra windows become padding on the right."""

from math import prod

import numpy as np

from disttorch.kernels.blas import is_finite
from disttorch.kernels.geometry import pool_out_shape
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import FLOAT, channels_last, dense, empty_channels_last, strides_of
from disttorch.kernels.onednn.plan import dims

MANY = 1 << 14  # elements from which pooling finds the maxima's places faster than NumPy


class Pooling:
    """`saved` of max_pool_forward: oneDNN's workspace (an opaque uint8 array), or portable's int32 array."""

    def max_pool_forward(self, x, kernel, stride, padding, dilation, ceil_mode=False):
        if x.dtype is FLOAT and x.size and is_finite(x):  # oneDNN's maximum passes over NaN and -inf
            x = dense(x)
            window = (kernel, stride, padding, dilation)
            out = (*x.shape[:2], *pool_out_shape(x.shape[2:], *window, ceil_mode))
            y = empty_channels_last(out)
            saved = np.empty(y.size * _winner_size(kernel), np.uint8)
            key = ("max_pool", x.shape, x.strides, *window, ceil_mode)
            try:
                self.engine.run(key, lambda plan: _forward(plan, dnnl.POOL_MAX, x, out, window), x, y, saved)
            except Unsupported:
                pass
            else:
                return y, saved
        return super().max_pool_forward(x, kernel, stride, padding, dilation, ceil_mode)

    def max_pool_indices(self, x, y, saved, kernel, stride, padding, dilation):
        if saved.dtype == np.uint8:
            saved = saved if _winner_size(kernel) == 1 else saved.view(np.int32)
            n, c, *spatial = y.shape
            saved = np.moveaxis(saved.reshape(n, *spatial, c), -1, 1)
        return super().max_pool_indices(x, y, saved, kernel, stride, padding, dilation)

    def max_pool_backward(self, g, saved, x_shape, kernel, stride, padding, dilation, ceil_mode=False):
        window = (kernel, stride, padding, dilation)
        if saved.dtype != np.uint8 or g.dtype is not FLOAT:
            return super().max_pool_backward(g, saved, x_shape, *window, ceil_mode)
        g = dense(g)
        x_shape = tuple(x_shape)
        gx = empty_channels_last(x_shape)
        key = ("max_pool_backward", g.shape, g.strides, x_shape, *window, ceil_mode)
        self.engine.run(key, lambda plan: _backward(plan, dnnl.POOL_MAX, g, x_shape, window), g, gx, saved)
        return gx

    def argmax(self, x, axis):
        planes = _with_channels_last(x, axis)
        if planes is not None:
            window = (planes.shape[2:], planes.shape[2:], (0,), (1,))
            y, saved = self.max_pool_forward(planes, *window)
            if saved.dtype == np.uint8:  # oneDNN's, so that all is finite
                found = self.max_pool_indices(planes, y, saved, *window)
                return found if axis == 2 else found.swapaxes(1, 2)
        return super().argmax(x, axis)

    def avg_pool_forward(
        self, x, kernel, stride, padding, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        algorithm = dnnl.POOL_AVG_INCLUDE if count_include_pad else dnnl.POOL_AVG_EXCLUDE
        if x.dtype is FLOAT and x.size and _plain_average(ceil_mode, divisor_override):
            x = dense(x)
            window = (kernel, stride, padding, (1,) * len(kernel))
            out = (*x.shape[:2], *pool_out_shape(x.shape[2:], *window, False))
            y = empty_channels_last(out)
            key = ("avg_pool", algorithm, x.shape, x.strides, *window)
            try:
                self.engine.run(key, lambda plan: _forward(plan, algorithm, x, out, window), x, y)
            except Unsupported:
                pass
            else:
                return y
        return super().avg_pool_forward(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def avg_pool_backward(
        self, g, x_shape, kernel, stride, padding, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        algorithm = dnnl.POOL_AVG_INCLUDE if count_include_pad else dnnl.POOL_AVG_EXCLUDE
        if g.dtype is FLOAT and g.size and _plain_average(ceil_mode, divisor_override):
            g = dense(g)
            x_shape = tuple(x_shape)
            window = (kernel, stride, padding, (1,) * len(kernel))
            gx = empty_channels_last(x_shape)
            key = ("avg_pool_backward", algorithm, g.shape, g.strides, x_shape, *window)
            try:
                self.engine.run(key, lambda plan: _backward(plan, algorithm, g, x_shape, window), g, gx)
            except Unsupported:
                pass
            else:
                return gx
        return super().avg_pool_backward(
            g, x_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
        )


def _with_channels_last(x, axis):
    """x (N, C, L), or (N, L, C) with axis 1 turned, if C is what lies together in memory; None if not, or if small."""
    if x.dtype is not FLOAT or x.ndim != 3 or x.size < MANY or not 1 <= axis <= 2:
        return None
    x = x if axis == 2 else x.swapaxes(1, 2)
    return x if x.shape[1] > 1 and x.swapaxes(1, 2).flags.c_contiguous else None


def _winner_size(kernel):
    """Bytes in which oneDNN's max pooling notes a window's winner."""
    return 1 if prod(kernel) <= 256 else 4


def _plain_average(ceil_mode, divisor_override):
    """oneDNN counts ceil_mode's extra cells as padding, PyTorch does not count them at all."""
    return not ceil_mode and divisor_override is None


def _forward(plan, algorithm, x, y_shape, window):
    source = plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, channels_last(x.shape))))
    target = plan.array(plan.layout(y_shape, channels_last(y_shape)))
    desc = describe_forward(plan, algorithm, x.shape, y_shape, window)
    arguments = {dnnl.SRC: plan.input(source, desc, dnnl.QUERY_SRC), dnnl.DST: target}
    if algorithm == dnnl.POOL_MAX:
        workspace = plan.wanted(desc, dnnl.QUERY_WORKSPACE)
        if plan.size(workspace) != prod(y_shape) * _winner_size(window[0]):
            raise Unsupported
        arguments[dnnl.WORKSPACE] = plan.array(workspace)
    plan.step(desc, arguments)


def _backward(plan, algorithm, g, x_shape, window):
    gradient = plan.array(plan.layout(g.shape, strides_of(g.shape, g.strides, channels_last(g.shape))))
    target = plan.array(plan.layout(x_shape, channels_last(x_shape)))
    hint = describe_forward(plan, algorithm, x_shape, g.shape, window)
    desc = plan.describe(
        "pooling_backward",
        algorithm,
        target.layout,
        plan.layout(g.shape, channels_last(g.shape)),
        *_window(x_shape, g.shape, window),
        hint,
    )
    arguments = {dnnl.DIFF_DST: plan.input(gradient, desc, dnnl.QUERY_DIFF_DST), dnnl.DIFF_SRC: target}
    if algorithm == dnnl.POOL_MAX:
        arguments[dnnl.WORKSPACE] = plan.array(plan.wanted(desc, dnnl.QUERY_WORKSPACE))
    plan.step(desc, arguments)


def describe_forward(plan, algorithm, x_shape, y_shape, window):
    source, target = (plan.layout(shape, channels_last(shape)) for shape in (x_shape, y_shape))
    parameters = _window(x_shape, y_shape, window)
    return plan.describe("pooling_forward", dnnl.TRAINING, algorithm, source, target, *parameters)


def _window(x_shape, y_shape, window):
    """Strides, kernel, dilations (oneDNN counts from 0), left and right padding."""
    kernel, stride, padding, dilation = window
    right = [
        (o - 1) * t + d * (k - 1) + 1 - s - p
        for s, o, k, t, p, d in zip(x_shape[2:], y_shape[2:], kernel, stride, padding, dilation, strict=True)
    ]
    right = [max(r, 0) for r in right]
    return dims(stride), dims(kernel), dims([d - 1 for d in dilation]), dims(padding), dims(right)
