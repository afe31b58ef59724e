"""Arithmetic of two tensors, element by element, with broadcasting; sums are in sums.py."""

import functools

import numpy as np

from ..autograd.op import Op
from ..autograd.variable import Tensor
from ..dtypes import COMPLEX
from ..kernels.portable import remainders
from ..kernels.portable.precision import in_float32, is_narrow
from .arguments import fitting, known
from .comparison import where
from .pointwise import (
    binary,
    check_operands,
    hushed,
    inplace_of,
    no_gradient,
    result_dtype,
)

mul = binary("mul", np.multiply, numbers="any", once=True, x=lambda g, y: g * conj(y), y=lambda g, x: g * conj(x))
_true_div = binary(
    "div",
    hushed(np.true_divide),
    floats=True,
    numbers="any",
    once=True,
    x=lambda g, y: g / conj(y),
    y=lambda g, x, y: -g * conj((x / y) / y),
)


def conj(x):
    """The complex conjugate of a tensor or number; a real one is returned as it is."""
    return (
        x.conj()
        if isinstance(x, Tensor) and x._data.dtype.kind == "c"
        else x.conjugate()
        if isinstance(x, complex)
        else x
    )


def div(input, other, *, rounding_mode=None, out=None):
    """input / other; rounding_mode None (true division), "trunc" (towards zero) or "floor"."""
    if rounding_mode is None:
        return _true_div(input, other, out=out)
    if rounding_mode == "floor":
        return floor_divide(input, other, out=out)
    if rounding_mode == "trunc":
        return _trunc_div(input, other, out=out)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


div.inplace = lambda self, other, *, rounding_mode=None: (
    _true_div.inplace(self, other)
    if rounding_mode is None
    else inplace_of(div)(self, other, rounding_mode=rounding_mode)
)


def _whole_division(function):
    """Division of integers by zero is an error, as in PyTorch; 16-bit floats meet a single divisor in float32."""
    wide = in_float32(function)

    def divide(a, b):
        kind = np.result_type(a, b)
        if kind.kind in "iu" and not np.all(b):
            raise RuntimeError("ZeroDivisionError")
        return (wide if kind.itemsize == 2 and np.size(b) == 1 else function)(a, b)

    return hushed(divide)


@_whole_division
def _truncated(a, b):
    if np.result_type(a, b).kind in "iub":
        q = np.floor_divide(a, b)
        return q + ((q < 0) & (q * b != a))
    return np.trunc(np.true_divide(a, b))


@_whole_division
def _floored(a, b):
    kind = np.result_type(a, b)
    if kind.kind in "iub":
        return np.floor_divide(a, b)
    if kind.itemsize == 2:
        return _floored_in_steps(a, b)
    # x // 0 is x / 0 in PyTorch, and a quotient just below a whole number is rounded from the exact remainder
    q = np.floor_divide(a, b)
    return np.where(np.equal(b, 0), np.true_divide(a, b), q).astype(kind, copy=False)


def _floored_in_steps(a, b):
    """The same for 16-bit floats, which PyTorch rounds at each step where there are several divisors."""
    rest, quotient = np.fmod(a, b), a / b
    exact = (a - rest) / b
    exact = exact - ((rest != 0) & ((b < 0) != (rest < 0))).astype(exact.dtype)
    whole = np.floor(exact)
    whole = whole + (exact - whole > 0.5).astype(whole.dtype)
    whole = np.where(exact == 0, np.copysign(np.zeros_like(quotient), quotient), whole)
    return np.where(b == 0, quotient, whole)


_trunc_div = binary(
    "div",
    known("div_trunc_cpu", "ihf")(_truncated),
    node="DivBackward1",
    x=no_gradient,
    y=no_gradient,
    once=True,
)
floor_divide = binary(
    "floor_divide",
    known("div_floor_cpu", "ihf")(_floored),
    node="NotImplemented",
    x=no_gradient,
    y=no_gradient,
    numbers="any",
    once=True,
)
remainder = binary(
    "remainder",
    known("remainder_cpu", "ihf")(_whole_division(remainders.remainder)),
    x=lambda g: g,
    y=lambda g, x, y: -g * div(x, y, rounding_mode="floor"),
    numbers="either",
)
fmod = binary(
    "fmod",
    known("fmod_cpu", "ihf")(_whole_division(remainders.fmod)),
    x=lambda g: g,
    y=lambda g, x, y: -g * div(x, y, rounding_mode="trunc"),
)


_ODD = 1 << 11  # integers up to it are exact in every floating type


