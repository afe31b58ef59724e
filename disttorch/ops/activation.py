"""Activation functions: each with its gradient beside it."""

import functools
import math

import numpy as np

from .. import dtypes, random, sampling
from ..autograd.inplace import apply_inplace, assign, check_inplace
from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import Tensor, counter, wrap
from ..devices import scope
from ..kernels.portable.masking import chosen
from ..kernels.portable.precision import in_float32, is_narrow
from .arguments import need_floating, need_tensor, rounded
from .comparison import where
from .fused import fused
from .matmul import kernels_of
from .pointwise import hushed
from .unary import sigmoid, tanh


def _wide(forward):
    """Let `forward(x, *settings)` see 16-bit floats as float32 and round its result once."""
    forward = hushed(forward)

    def function(x, *settings):
        if is_narrow(x.dtype):
            return forward(x.astype(np.float32), *settings).astype(x.dtype)
        return forward(x, *settings).astype(x.dtype, copy=False)

    return function


def _op(node, settings, formula, x, kernel=None):
    """An Op of x and settings (a string of names) by a formula on arrays and, for its gradient, a rule on tensors.

    kernel: the name under which backends may have both in one pass (`eltwise_forward` and `eltwise_backward`).
    """
    formula = _wide(formula)
    forward, rule = (_by_kernel(kernel, formula), _rule_by_kernel(kernel, x)) if kernel else (formula, x)
    return Op(node, forward, params=("x", *settings.split()), x=rule)


def _by_kernel(name, formula):
    @in_float32
    def forward(x, *settings):
        y = kernels_of(x).eltwise_forward(name, x, *settings)
        return formula(x, *settings) if y is None else y

    return forward


def _rule_by_kernel(name, rule):
    @functools.wraps(rule)
    def by_kernel(g, x, *settings):
        if is_narrow(x._data.dtype):
            g, x = g.to(dtypes.float32), x.to(dtypes.float32)
        if not mode.grad and x.device.host:
            gx = kernels_of(x._data).eltwise_backward(name, g._data, x._data, *settings)
            if gx is not None:
                return wrap(gx, x.device)
        return rule(g, x, *settings)

    return by_kernel


# -- rectifiers -------------------------------------------------------------------------------------------------------
def _relu_rule(g, out):
    if not mode.grad:
        return fused("relu_backward", g, out)
    return g.masked_fill(out == 0, 0)


relu_op = Op("ReluBackward0", lambda x: kernels_of(x).relu_forward(x), x=_relu_rule)


def relu(input, inplace=False):
    """max(input, 0)."""
    if inplace:
        return relu_(input)
    if not isinstance(input, Tensor):
        need_tensor(input, "relu", "input", 1)
    if input._data.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return relu_op.of_one(input)


def relu_(input):
    """`relu` in place: nothing is allocated."""
    need_tensor(input, "relu_", "input", 1)
    check_inplace(input)
    if mode.grad and input._view is not None:
        return assign(input, relu_op(input))
    x = input._data
    if not x.flags.writeable:
        return assign(input, relu_op(input))
    kernels_of(x).relu_forward(x, x)
    counter(input)[0] += 1
    if mode.grad:
        relu_op.record((input,), (input,), ())
    return input


relu.inplace = relu_

_hardtanh = _op(
    "HardtanhBackward0",
    "low high",
    lambda x, low, high: np.clip(x, low, high),
    lambda g, x, low, high: where((x > low) & (x < high), g, 0),
    "hardtanh",
)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """The input clamped to [min_val, max_val]."""
    need_tensor(input, "hardtanh", "input", 1)
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    dtype = input._data.dtype
    if dtype.kind == "b":
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if dtype.kind == "u" and min_val < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    if dtype.itemsize == 2 and is_narrow(dtype):
        min_val, max_val = rounded(min_val, input.dtype), rounded(max_val, input.dtype)
    return apply_inplace(_hardtanh, input, (min_val, max_val)) if inplace else _hardtanh(input, min_val, max_val)


