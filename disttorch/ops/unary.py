"""Functions of one tensor, element by element: each with its gradient beside it."""

import math

import numpy as np

from ..autograd.inplace import write
from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import wrap
from ..dtypes import FROM_NUMPY, SCALAR_NAMES, bool_, finfo, int64
from ..kernels.portable.precision import in_float32
from .arguments import known, need_tensor
from .arithmetic import conj
from .comparison import bits
from .fused import fused
from .matmul import kernels_of
from .named import named
from .pointwise import check_operands, hushed, no_gradient, unary


def _negative(a):
    if a.dtype.kind == "b":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
            "the `~` or `logical_not()` operator instead."
        )
    return np.negative(a)


neg = unary("neg", _negative, floats=False, x=lambda g: -g)
exp = unary("exp", hushed(np.exp), x=lambda g, out: g * conj(out))
exp2 = unary("exp2", hushed(np.exp2), x=lambda g, out: g * conj(out) * math.log(2))
expm1 = unary("expm1", hushed(np.expm1), x=lambda g, out: g * conj(out + 1))
log = unary("log", hushed(np.log), x=lambda g, x: g / conj(x))
log2 = unary("log2", hushed(np.log2), x=lambda g, x: g / conj(x * math.log(2)))
log10 = unary("log10", hushed(np.log10), x=lambda g, x: g / conj(x * math.log(10)))
log1p = unary("log1p", hushed(np.log1p), x=lambda g, x: g / conj(x + 1))
sqrt = unary("sqrt", hushed(np.sqrt), x=lambda g, out: g / conj(out * 2))
_rsqrt = in_float32(lambda a: 1 / np.sqrt(a))
rsqrt = unary(
    "rsqrt",
    hushed(lambda a: 1 / np.sqrt(a) if a.itemsize > 2 else _rsqrt(a)),
    x=lambda g, out: g * conj(out * out * out) * -0.5,
)
reciprocal = unary("reciprocal", hushed(lambda a: 1 / a), x=lambda g, out: -g * conj(out * out))
square = unary(
    "square",
    lambda a: np.square(a.astype(np.int64) if a.dtype.kind == "b" else a),
    floats=False,
    node="PowBackward0",
    x=lambda g, x: g * conj(x * 2),
)

sin = unary("sin", hushed(np.sin), x=lambda g, x: g * conj(cos(x)))
cos = unary("cos", hushed(np.cos), x=lambda g, x: -g * conj(sin(x)))
tan = unary("tan", hushed(np.tan), x=lambda g, out: g * conj(out * out + 1))
asin = unary("asin", hushed(np.arcsin), x=lambda g, x: g * conj(rsqrt(1 - x * x)))
acos = unary("acos", hushed(np.arccos), x=lambda g, x: -g * conj(rsqrt(1 - x * x)))
atan = unary("atan", hushed(np.arctan), x=lambda g, x: g / conj(x * x + 1))
sinh = unary("sinh", hushed(np.sinh), x=lambda g, x: g * conj(cosh(x)))
cosh = unary("cosh", hushed(np.cosh), x=lambda g, x: g * conj(sinh(x)))


def _tanh_gradient(g, out):
    if not mode.grad and not out.is_complex():
        return fused("tanh_backward", g, out)
    return g * conj(1 - out * out)


tanh = unary("tanh", hushed(np.tanh), x=_tanh_gradient)
asinh = unary("asinh", hushed(np.arcsinh), x=lambda g, x: g * conj(rsqrt(x * x + 1)))
acosh = unary(
    "acosh",
    hushed(np.arccosh),
    x=lambda g, x: g * conj(rsqrt(x * x - 1) if not x.is_complex() else 1 / (sqrt(x - 1) * sqrt(x + 1))),
)
atanh = unary("atanh", hushed(np.arctanh), x=lambda g, x: g / conj(1 - x * x))


@hushed
def _sinc(a):
    return np.sinc(a).astype(a.dtype, copy=False)


sinc = unary("sinc", _sinc, x=lambda g, x: (g * conj(_sinc_slope(x))).masked_fill(x == 0, 0))