@known("pow", "ihfc")
def _power(a, b):
    if np.result_type(a, b).kind == "i" and np.any(
        np.less(b, 0)
    ):  # integers to negative powers: what truncation leaves
        with np.errstate(all="ignore"):
            whole = np.power(a, np.maximum(b, 0))
            return np.where(b >= 0, whole, np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b % 2), 0))).astype(
                whole.dtype
            )
    if type(a) is np.ndarray and a.dtype.kind == "f" and type(b) in (int, float) and abs(b) < _ODD and b == int(b):
        return _whole_power(a, int(b))
    return np.power(a, b)


def _whole_power(a, n):
    """a ** n. NumPy's power takes fifty times as long for negative numbers as for positive ones."""
    if n == 3:
        return a * a * a
    size = np.power(np.abs(a), a.dtype.type(n))
    return np.copysign(size, a) if n % 2 else size


def _pow_x(g, x, y):
    if isinstance(y, Tensor):
        return g * conj((y * pow(x, y - 1)).masked_fill(y == 0, 0))
    if y == 0:
        return no_gradient(g)
    return g * conj(pow(x, y - 1) * y)


def _pow_y(g, x, y, out):
    if isinstance(x, Tensor):
        zero = (x == 0) & ((y.real if y.is_complex() else y) >= 0)
        return (
            g * conj(out * x.log().masked_fill(zero, 0))
            if x._data.dtype.kind == "c"
            else (g * (out * x.log()).masked_fill(zero, 0))
        )
    if x == 0:
        return no_gradient(g)
    return g * conj(out * _log_of(x))


def _log_of(number):
    import cmath

    value = cmath.log(number)
    return value if value.imag else value.real


_pow = binary("pow", hushed(_power), x=_pow_x, y=_pow_y, numbers="either")


def pow(input, exponent, *, out=None):
    """input ** exponent, elementwise; integers to negative integer powers are an error as in PyTorch."""
    if isinstance(input, Tensor) and type(exponent) in (int, float):
        kind = input._data.dtype.kind
        if kind in "iub" and isinstance(exponent, int) and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        if kind == "f" and out is None:
            if exponent == 2:
                return _square(input)
            if exponent == 0.5 and input._data.dtype.itemsize > 2:
                return input.sqrt()
        elif kind == "V" and out is None:
            if exponent == 3:
                return _cube(input)
            if exponent in (0.5, -0.5):
                return input.sqrt() if exponent > 0 else input.rsqrt()
        if not -65504 <= exponent <= 65504 and is_narrow(input._data.dtype):  # float16's largest
            fitting(exponent, input.dtype)
    return _pow(input, exponent, out=out)


pow.inplace = inplace_of(pow)
float_power = lambda input, exponent, *, out=None: pow(*_doubles(input, exponent), out=out)  # noqa: E731


def _doubles(*operands):
    from ..dtypes import complex128, float64

    to = complex128 if result_dtype(*operands).category == COMPLEX else float64
    return [o.to(to) if isinstance(o, Tensor) else o for o in operands]


_square = Op("PowBackward0", np.square, params=("x",), x=lambda g, x: g * (x * 2))
_cube = Op("PowBackward0", lambda x: x * x * x, x=lambda g, x: g * (x * x * 3))  # of bfloat16: rounded twice


def _halves(g, x, y, worse):
    """One operand's part of the gradient: half of it where both are equal, all where either is NaN."""
    return where(x == y, g / 2, g).masked_fill(worse, 0)


def _ordered(name, ufunc):
    """`ufunc`, or PyTorch's error for complex numbers, to which NumPy gives an order."""

    @functools.wraps(ufunc)
    def function(a, b, **settings):
        if a.dtype.kind == "c":
            raise RuntimeError(f"{name} not implemented for complex tensors.")
        return ufunc(a, b, **settings)

    return function


maximum = binary(
    "maximum",
    _ordered("maximum", np.maximum),
    x=lambda g, x, y: _halves(g, x, y, x < y),
    y=lambda g, x, y: _halves(g, x, y, y < x),
    numbers="none",
)
minimum = binary(
    "minimum",
    _ordered("minimum", np.minimum),
    x=lambda g, x, y: _halves(g, x, y, x > y),
    y=lambda g, x, y: _halves(g, x, y, y > x),
    numbers="none",
)
fmax = binary(
    "fmax",
    _ordered("fmax", np.fmax),
    x=lambda g, x, y: where((x >= y) | (y != y), g, 0),
    y=lambda g, x, y: g.masked_fill((x >= y) | (y != y), 0),
    numbers="none",
)
fmin = binary(
    "fmin",
    _ordered("fmin", np.fmin),
    x=lambda g, x, y: where((x <= y) | (y != y), g, 0),
    y=lambda g, x, y: g.masked_fill((x <= y) | (y != y), 0),
    numbers="none",
)