def relu6(input, inplace=False):
    """min(max(input, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


_leaky_relu = _op(
    "LeakyReluBackward0",
    "slope",
    lambda x, slope: chosen(x > 0, x, x * x.dtype.type(slope)),
    lambda g, x, slope: where(x > 0, g, g * slope),
    "leaky_relu",
)


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """x where positive, negative_slope * x elsewhere."""
    need_tensor(input, "leaky_relu", "input", 1)
    need_floating(input, "leaky_relu_cpu")
    negative_slope = float(negative_slope)
    return apply_inplace(_leaky_relu, input, (negative_slope,)) if inplace else _leaky_relu(input, negative_slope)


_rrelu = Op(
    "RreluWithNoiseBackward0",
    lambda x, slopes: chosen(x > 0, x, x * slopes),
    x=lambda g, x, slopes: where(x > 0, g, g * slopes),
)


def _drawn_slopes(input, lower, upper):
    """A slope for each element that is not positive, 1 for the others; numbers are drawn for the former only, as in
    PyTorch.
    """
    x = input._data
    with scope(input.device):
        below = x <= 0
        drawn = sampling.uniform(
            random.stream(None, input.device), (int(below.sum()),), np.dtype(np.float64), lower, upper
        )
        slopes = np.ones_like(x)
        slopes[below] = drawn.astype(x.dtype)
    return slopes


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """Leaky ReLU whose slope is drawn from [lower, upper) for each element in training, and is their mean otherwise."""
    need_tensor(input, "rrelu", "input", 1)
    need_floating(input, "rrelu_with_noise_cpu" if training else "leaky_relu_cpu")
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = wrap(_drawn_slopes(input, lower, upper), input.device)
    return apply_inplace(_rrelu, input, (slopes,)) if inplace else _rrelu(input, slopes)


_prelu = Op(
    "PreluKernelBackward0",
    lambda x, w: chosen(x > 0, x, x * w),
    x=lambda g, x, w: where(x > 0, g, g * w),
    w=lambda g, x: (x * g).masked_fill(x > 0, 0),
)


def prelu(input, weight):
    """x where positive, weight * x elsewhere; one weight, or one per channel (dimension 1)."""
    need_tensor(input, "prelu", "input", 1)
    need_tensor(weight, "prelu", "weight", 2)
    x, w = input._data, weight._data
    if input.dtype is not weight.dtype:
        names = [dtypes.SCALAR_NAMES[t.dtype] for t in (input, weight)]
        raise RuntimeError("prelu: Type promoting not supported. Got {} and {}".format(*names))
    if w.size != 1:
        if x.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = x.shape[1] if x.ndim > 1 else 1
        if channels != w.size:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {w.size} and "
                f"channel size = {channels}."
            )
    if w.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {w.ndim}")
    shape = (1, w.size, *(1,) * (x.ndim - 2)) if x.ndim > 1 else (1,) * x.ndim
    return _prelu(input, weight.reshape(shape))


def _threshold_forward(x, threshold, value):
    return chosen(x <= threshold, x.dtype.type(value), x)


_threshold = _op(
    "ThresholdBackward0",
    "threshold value",
    _threshold_forward,
    lambda g, x, threshold: g.masked_fill(x <= threshold, 0),
)


def threshold(input, threshold, value, inplace=False):
    """x where it is above `threshold`, `value` elsewhere."""
    need_tensor(input, "threshold", "input", 1)
    return apply_inplace(_threshold, input, (threshold, value)) if inplace else _threshold(input, threshold, value)


# -- exponential linear units -----------------------------------------------------------------------------------------
def _elu_forward(x, alpha, scale, inner):
    """One of the two summands is always 0, and choosing one would take longer."""
    y = np.minimum(x, 0, out=np.empty_like(x))
    y *= inner
    np.expm1(y, out=y)
    y *= alpha * scale
    y += np.maximum(x, 0) * x.dtype.type(scale)
    return y


_elu = _op(
    "EluBackward0",
    "alpha scale inner",
    _elu_forward,
    lambda g, x, alpha, scale, inner: where(
        x > 0, g * scale, g * (x.clamp(max=0) * inner).exp() * (alpha * scale * inner)
    ),
    "elu",
)
# Klambauer et al., "Self-Normalizing Neural Networks" (2017).
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def elu(input, alpha=1.0, inplace=False):
    """x where positive, alpha * (exp(x) - 1) elsewhere."""
    need_tensor(input, "elu", "input", 1)
    need_floating(input, "elu_cpu")
    return apply_inplace(_elu, input, (alpha, 1.0, 1.0)) if inplace else _elu(input, alpha, 1.0, 1.0)


def selu(input, inplace=False):
    """scale * elu(x, alpha) with the constants of self-normalising networks."""
    need_tensor(input, "selu", "input", 1)
    need_floating(input, "elu_cpu")
    args = (SELU_ALPHA, SELU_SCALE, 1.0)
    return apply_inplace(_elu, input, args) if inplace else _elu(input, *args)


def celu(input, alpha=1.0, inplace=False):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    need_tensor(input, "celu", "input", 1)
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    need_floating(input, "elu_cpu")
    args = (alpha, 1.0, 1.0 / alpha)
    return apply_inplace(_elu, input, args) if inplace else _elu(input, *args)


# -- smooth -----------------------------------------------------------------------------------------------------------
def _gelu_rule(g, x, approximate):
    if not mode.grad:
        return fused("gelu_backward", g, x, approximate)
    if approximate == "tanh":
        scale, cube = math.sqrt(2 / math.pi), 0.044715
        t = tanh((x + x * x * x * cube) * scale)
        return g * ((1 + t) * 0.5 + x * (1 - t * t) * (1 + x * x * (3 * cube)) * (0.5 * scale))
    return g * ((1 + (x * math.sqrt(0.5)).erf()) * 0.5 + x * (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi)))


_gelu = Op("GeluBackward0", lambda x, approximate: kernels_of(x).gelu_forward(x, approximate), x=_gelu_rule)


def gelu(input, *, approximate="none"):
    """x * Phi(x), Phi the normal distribution; "tanh": by its approximation (Hendrycks and Gimpel, 2016)."""
    need_tensor(input, "gelu", "input", 1)
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    need_floating(input, "GeluKernelImpl")
    return _gelu(input, approximate)


def _silu_rule(g, x):
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


_silu = _op("SiluBackward0", "", lambda x: x / (1 + np.exp(-x)), _silu_rule, "silu")


def _silu_complex(x):
    return x * sigmoid(x)


def silu(input, inplace=False):
    """x * sigmoid(x)."""
    need_tensor(input, "silu", "input", 1)
    if input._data.dtype.kind == "c":
        return apply_inplace(_silu_complex, input) if inplace else _silu_complex(input)
    need_floating(input, "silu_cpu")
    return apply_inplace(_silu, input) if inplace else _silu(input)


def _softplus_array(x):
    y = np.abs(x, out=np.empty_like(x))
    np.negative(y, out=y)
    np.exp(y, out=y)
    np.log1p(y, out=y)
    y += np.maximum(x, 0)
    return y


def _mish_rule(g, x):
    t, s = tanh(softplus(x)), sigmoid(x)
    return g * (t + x * s * (1 - t * t))


_mish = _op("MishBackward0", "", lambda x: x * np.tanh(_softplus_array(x)), _mish_rule, "mish")


def mish(input, inplace=False):
    """x * tanh(softplus(x))."""
    need_tensor(input, "mish", "input", 1)
    need_floating(input, "mish_cpu")
    return apply_inplace(_mish, input) if inplace else _mish(input)


def _softplus_forward(x, beta, threshold):
    scaled = x * x.dtype.type(beta)
    y = _softplus_array(scaled)
    y /= x.dtype.type(beta)
    if threshold * np.finfo(x.dtype).eps / 2 > math.exp(-threshold):
        return y  # which is x from there on
    return chosen(scaled > threshold, x, y)


_softplus = _op(
    "SoftplusBackward0",
    "beta threshold",
    _softplus_forward,
    lambda g, x, beta, threshold: where(x * beta > threshold, g, g * sigmoid(x * beta)),
    "softplus",
)


def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x is above `threshold`."""
    need_tensor(input, "softplus", "input", 1)
    need_floating(input, "softplus_cpu")
    return _softplus(input, beta, threshold)