def _sinc_slope(x):
    px = x * math.pi
    return ((cos(px) * px - sin(px)) / (px * x)).masked_fill(x == 0, 0)


_complex_sigmoid = hushed(lambda a: 1 / (1 + np.exp(-a)))


def _sigmoid(a):
    return _complex_sigmoid(a) if a.dtype.kind == "c" else kernels_of(a).sigmoid_forward(a)


def _sigmoid_gradient(g, out):
    if not mode.grad and not out.is_complex():
        return fused("sigmoid_backward", g, out)
    return g * conj(out * (1 - out))


sigmoid = expit = unary("sigmoid", _sigmoid, x=_sigmoid_gradient)
_logit = unary(
    "logit",
    known("logit_cpu", "hf")(hushed(lambda a: np.log(a / (1 - a)))),
    x=lambda g, x: g / (x * (1 - x)).masked_fill((x < 0) | (x > 1), math.nan),
)


def logit(input, eps=None, *, out=None):
    """log(x / (1 - x)), with x first clamped to [eps, 1 - eps] if eps is given."""
    need_tensor(input, "logit", "input", 1)
    return _logit(input if eps is None else input.clamp(eps, 1 - eps), out=out)


# -- sign and rounding ------------------------------------------------------------------------------------------------
abs = unary("abs", known("abs_cpu", "ihfc")(np.abs), floats=False, x=lambda g, x: g * sgn(x))


def _sign(a):
    """-1, 0 or 1; of NaN 0."""
    if a.dtype.kind == "c":
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."
        )
    return a.copy() if a.dtype.kind == "b" else np.subtract(a > 0, a < 0, dtype=np.int8).astype(a.dtype)


sign = unary("sign", _sign, floats=False, x=no_gradient)


@hushed
def _direction(a):
    if a.dtype.kind != "c":
        return _sign(a)
    size = np.abs(a)
    return np.where(size == 0, 0, a / size).astype(a.dtype)


def _sgn_gradient(g, x, out):
    if not x.is_complex():
        return no_gradient(g)
    size = abs(x)
    inner = (g * out.conj()).real
    return ((g - out * inner) / size).masked_fill(size == 0, 0)


sgn = unary("sgn", _direction, floats=False, x=_sgn_gradient)


def _whole(name, ufunc):
    def forward(a):
        if a.dtype.kind == "c":
            raise NotImplementedError(f"{name} is not supported for complex inputs")
        return a.copy() if a.dtype.kind in "iu" else ufunc(a)

    return unary(name, known(f"{name}_vml_cpu", "ihfc")(forward), floats=False, x=no_gradient)


floor, ceil = _whole("floor", np.floor), _whole("ceil", np.ceil)
trunc = fix = _whole("trunc", np.trunc)
frac = unary("frac", known("frac_cpu", "hf")(lambda a: a - np.trunc(a)), floats=False, x=lambda g: g)
_round = unary(
    "round",
    known("round_vml_cpu", "ihf")(lambda a: a.copy() if a.dtype.kind in "iu" else np.rint(a)),
    floats=False,
    x=no_gradient,
)


def round(input, *, decimals=0, out=None):
    """Rounded to the nearest whole number (halves to even), or to `decimals` digits."""
    if decimals == 0:
        return _round(input, out=out)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"round_cpu\" not implemented for '{SCALAR_NAMES[input.dtype]}'")
    scale = 10.0**-decimals if decimals < 0 else 10.0**decimals
    return _round(input / scale) * scale if decimals < 0 else _round(input * scale) / scale


def positive(input):
    """The tensor itself; bool is refused."""
    need_tensor(input, "positive", "input", 1)
    if input.dtype is bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _real(text: str, function, error=RuntimeError):
    """A function of arrays that refuses complex ones with `text`."""

    def forward(a):
        if a.dtype.kind == "c":
            raise error(text)
        return function(a)

    return forward


def _turned(name: str, factor: float):
    wide = in_float32(lambda a: a * np.float32(factor))
    scale = _real(
        f"{name} is not supported for complex tensors.",
        lambda a: a * a.dtype.type(factor) if a.itemsize > 2 else wide(a),
    )
    return unary(name, scale, node=f"{name.title()}Backward0", x=lambda g: g * factor)