def _inverse_square(x, y):
    """1 / (x^2 + y^2), and 0 where both are."""
    square = x * x + y * y
    return square.reciprocal().masked_fill(square == 0, 0)


atan2 = binary(
    "atan2",
    np.arctan2,
    floats=True,
    x=lambda g, x, y: g * (y * _inverse_square(x, y)),
    y=lambda g, x, y: g * (-x * _inverse_square(x, y)),
    numbers="none",
)
hypot = binary(
    "hypot",
    known("hypot_cpu", "hf")(np.hypot),
    x=lambda g, x, out: g * (x / out),
    y=lambda g, y, out: g * (y / out),
    numbers="none",
)
copysign = binary(
    "copysign",
    np.copysign,
    floats=True,
    x=lambda g, x, out: g * (out / x).masked_fill(x == 0, 0),
    y=no_gradient,
)
nextafter = binary(
    "nextafter",
    known("nextafter_cpu", "hf")(np.nextafter),
    node="NextafterBackward0",
    x=lambda g, x, y: g * (x != y),
    y=no_gradient,
    numbers="none",
)


@hushed
def log_of_sum(a, b):
    """log(exp(a) + exp(b)), without overflow."""
    if a.dtype.kind != "c":
        return np.logaddexp(a, b)
    top, low = np.where(a.real >= b.real, (a, b), (b, a))
    return top + np.log1p(np.exp(low - top))


logaddexp = binary(
    "logaddexp",
    known("logaddexp_cpu", "hfc")(log_of_sum),
    x=lambda g, x, y: g / conj(1 + (y - x).exp()),
    y=lambda g, x, y: g / conj(1 + (x - y).exp()),
    numbers="none",
)
logaddexp2 = binary(
    "logaddexp2",
    known("logaddexp2_cpu", "hf")(hushed(np.logaddexp2)),
    x=lambda g, x, y: g / (1 + (y - x).exp2()),
    y=lambda g, x, y: g / (1 + (x - y).exp2()),
    numbers="none",
)
_step = binary(
    "heaviside",
    lambda x, y: np.where(x == 0, y, (x > 0).astype(x.dtype)),
    x=no_gradient,
    y=lambda g, x: g.masked_fill(x != 0, 0),
    numbers="none",
)


def heaviside(input, values, *, out=None):
    """0 below 0 (and for NaN), 1 above, and `values`, of the same dtype, at 0."""
    check_operands("heaviside", input, values, "none")
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return _step(input, values, out=out)


gcd = binary("gcd", np.gcd, x=lambda g: g, y=lambda g: g, result=True, numbers="none")
lcm = binary("lcm", np.lcm, x=lambda g: g, y=lambda g: g, result=True, numbers="none")


def times_log(log):
    """A function of two arrays: a * log(b), which is 0 where a is."""

    def forward(a, b):
        b = np.asarray(b, a.dtype)  # it may be a number
        value = a * log(b)
        return np.where(np.isnan(b), b, np.where(a == 0, np.zeros_like(value), value))

    return hushed(forward)


xlogy = binary(
    "xlogy",
    known("xlogy_cpu", "hf")(times_log(np.log)),
    floats=True,
    numbers="either",
    x=lambda g, x, y: (
        g * _log_tensor(y).masked_fill((x == 0) & (y <= 0) if isinstance(x, Tensor) else (y <= 0) & (x == 0), 0)
    ),
    y=lambda g, x, y: g * (x / y),
)


def _log_tensor(y):
    return y.log() if isinstance(y, Tensor) else _log_of(y)


multiply, divide = mul, div
true_divide = lambda input, other, *, out=None: div(input, other, out=out)  # noqa: E731
arctan2 = atan2

__all__ = [
    "arctan2", "atan2", "conj", "copysign", "div", "divide", "float_power", "floor_divide", "fmax", "fmin", "fmod",
    "gcd", "heaviside", "hypot", "lcm", "logaddexp", "logaddexp2", "maximum", "minimum", "mul", "multiply",
    "nextafter", "pow", "remainder", "true_divide", "xlogy",
]  # fmt: skip
