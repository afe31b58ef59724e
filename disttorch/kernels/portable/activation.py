"""Elementwise functions that an array namespace lacks or that are worth fusing.

Backward takes what PyTorch saves: the result for relu, tanh and sigmoid, the input for gelu.
"""

from math import pi, sqrt

from disttorch.kernels.hushing import hushed
from disttorch.kernels.portable.masking import kept
from disttorch.kernels.portable.precision import in_float32
from disttorch.kernels.portable.special import erf

# Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016): the tanh approximation's constants.
GELU_SCALE, GELU_CUBE = sqrt(2 / pi), 0.044715


class Activation:
    def add(self, a, b, out=None):
        return self.xp.add(a, b, out=out)

    def multiply_add(self, y, x, c):
        """In float64 the product is exact: rounded to float32 is the sum alone."""
        wide = y.astype(self.xp.float64)
        wide *= x
        wide += c
        y[...] = wide

    def relu_forward(self, x, out=None):
        return self.xp.maximum(x, x.dtype.type(0), out=out)  # NaN passes, as in PyTorch

    def relu_backward(self, g, y):
        return kept(g, y)  # y is positive, 0 or NaN, where g passes, as in PyTorch

    @in_float32
    def tanh_forward(self, x):
        return self.xp.tanh(x)

    @in_float32
    def tanh_backward(self, g, y):
        d = 1 - y * y
        d *= g
        return d

    @in_float32
    @hushed
    def sigmoid_forward(self, x):
        return 1 / (1 + self.xp.exp(-x))  # the exponential may be infinite

    @in_float32
    def sigmoid_backward(self, g, y):
        d = 1 - y
        d *= y
        d *= g
        return d

    @in_float32
    def erf(self, x):
        return erf(self.xp, x)

    @in_float32
    def gelu_forward(self, x, approximate="none"):
        if approximate == "tanh":
            y = self.xp.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x))
        else:
            y = erf(self.xp, x * sqrt(0.5))
        y += 1
        y *= x
        y *= 0.5
        return y

    @in_float32
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

    @in_float32
    def dropout(self, x, keep, scale):
        """x * scale where `keep`, 0 elsewhere; its own backward."""
        y = x * keep
        y *= x.dtype.type(scale)
        return y
