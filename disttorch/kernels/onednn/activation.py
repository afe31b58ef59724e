"""Elementwise functions by oneDNN: one pass over memory; NumPy for small arrays and simple functions."""

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import FLOAT

# Elements below which NumPy's lower overhead wins.
SMALL = 2048
_GELU = {"none": dnnl.GELU_ERF, "tanh": dnnl.GELU_TANH}


class Activation:
    def relu_backward(self, g, y):
        gx = self._backward(dnnl.RELU_FROM_DST, dnnl.RELU, g, y)
        return super().relu_backward(g, y) if gx is None else gx

    def tanh_forward(self, x):
        y = self._forward(dnnl.TANH, x)
        return super().tanh_forward(x) if y is None else y

    def tanh_backward(self, g, y):
        gx = self._backward(dnnl.TANH_FROM_DST, dnnl.TANH_FROM_DST, g, y)
        return super().tanh_backward(g, y) if gx is None else gx

    def sigmoid_forward(self, x):
        y = self._forward(dnnl.LOGISTIC, x)
        return super().sigmoid_forward(x) if y is None else y

    def sigmoid_backward(self, g, y):
        gx = self._backward(dnnl.LOGISTIC_FROM_DST, dnnl.LOGISTIC_FROM_DST, g, y)
        return super().sigmoid_backward(g, y) if gx is None else gx

    def gelu_forward(self, x, approximate="none"):
        y = self._forward(_GELU[approximate], x)
        return super().gelu_forward(x, approximate) if y is None else y

    def gelu_backward(self, g, x, approximate="none"):
        gx = self._backward(_GELU[approximate], _GELU[approximate], g, x)
        return super().gelu_backward(g, x, approximate) if gx is None else gx

    def _forward(self, algorithm, x):
        """None where NumPy is the one to use."""
        if x.dtype is not FLOAT or x.size < SMALL:
            return None
        y = np.empty_like(x)  # keeps the order of the axes in memory
        if y.strides != x.strides:
            return None
        size = x.size
        self.engine.run(("eltwise", algorithm, size), lambda plan: _forward(plan, algorithm, size), x, y)
        return y

    def _backward(self, algorithm, hint, g, data):
        if data.dtype is not FLOAT or g.dtype is not FLOAT or data.size < SMALL:
            return None
        gx = np.empty_like(data)
        if gx.strides != data.strides:
            return None
        if g.strides != data.strides:
            g = _laid_out_like(g, data)
        size = data.size
        key = ("eltwise_backward", algorithm, size)
        self.engine.run(key, lambda plan: _backward(plan, algorithm, hint, size), g, data, gx)
        return gx


def _laid_out_like(g, data):
    copy = np.empty_like(data)
    copy[...] = g
    return copy


def _forward(plan, algorithm, size):
    layout = plan.layout((size,), (1,))
    desc = plan.describe("eltwise_forward", dnnl.TRAINING, algorithm, layout, layout, 0.0, 0.0)
    plan.step(desc, {dnnl.SRC: plan.array(layout), dnnl.DST: plan.array(layout)})


def _backward(plan, algorithm, forward, size):
    layout = plan.layout((size,), (1,))
    hint = plan.describe("eltwise_forward", dnnl.TRAINING, forward, layout, layout, 0.0, 0.0)
    desc = plan.describe("eltwise_backward", algorithm, layout, layout, layout, 0.0, 0.0, hint)
    data = dnnl.DST if algorithm >= dnnl.RELU_FROM_DST else dnnl.SRC
    plan.step(desc, {dnnl.DIFF_DST: plan.array(layout), data: plan.array(layout), dnnl.DIFF_SRC: plan.array(layout)})
