"""Activation functions, element by element or along one dimension."""

from ... import ops
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .layer import layer
from .module import Module


class ReLU(Module):
    """max(0, x)."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input):
        return F.relu(input, self.inplace)

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""


@layer
def Threshold(input, *, threshold, value, inplace=False):
    """x where it is above `threshold`, else `value`."""
    return F.threshold(input, threshold, value, inplace)


@layer
def RReLU(input, *, training, lower=1.0 / 8, upper=1.0 / 3, inplace=False):
    """x where positive, else a·x, with a drawn from [lower, upper) in training: Xu et al. (2015)."""
    return F.rrelu(input, lower, upper, training, inplace)


def _old_limits(values: dict):
    """`min_value` and `max_value` were Hardtanh's names once."""
    import warnings

    for old, new in (("min_value", "min_val"), ("max_value", "max_val")):
        value = values.pop(old)
        if value is not None:
            warnings.warn(f"keyword argument `{old}` is deprecated and rename to `{new}`", FutureWarning, stacklevel=4)
            values[new] = value
    if values["max_val"] <= values["min_val"]:
        raise AssertionError(f"max_val ({values['max_val']}) must be greater than min_val ({values['min_val']})")


class Hardtanh(Module):
    """x held between min_val and max_val."""

    def __init__(self, min_val=-1.0, max_val=1.0, inplace=False, min_value=None, max_value=None):
        super().__init__()
        values = {"min_val": min_val, "max_val": max_val, "min_value": min_value, "max_value": max_value}
        _old_limits(values)
        self.min_val, self.max_val, self.inplace = values["min_val"], values["max_val"], inplace

    def forward(self, input):
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self):
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class ReLU6(Hardtanh):
    """x held between 0 and 6."""

    def __init__(self, inplace: bool = False):
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""


@layer
def Sigmoid(input):
    """1 / (1 + exp(-x))."""
    return ops.sigmoid(input)


@layer(show="")
def Hardsigmoid(input, *, inplace=False):
    """Sigmoid in three straight pieces: 0 below -3, 1 above 3."""
    return F.hardsigmoid(input, inplace)


@layer
def Tanh(input):
    """tanh(x)."""
    return ops.tanh(input)


@layer
def SiLU(input, *, inplace=False):
    """x·sigmoid(x), also called swish: Elfwing et al. (2017)."""
    return F.silu(input, inplace)


@layer
def Mish(input, *, inplace=False):
    """x·tanh(softplus(x)): Misra (2019)."""
    return F.mish(input, inplace)


@layer(show="")
def Hardswish(input, *, inplace=False):
    """x·hardsigmoid(x): Howard et al. (2019)."""
    return F.hardswish(input, inplace)


@layer
def ELU(input, *, alpha=1.0, inplace=False):
    """x where positive, else alpha·(exp(x) - 1): Clevert et al. (2015)."""
    return F.elu(input, alpha, inplace)


@layer
def CELU(input, *, alpha=1.0, inplace=False):
    """x where positive, else alpha·(exp(x/alpha) - 1): Barron (2017)."""
    return F.celu(input, alpha, inplace)


@layer
def SELU(input, *, inplace=False):
    """ELU with the two constants that keep mean 0 and variance 1: Klambauer et al. (2017)."""
    return F.selu(input, inplace)


@layer
def GLU(input, *, dim=-1):
    """One half of the input along `dim` times the sigmoid of the other: Dauphin et al. (2016)."""
    return F.glu(input, dim)


@layer
def GELU(input, *, approximate="none"):
    """x times the normal distribution function, or (approximate="tanh") nearly: Hendrycks and Gimpel (2016)."""
    return F.gelu(input, approximate=approximate)


@layer(show="{lambd}")
def Hardshrink(input, *, lambd=0.5):
    """x where it is farther than `lambd` from 0, else 0."""
    return F.hardshrink(input, lambd)


@layer
def LeakyReLU(input, *, negative_slope=1e-2, inplace=False):
    """x where positive, else negative_slope·x: Maas et al. (2013)."""
    return F.leaky_relu(input, negative_slope, inplace)


@layer
def LogSigmoid(input):
    """log(sigmoid(x))."""
    return F.logsigmoid(input)


@layer
def Softplus(input, *, beta=1.0, threshold=20.0):
    """log(1 + exp(beta·x)) / beta; x itself where beta·x is above `threshold`."""
    return F.softplus(input, beta, threshold)


@layer(show="{lambd}")
def Softshrink(input, *, lambd=0.5):
    """x brought nearer to 0 by `lambd`, 0 where it would cross."""
    return F.softshrink(input, lambd)


@layer
def Softsign(input):
    """x / (1 + |x|)."""
    return F.softsign(input)


@layer
def Tanhshrink(input):
    """x - tanh(x)."""
    return F.tanhshrink(input)


@layer
def Softmin(input, *, dim=None):
    """Softmax of -x along `dim`."""
    return F.softmin(input, dim)


@layer
def Softmax(input, *, dim=None):
    """exp(x) along `dim`, divided by its sum."""
    return F.softmax(input, dim)


@layer
def Softmax2d(input):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""
    if input.ndim not in (3, 4):
        raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
    return F.softmax(input, -3)


@layer
def LogSoftmax(input, *, dim=None):
    """The logarithm of Softmax along `dim`."""
    return F.log_softmax(input, dim)


class PReLU(Module):
    """x where positive, else weight·x, with a weight that is learned, one or one per channel: He et al. (2015)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device=None, dtype=None):
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(ops.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self):
        """All weights `init` again."""
        init.constant_(self.weight, self.init)

    def forward(self, input):
        return F.prelu(input, self.weight)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"