_log_sigmoid = _op(
    "LogSigmoidBackward0", "", lambda x: -_softplus_array(-x), lambda g, x: g * sigmoid(-x), "log_sigmoid"
)


def logsigmoid(input):
    """log(sigmoid(x))."""
    need_tensor(input, "log_sigmoid", "input", 1)
    need_floating(input, "log_sigmoid_cpu")
    return _log_sigmoid(input)


def softsign(input):
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def tanhshrink(input):
    """x - tanh(x)."""
    return input - input.tanh()


# -- piecewise linear -------------------------------------------------------------------------------------------------
_hardsigmoid = _op(
    "HardsigmoidBackward0",
    "",
    lambda x: np.clip(x + 3, 0, 6) / 6,
    lambda g, x: where((x > -3) & (x < 3), g / 6, 0),
    "hardsigmoid",
)


def hardsigmoid(input, inplace=False):
    """min(max(x + 3, 0), 6) / 6."""
    need_tensor(input, "hardsigmoid", "input", 1)
    need_floating(input, "hardsigmoid_cpu")
    return apply_inplace(_hardsigmoid, input) if inplace else _hardsigmoid(input)


def _hardswish_rule(g, x):
    return where(x <= -3, 0, where(x >= 3, g, g * (x / 3 + 0.5)))


