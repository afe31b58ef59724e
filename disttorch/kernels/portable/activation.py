"""Elementwise functions that an array namespace lacks or that are worth fusing.

Backward takes what PyTorch saves: the result for relu, tanh and sigmoid, the input for gelu.
"""

from math import pi, sqrt

import numpy as np

from disttorch.kernels.hushing import hushed
from disttorch.kernels.portable.masking import kept
from disttorch.kernels.portable.precision import LONG, in_float32, is_narrow, kernel_in_float32
from disttorch.kernels.portable.special import erf

# Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016): the tanh approximation's constants.
GELU_SCALE, GELU_CUBE = sqrt(2 / pi), 0.044715
_NOT_NEGATIVE = np.int16(0), np.int16(0x7FFF)


class Activation:
    def combined(self, ufunc, a, b, out=None):
        if not is_narrow(a.dtype):
            return ufunc(a, b, out)
        return ufunc(a, b) if max(a.size, b.size) < LONG else in_float32(ufunc)(a, b)

    def multiply_add(self, y, x, c):
        """In float64 the product is exact: rounded to float32 is the sum alone."""
        wide = y.astype(self.xp.float64)
        wide *= x
        wide += c
        y[...] = wide

    def relu_forward(self, x, out=None):
        if type(x) is np.ndarray and x.size >= LONG and x.dtype.itemsize == 2 and is_narrow(x.dtype):
            bits = x.view("i2")  # ordered as the numbers are where these are positive; negative where they are
            if x.view("u2").max() <= x.dtype.type("-inf").view("u2"):  # no NaN with a sign
                return bits.clip(*_NOT_NEGATIVE, out=None if out is None else out.view("i2")).view(x.dtype)
        return self.xp.maximum(x, x.dtype.type(0), out=out)  # NaN passes, as in PyTorch

    def relu_backward(self, g, y):
        return kept(g, y)  # y is positive, 0 or NaN, where g passes, as in PyTorch

    @kernel_in_float32
    def tanh_forward(self, x):
        return self.xp.tanh(x)

    @kernel_in_float32
    def tanh_backward(self, g, y):
        d = 1 - y * y
        d *= g
        return d

    @kernel_in_float32
    @hushed
    def sigmoid_forward(self, x):
        return 1 / (1 + self.xp.exp(-x))  # the exponential may be infinite

    @kernel_in_float32
    def sigmoid_backward(self, g, y):
        d = 1 - y
        d *= y
        d *= g
        return d

    @kernel_in_float32
    def erf(self, x):
        return erf(self.xp, x)

    @kernel_in_float32
    def gelu_forward(self, x, approximate="none"):
        if approximate == "tanh":
            y = self.xp.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x))
        else:
            y = erf(self.xp, x * sqrt(0.5))
        y += 1
        y *= x
        y *= 0.5
        return y

    @kernel_in_float32
    def gelu_backward(self, g, x, approximate="none"):
        xp = self.xp
        if approximate == "tanh":
            t = xp.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x))
            slope = GELU_SCALE * (1 + 3 * GELU_CUBE * x * x)
            return g * 0.5 * (1 + t + x * (1 - t * t) * slope)
        cdf = 0.5 * (1 + erf(xp, x * sqrt(0.5)))
        pdf = xp.exp(-0.5 * x * x) * (1 / sqrt(2 * pi))
        return g * (cdf + x * pdf)

    def eltwise_forward(self, name, x, *settings):
        return None

    def eltwise_backward(self, name, g, x, *settings):
        return None

    @kernel_in_float32
    def dropout(self, x, keep, scale):
        """x * scale where `keep`, 0 elsewhere; its own backward."""
        y = x * keep
        y *= x.dtype.type(scale)
        return y
