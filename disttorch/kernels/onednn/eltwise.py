"""oneDNN's functions of single elements: one pass over memory each, where formulas in NumPy take several."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from disttorch.kernels.blas import is_finite
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import FLOAT, are_floats

SMALL = 2048  # elements below which a function that NumPy has is quicker there
SATURATED = 17.5  # softplus(x) is x in float32 from here on


# What has to be finite for oneDNN's to be taken, which makes numbers of NaN, or multiplies infinities by 0.
INPUT, RESULT = 1, 2


class _Function(NamedTuple):
    """What oneDNN makes of a function of ours.

    numbers: settings -> its two numbers (alpha, beta), or None where it is not the same function. forward, backward:
    what has to be finite; None: the formula is the one to use.
    """

    algorithm: int
    numbers: Callable
    forward: int | None
    backward: int | None


FUNCTIONS = {
    "leaky_relu": _Function(dnnl.RELU, lambda slope: (slope, 0.0) if slope else None, 0, INPUT),
    "hardtanh": _Function(dnnl.CLIP, lambda low, high: (low, high), INPUT, RESULT),
    "silu": _Function(dnnl.SWISH, lambda: (1.0, 0.0), 0, 0),
    "hardswish": _Function(dnnl.HARDSWISH, lambda: (1 / 6, 0.5), 0, INPUT | RESULT),
    "hardsigmoid": _Function(dnnl.HARDSIGMOID, lambda: (1 / 6, 0.5), INPUT, RESULT),
    # The forwards of these are off by more than rounding where they are small.
    "mish": _Function(dnnl.MISH, lambda: (0.0, 0.0), None, RESULT),
    "elu": _Function(dnnl.ELU, lambda a, scale, inner: (a, 0.0) if scale == inner == 1 else None, None, INPUT),
    "softplus": _Function(dnnl.SOFT_RELU, lambda b, limit: (b, 0.0) if limit >= SATURATED else None, None, 0),
    "log_sigmoid": _Function(dnnl.SOFT_RELU, lambda: (-1.0, 0.0), None, 0),
}


class Eltwise:
    def eltwise_forward(self, name, x, *settings):
        algorithm, numbers, finite, _ = FUNCTIONS[name]
        if finite is None or (numbers := numbers(*settings)) is None or x.dtype is not FLOAT:
            return None
        return None if finite & INPUT and not is_finite(x) else self._forward(algorithm, x, 1, *numbers)

    def eltwise_backward(self, name, g, x, *settings):
        algorithm, numbers, _, finite = FUNCTIONS[name]
        if finite is None or (numbers := numbers(*settings)) is None or x.dtype is not FLOAT:
            return None
        if finite & INPUT and not is_finite(x):
            return None
        gx = self._backward(algorithm, algorithm, g, x, 1, *numbers)
        return None if gx is None or (finite & RESULT and not is_finite(gx)) else gx

    def difference_backward(self, g, x, y, bound=None):
        if not are_floats(g, x, y) or x.size < SMALL or not (x.flags.c_contiguous and y.flags.c_contiguous):
            return super().difference_backward(g, x, y, bound)
        gx, key = np.empty(x.shape, FLOAT), ("difference", x.size, bound)
        self.engine.run(key, lambda plan: _difference(plan, x.size, bound), x, y, g, gx)
        return gx

    def _forward(self, algorithm, x, least=SMALL, alpha=0.0, beta=0.0):
        """None where NumPy is the one to use: for other dtypes, and for fewer than `least` elements."""
        if x.dtype is not FLOAT or x.size < least:
            return None
        y = np.empty_like(x)  # keeps the order of the axes in memory
        if y.strides != x.strides:
            return None
        size = x.size
        key = ("eltwise", algorithm, size, alpha, beta)
        self.engine.run(key, lambda plan: _forward(plan, algorithm, size, alpha, beta), x, y)
        return y

    def _backward(self, algorithm, hint, g, data, least=SMALL, alpha=0.0, beta=0.0):
        if data.dtype is not FLOAT or g.dtype is not FLOAT or data.size < least:
            return None
        gx = np.empty_like(data)
        if gx.strides != data.strides:
            return None
        if g.strides != data.strides:
            g = laid_out_like(g, data)
        size = data.size
        key = ("eltwise_backward", algorithm, size, alpha, beta)
        self.engine.run(key, lambda plan: _backward(plan, algorithm, hint, size, alpha, beta), g, data, gx)
        return gx


def _find(name, settings):
    function = FUNCTIONS[name]
    return function, function.numbers(*settings)


def laid_out_like(g, data):
    copy = np.empty_like(data)
    copy[...] = g
    return copy


def _forward(plan, algorithm, size, alpha, beta):
    layout = plan.layout((size,), (1,))
    desc = plan.describe("eltwise_forward", dnnl.TRAINING, algorithm, layout, layout, alpha, beta)
    plan.step(desc, {dnnl.SRC: plan.array(layout), dnnl.DST: plan.array(layout)})


def _backward(plan, algorithm, forward, size, alpha, beta):
    layout = plan.layout((size,), (1,))
    hint = plan.describe("eltwise_forward", dnnl.TRAINING, forward, layout, layout, alpha, beta)
    desc = plan.describe("eltwise_backward", algorithm, layout, layout, layout, alpha, beta, hint)
    data = dnnl.DST if algorithm >= dnnl.RELU_FROM_DST else dnnl.SRC
    plan.step(desc, {dnnl.DIFF_DST: plan.array(layout), data: plan.array(layout), dnnl.DIFF_SRC: plan.array(layout)})


def _difference(plan, size, bound):
    layout = plan.layout((size,), (1,))
    x, y, factor, gx = plan.array(layout), plan.array(layout), plan.array(plan.layout((1,), (1,))), plan.array(layout)
    clipped = [] if bound is None else [(dnnl.CLIP, -bound, bound)]
    plan.combine(gx, x, dnnl.SUB, y, *clipped, (dnnl.MUL, factor))
