"""Elementwise functions by oneDNN: one pass over memory; NumPy for small arrays and simple functions."""

from functools import cached_property, lru_cache

import numpy as np

from disttorch.kernels.blas import is_finite
from disttorch.kernels.hushing import hushed
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.eltwise import Eltwise, laid_out_like
from disttorch.kernels.onednn.layouts import FLOAT, are_floats, is_packed
from disttorch.kernels.threads import get_num_threads

SINGLE_PASS = 1 << 16  # elements below which NumPy's lower overhead wins, of what is a single pass in NumPy too
CLIPPED = 1 << 11  # elements from which NumPy's clip is quicker than its maximum with a number, which goes one by one
WORTH_CHECKING = 1 << 17  # elements from which a pass of oneDNN's and a look at the result are quicker than NumPy
PIECE = 1 << 15  # elements that are multiplied and added at a time: they stay in the cache, and one plan serves all
_GELU = {"none": dnnl.GELU_ERF, "tanh": dnnl.GELU_TANH}


class Activation(Eltwise):
    def multiply_add(self, y, x, c):
        if y.size < PIECE or not self._fuses:
            super().multiply_add(y, x, c)
            return
        whole = y.size - y.size % PIECE
        for at in range(0, whole, PIECE):
            part = slice(at, at + PIECE)
            self._multiply_add(y[part], *[_repeated(v) if isinstance(v, float) else v[part] for v in (x, c)])
        if whole < y.size:
            rest = slice(whole, None)
            super().multiply_add(y[rest], *[v if isinstance(v, float) else v[rest] for v in (x, c)])

    def _multiply_add(self, y, x, c):
        """As layer normalisation: y, of mean 0 and variance 1, scaled by x and shifted by c."""
        self.engine.run("multiply_add", _multiply_add, y, y, _NO_MEAN, _ONE, x, c)

    @cached_property
    def _fuses(self):
        """Whether oneDNN rounds once here, which takes a processor with such an instruction."""
        y, x, c = (np.linspace(1, 2, PIECE, dtype=FLOAT) * FLOAT.type(f) for f in (0.9, 1.1, -0.7))
        expected = y.copy()
        super().multiply_add(expected, x, c)
        self._multiply_add(y, x, c)
        return np.array_equal(y, expected)

    def relu_forward(self, x, out=None):
        if x.dtype is not FLOAT:
            return super().relu_forward(x, out)
        if x.size < CLIPPED:
            return np.maximum(x, _ZERO) if out is None else np.maximum(x, _ZERO, out=out)  # NaN passes, as in PyTorch
        if x.size < SINGLE_PASS or get_num_threads() == 1 or not _fits(out, x):
            return x.clip(_ZERO, _INFINITY) if out is None else x.clip(_ZERO, _INFINITY, out=out)
        y = np.empty_like(x) if out is None else out
        self.engine.run(("relu", x.size), lambda plan: _relu(plan, x.size), x, y)
        return y

    def relu_backward(self, g, y):
        if y.size < WORTH_CHECKING or not are_floats(g, y) or not is_packed(y):
            return super().relu_backward(g, y)
        g, gx = g if g.strides == y.strides else laid_out_like(g, y), np.empty_like(y)
        self.engine.run(("relu_backward", y.size), lambda plan: _relu_backward(plan, y.size), y, _ZERO, g, gx)
        return gx if is_finite(gx) else super().relu_backward(g, y)  # infinity times 0 is NaN

    def tanh_forward(self, x):
        y = self._forward(dnnl.TANH, x)
        return super().tanh_forward(x) if y is None else y

    def tanh_backward(self, g, y):
        gx = self._backward(dnnl.TANH_FROM_DST, dnnl.TANH_FROM_DST, g, y)
        return super().tanh_backward(g, y) if gx is None else gx

    def sigmoid_forward(self, x):
        y = self._forward(dnnl.LOGISTIC, x)
        if y is not None:
            return y
        return _sigmoid(x) if x.dtype is FLOAT else super().sigmoid_forward(x)

    def sigmoid_backward(self, g, y):
        gx = self._backward(dnnl.LOGISTIC_FROM_DST, dnnl.LOGISTIC_FROM_DST, g, y)
        return super().sigmoid_backward(g, y) if gx is None else gx

    def gelu_forward(self, x, approximate="none"):
        y = self._forward(_GELU[approximate], x, 1)
        return super().gelu_forward(x, approximate) if y is None else y

    def gelu_backward(self, g, x, approximate="none"):
        gx = self._backward(_GELU[approximate], _GELU[approximate], g, x, 1)
        return super().gelu_backward(g, x, approximate) if gx is None else gx


# As operands half the price of Python's numbers.
_ZERO, _UNIT, _INFINITY = np.zeros((), FLOAT), np.ones((), FLOAT), np.full((), np.inf, FLOAT)
_NO_MEAN, _ONE = np.zeros(1, FLOAT), np.ones(1, FLOAT)


@hushed
def _sigmoid(x):
    y = np.exp(np.negative(x))  # may be infinite
    return np.reciprocal(np.add(y, _UNIT))


@lru_cache(maxsize=64)
def _repeated(number):
    return np.full(PIECE, number, FLOAT)


def _fits(out, x):
    """Whether x and the result, in `out` if given, are the same stretch of memory to a function of single elements."""
    return is_packed(x) and (out is None or (out.dtype is FLOAT and out.strides == x.strides and out.shape == x.shape))


def _multiply_add(plan):
    row, one, vector = plan.layout((1, PIECE), (PIECE, 1)), plan.layout((1,), (1,)), plan.layout((PIECE,), (1,))
    flags = dnnl.GLOBAL_STATS | dnnl.SCALE_FLAG | dnnl.SHIFT_FLAG
    desc = plan.describe("layer_normalization_forward", dnnl.INFERENCE, row, row, one, 0.0, flags)
    layouts = {
        dnnl.SRC: row, dnnl.DST: row, dnnl.MEAN: one, dnnl.VARIANCE: one, dnnl.SCALE: vector, dnnl.SHIFT: vector
    }  # fmt: skip
    plan.step(desc, {name: plan.array(layout) for name, layout in layouts.items()})


def _relu(plan, size):
    """max(x > x, x): NaN stays NaN, which oneDNN's own relu makes 0."""
    layout = plan.layout((size,), (1,))
    x, y = plan.array(layout), plan.array(layout)
    plan.combine(y, x, dnnl.GREATER, x, (dnnl.MAX, x))


def _relu_backward(plan, size):
    """(y != 0) * g + 0: what is left out is 0, never -0."""
    layout = plan.layout((size,), (1,))
    y, zero, g, gx = plan.array(layout), plan.array(plan.layout((1,), (1,))), plan.array(layout), plan.array(layout)
    plan.combine(gx, y, dnnl.NOT_EQUAL, zero, (dnnl.MUL, g), (dnnl.ADD, zero))
