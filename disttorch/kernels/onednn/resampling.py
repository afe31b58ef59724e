"""Resizing of pictures by oneDNN, whose kernels want channels last; other pictures are turned, one by one."""

from math import prod

import numpy as np

from disttorch.kernels.blas import address, is_finite
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import FLOAT, channels_last, contiguous
from disttorch.kernels.onednn.plan import ALIGNMENT

LEAST = 1 << 12  # elements from which it is quicker than NumPy


class Resampling:
    def resample_forward(self, x, size, linear):
        shape, together = (*x.shape[:2], *size), not x.flags.c_contiguous
        if not (linear or together) or not _is_taken(x):  # NumPy copies elements as quickly
            return super().resample_forward(x, size, linear)
        if together:
            x = self._channels_last(x)
        y = _aligned_channels_last(shape) if together else np.empty(shape, FLOAT)
        try:
            pieces = [(x, y)] if together else [*zip(x, y, strict=True)]
            key = ("resample", *[a.shape for a in pieces[0]], linear)
            for source, target in pieces:
                self.engine.run(key, lambda plan: _forward(plan, *key[1:]), source, target)
        except Unsupported:
            return super().resample_forward(x, size, linear)
        return y

    def resample_backward(self, g, x_shape, linear):
        shrinks = linear and g.shape[2] < x_shape[2]
        if g.flags.c_contiguous or shrinks or not _is_taken(g):
            return super().resample_backward(g, x_shape, linear)
        g = self._channels_last(g)
        gx, key = _aligned_channels_last(x_shape), ("resample_backward", x_shape, g.shape, linear)
        try:
            self.engine.run(key, lambda plan: _backward(plan, *key[1:]), g, gx)
        except Unsupported:
            return super().resample_backward(g, x_shape, linear)
        return gx


def _is_taken(x):
    return x.dtype is FLOAT and x.size >= LEAST and is_finite(x)


def _aligned_channels_last(shape):
    """An empty array (N, C, *S), channels last: a large result oneDNN writes past the caches, in whole cache lines."""
    room = np.empty(prod(shape) + ALIGNMENT // FLOAT.itemsize, FLOAT)
    return np.ndarray(shape, FLOAT, room, -address(room) % ALIGNMENT, [4 * step for step in channels_last(shape)])


def _described(plan, x_shape, y_shape, linear):
    algorithm = dnnl.RESAMPLING_LINEAR if linear else dnnl.RESAMPLING_NEAREST
    x, y = (plan.layout(shape, channels_last(shape)) for shape in (x_shape, y_shape))
    return algorithm, x, y, plan.describe("resampling_forward", dnnl.TRAINING, algorithm, None, x, y)


def _forward(plan, x_shape, y_shape, linear):
    if len(x_shape) == 4:
        _, x, y, desc = _described(plan, x_shape, y_shape, linear)
        plan.step(desc, {dnnl.SRC: plan.array(x), dnnl.DST: plan.array(y)})
        return
    shapes = (1, *x_shape), (1, *y_shape)  # a picture (C, H, W)
    _, x, y, desc = _described(plan, *shapes, linear)
    given, made = (plan.array(plan.layout(shape, contiguous(shape))) for shape in shapes)
    turned, resized = plan.temporary(x), plan.temporary(y)
    plan.reorder(given, turned)
    plan.step(desc, {dnnl.SRC: turned, dnnl.DST: resized})
    plan.reorder(resized, made)


def _backward(plan, x_shape, y_shape, linear):
    algorithm, x, y, hint = _described(plan, x_shape, y_shape, linear)
    desc = plan.describe("resampling_backward", algorithm, None, x, y, hint)
    plan.step(desc, {dnnl.DIFF_DST: plan.array(y), dnnl.DIFF_SRC: plan.array(x)})
