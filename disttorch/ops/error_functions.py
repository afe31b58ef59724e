"""The error function's family: erf, erfc, their inverses, and the normal distribution's functions."""

import math

import numpy as np

from ..kernels import for_device
from ..kernels.portable.special import LARGE_P, LARGE_Q, MIDDLE_END, MIDDLE_P, MIDDLE_Q, SMALL_END, SMALL_P, SMALL_Q
from .arguments import known
from .arithmetic import times_log
from .gamma import in_float64
from .pointwise import binary, hushed, unary

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_2 = math.sqrt(2)


@known("erf_vml_cpu", "hf")
def _erf(a):
    a = np.asarray(a) if isinstance(a, np.generic) else a
    return for_device("cpu" if isinstance(a, np.ndarray) else "cuda").erf(a)


def _scaled_tail(a):
    """exp(a^2) erfc(a) for a >= 0, by Cody's rational functions (see kernels.portable.special)."""
    inner = np.minimum(a, SMALL_END)
    small = np.exp(inner * inner) * (
        1 - inner * np.polyval(SMALL_P, inner * inner) / np.polyval(SMALL_Q, inner * inner)
    )
    middle = np.clip(a, SMALL_END, MIDDLE_END)
    value = np.polyval(MIDDLE_P, middle) / np.polyval(MIDDLE_Q, middle)
    outer = np.maximum(a, MIDDLE_END)
    z = 1 / (outer * outer)
    far = (1 / math.sqrt(math.pi) - z * np.polyval(LARGE_P, z) / np.polyval(LARGE_Q, z)) / outer
    return np.where(a <= SMALL_END, small, np.where(a <= MIDDLE_END, value, far))


@known("erfc_vml_cpu", "hf")
@in_float64
def _erfc(x):
    a = np.abs(x)
    tail = np.exp(-a * a) * _scaled_tail(a)
    return np.where(x < 0, 2 - tail, tail)


@known("erfcx_cpu", "f")
@in_float64
def _erfcx(x):
    tail = _scaled_tail(np.abs(x))
    return np.where(x < 0, 2 * np.exp(x * x) - tail, tail)


# M. Giles, "Approximating the erfinv function" (2010): a first guess, made exact by two steps of Halley's method.
_CENTRAL = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727,
    1.50140941,
)  # fmt: skip
_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406,
    2.83297682,
)  # fmt: skip


@known("erfinv_vml_cpu", "hf")
@in_float64
def _erfinv(y):
    w = -np.log((1 - y) * (1 + y))
    x = y * np.where(w < 5, np.polyval(_CENTRAL, w - 2.5), np.polyval(_TAIL, np.sqrt(np.maximum(w, 5)) - 3))
    x = np.where(np.abs(y) < 1, x, 0)
    for _ in range(2):
        # near 1 the difference is taken of erfc, which keeps its digits there
        error = np.where(np.abs(y) < 0.5, _erf(x) - y, np.copysign(1, y) * ((1 - np.abs(y)) - _erfc(np.abs(x))))
        u = error / (_TWO_OVER_ROOT_PI * np.exp(-x * x))
        x = x - u / (1 + x * u)
    return np.where(np.abs(y) == 1, np.copysign(np.inf, y), np.where(np.abs(y) > 1, np.nan, x))


@known("ndtri_cpu", "f")
@in_float64
def _ndtri(p):
    """The normal distribution's inverse; tails by Newton's method on log_ndtr."""
    small = np.minimum(p, 1 - p)
    x = _ROOT_2 * _erfinv(np.clip(2 * p - 1, -1, 1))
    tail = (small < 1e-3) & (small > 0)
    if tail.any():
        target = np.log(np.where(tail, np.where(p < 0.5, p, 1 - p), 0.5))
        t = np.where(tail, -np.sqrt(-2 * target), 0.0)
        for _ in range(8):
            value = _log_ndtr(t)
            slope = np.exp(-0.5 * t * t - value) / math.sqrt(2 * math.pi)
            t = np.where(tail, t - (value - target) / slope, 0.0)
        x = np.where(tail, np.where(p < 0.5, t, -t), x)
    x = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, x))
    return np.where((p < 0) | (p > 1), np.nan, x)


@known("log_ndtr_cpu", "f")
@in_float64
def _log_ndtr(x):
    low = np.minimum(x, -1.0)
    tail = np.log(_erfcx(-low / _ROOT_2) / 2) - low * low / 2
    return np.where(x < -1, tail, np.log1p(-_erfc(np.maximum(x, -1.0) / _ROOT_2) / 2))


@known("erf_vml_cpu", "hf")
@in_float64
def _ndtr(x):
    return _erfc(-x / _ROOT_2) / 2


def _bell(x):
    return (x * x * -0.5).exp() / math.sqrt(2 * math.pi)


erf = unary("erf", _erf, x=lambda g, x: g * (-(x * x)).exp() * _TWO_OVER_ROOT_PI)
erfc = unary("erfc", _erfc, x=lambda g, x: g * (-(x * x)).exp() * -_TWO_OVER_ROOT_PI)
erfcx = unary("erfcx", _erfcx, x=lambda g, x, out: g * (x * out * 2 - _TWO_OVER_ROOT_PI))
erfinv = unary("erfinv", _erfinv, x=lambda g, out: g * (out * out).exp() * (math.sqrt(math.pi) / 2))
ndtr = unary("ndtr", _ndtr, x=lambda g, x: g * _bell(x))
ndtri = unary("ndtri", _ndtri, x=lambda g, out: g / _bell(out))
log_ndtr = unary("log_ndtr", _log_ndtr, x=lambda g, x: g / erfcx(x / -_ROOT_2) * math.sqrt(2 / math.pi))


@known("entr_cpu", "hf")
@hushed
def _entropy(x):
    return np.where(
        np.isnan(x), x, np.where(x > 0, -x * np.log(np.where(x > 0, x, 1)), np.where(x == 0, 0, -np.inf))
    ).astype(x.dtype)


entr = unary("entr", _entropy, x=lambda g, x: g * (-(x.log()) - 1))


xlog1py = binary(
    "xlog1py",
    known("xlog1py_cpu", "hf")(times_log(np.log1p)),
    floats=True,
    numbers="either",
    x=lambda g, x, y: g * _log1p(y).masked_fill((x == 0) & (y <= -1), 0) if hasattr(y, "log1p") else g * _log1p(y),
    y=lambda g, x, y: g * (x / (y + 1)),
)


def _log1p(y):
    return y.log1p() if hasattr(y, "log1p") else math.log1p(y)


__all__ = ["erf", "erfc", "erfinv"]