_hardswish = _op("HardswishBackward0", "", lambda x: x * np.clip(x + 3, 0, 6) / 6, _hardswish_rule, "hardswish")


def hardswish(input, inplace=False):
    """x * min(max(x + 3, 0), 6) / 6."""
    need_tensor(input, "hardswish", "input", 1)
    need_floating(input, "hardswish_cpu")
    return apply_inplace(_hardswish, input) if inplace else _hardswish(input)


_hardshrink = _op(
    "HardshrinkBackward0",
    "lambd",
    lambda x, lambd: chosen((x >= -lambd) & (x <= lambd), x.dtype.type(0), x),
    lambda g, x, lambd: where((x < -lambd) | (x > lambd), g, 0),
)


def hardshrink(input, lambd=0.5):
    """x where |x| > lambd, 0 elsewhere."""
    need_tensor(input, "hardshrink", "input", 1)
    need_floating(input, "hardshrink_cpu")
    if input.dtype.itemsize == 2:
        lambd = rounded(lambd, input.dtype)
    return _hardshrink(input, lambd)


_softshrink = _op(
    "SoftshrinkBackward0",
    "lambd",
    lambda x, lambd: chosen(x > lambd, x - x.dtype.type(lambd), chosen(x < -lambd, x + x.dtype.type(lambd), x * 0)),
    lambda g, x, lambd: where((x < -lambd) | (x > lambd), g, 0),
)


def softshrink(input, lambd=0.5):
    """x moved towards 0 by lambd, 0 where |x| <= lambd."""
    need_tensor(input, "softshrink", "input", 1)
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    need_floating(input, "softshrink_cpu")
    return _softshrink(input, lambd)


# -- gates ------------------------------------------------------------------------------------------------------------
def glu(input, dim=-1):
    """a * sigmoid(b), a and b the halves of the input along `dim`."""
    need_tensor(input, "glu", "input", 1)
    if input._data.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    from .dims import axis

    d = axis(dim, input._data.ndim)
    size = input._data.shape[d]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {d} is size {size}")
    need_floating(input, "glu_cpu")
    return input.narrow(d, 0, size // 2) * sigmoid(input.narrow(d, size // 2, size // 2))


def _in_place_form(function):
    def method(input, *args, **kwargs):
        return function(input, *args, inplace=True, **kwargs)

    method.__name__ = method.__qualname__ = function.__name__ + "_"
    method.__doc__ = f"`{function.__name__}` in place."
    function.inplace = method
    return method


celu_, elu_, hardtanh_, leaky_relu_, rrelu_, selu_, threshold_ = (
    _in_place_form(f) for f in (celu, elu, hardtanh, leaky_relu, rrelu, selu, threshold)
)

__all__ = [
    "celu", "celu_", "hardshrink", "prelu", "relu", "relu_", "rrelu", "rrelu_", "selu", "selu_", "threshold",
    "threshold_",
]  # fmt: skip