deg2rad, rad2deg = _turned("deg2rad", math.pi / 180), _turned("rad2deg", 180 / math.pi)
signbit = unary(
    "signbit",
    _real("signbit is not implemented for complex tensors.", np.signbit, NotImplementedError),
    floats=False,
    result=bool_,
)

# -- tests of an element ----------------------------------------------------------------------------------------------
isnan = unary("isnan", np.isnan, floats=False, result=bool_)
isinf = unary("isinf", np.isinf, floats=False, result=bool_)
isfinite = unary("isfinite", np.isfinite, floats=False, result=bool_)
isposinf, isneginf = (
    unary(
        name,
        _real(f"{name} does not support complex inputs.", lambda a, infinity=infinity: a == infinity),
        floats=False,
        result=bool_,
    )
    for name, infinity in (("isposinf", math.inf), ("isneginf", -math.inf))
)
isreal = unary("isreal", np.isreal, floats=False, result=bool_)
logical_not = unary("logical_not", np.logical_not, floats=False, result=bool_)
bitwise_not = unary("bitwise_not", bits("bitwise_not", np.bitwise_not), floats=False, result=int64)

# -- complex ----------------------------------------------------------------------------------------------------------
angle = unary(
    "angle",
    np.angle,
    x=lambda g, x: x * (g * 1j / x.abs().square()).masked_fill(x.abs() == 0, 0) if x.is_complex() else no_gradient(g),
)


def _nan_to_num(a, nan, posinf, neginf):
    if a.dtype.kind in "iub":
        return a.copy()
    limit = finfo(FROM_NUMPY[a.dtype])
    posinf, neginf = limit.max if posinf is None else posinf, limit.min if neginf is None else neginf
    if a.dtype.kind == "V":
        return _nan_to_num(a.astype(np.float32), nan, posinf, neginf).astype(a.dtype)
    if type(a) is np.ndarray and np.isfinite(a).all():  # many times as fast
        return a.copy()
    return np.nan_to_num(a, nan=nan or 0.0, posinf=posinf, neginf=neginf)


_replace = Op(
    "NanToNumBackward0", _nan_to_num, params=("x", "nan", "posinf", "neginf"), x=lambda g, x: g * x.isfinite()
)


def nan_to_num(input, nan=0.0, posinf=None, neginf=None, *, out=None):
    """NaN and infinities replaced (by default by 0 and the dtype's largest values)."""
    need_tensor(input, "nan_to_num", "input", 1)
    return write(out, _replace(input, nan, posinf, neginf), input)


def _scaled_back(grads, exponent):
    return grads[0] / wrap(np.ldexp(1.0, exponent).astype(grads[0]._data.dtype), grads[0].device)


_frexp = Op(
    "FrexpBackward0",
    lambda x: (*np.frexp(x), np.frexp(x)[1]),
    outputs=("mantissa", "power"),
    keeps=("exponent",),
    params=("x",),
    x=_scaled_back,
)


def frexp(input, *, out=None):
    """(mantissa, exponent) with input = mantissa * 2^exponent, 0.5 <= |mantissa| < 1."""
    need_tensor(input, "frexp", "input", 1)
    if not input.dtype.is_floating_point:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    made = _frexp(input)
    kind = named("frexp", "mantissa", "exponent")
    return kind(*made) if out is None else kind(*[write(o, t) for o, t in zip(out, made, strict=True)])


def ldexp(input, other, *, out=None):
    """input * 2^other."""
    check_operands("ldexp", input, other, "none")
    return write(out, input * 2.0**other)


# PyTorch's other names
absolute, negative = abs, neg
arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bitwise_not",
    "ceil",
    "cos",
    "cosh",
    "deg2rad",
    "exp",
    "exp2",
    "expit",
    "expm1",
    "fix",
    "floor",
    "frac",
    "frexp",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "ldexp",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_not",
    "logit",
    "nan_to_num",
    "neg",
    "negative",
    "positive",
    "rad2deg",
    "reciprocal",
    "round",
    "rsqrt",
    "sgn",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]  # fmt: skip
