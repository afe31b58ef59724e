"""The gamma function's family: lgamma, digamma, polygamma, the Hurwitz zeta function, the incomplete gamma functions.

Methods: M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions" (1964), 6.1.40, 6.3.18, 6.5.29, 6.5.31 and
23.1.30.
Everything is computed in float64.
"""

import functools
import math

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.op import Op
from .arguments import known, need_tensor
from .pointwise import binary, inplace_of, unary

# B(2k) / (2k)!, k = 1, 2, ...: the coefficients of the Euler-Maclaurin formula
_BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330]
_SHIFT = 12  # from here on the asymptotic series reach double precision


def in_float64(function):
    """The function computed in float64 and rounded to its first array's dtype."""

    @functools.wraps(function)
    def forward(*arrays):
        kind = np.result_type(*[a for a in arrays if hasattr(a, "dtype") and a.dtype.kind == "f"] or [arrays[0]])
        wide = [a.astype(np.float64) if hasattr(a, "astype") and a.dtype != np.float64 else a for a in arrays]
        with np.errstate(all="ignore"):
            return np.asarray(function(*wide)).astype(kind, copy=False)

    return forward


def _shifted(x):
    """x + _SHIFT below _SHIFT, else x; and where it was shifted."""
    low = x < _SHIFT
    return np.where(low, x + _SHIFT, x), low


@known("lgamma_vml_cpu", "hf")
@in_float64
def log_gamma(x):
    """log |gamma(x)|: Stirling's series from 12 on, the recurrence below, the reflection formula below 0."""
    mirrored = np.where(x < 0.5, 1 - x, x)
    y, low = _shifted(mirrored)
    series = sum(b / (2 * k * (2 * k - 1) * y ** (2 * k - 1)) for k, b in enumerate(_BERNOULLI, 1))
    value = (y - 0.5) * np.log(y) - y + 0.5 * math.log(2 * math.pi) + series
    small = np.where(low, mirrored, 1.0)
    product = functools.reduce(np.multiply, [small + k for k in range(_SHIFT)])
    value = np.where(low, value - np.log(product), value)
    value = np.where(np.isposinf(x), np.inf, value)
    reflected = np.log(math.pi / np.abs(np.sin(math.pi * (x - np.floor(x))))) - value
    return np.where(x < 0.5, np.where((x <= 0) & (x == np.floor(x)), np.inf, reflected), value)


@known("digamma", "hf")
@in_float64
def _digamma(x):
    mirrored = np.where(x < 0, 1 - x, x)
    y, low = _shifted(mirrored)
    value = np.log(y) - 1 / (2 * y) - sum(b / (2 * k * y ** (2 * k)) for k, b in enumerate(_BERNOULLI, 1))
    small = np.where(low, mirrored, 1.0)
    value = np.where(low, value - sum(1 / (small + k) for k in range(_SHIFT)), value)
    value = np.where(x < 0, value - math.pi / np.tan(math.pi * (x - np.floor(x))), value)
    value = np.where((x < 0) & (x == np.floor(x)), np.nan, value)
    value = np.where(np.isposinf(x), np.inf, value)
    return np.where(x == 0, np.copysign(np.inf, -x), value)


def hurwitz_zeta(s, q):
    """sum of 1 / (q + k)^s over k >= 0, by the Euler-Maclaurin formula after 12 terms."""
    s, q = np.broadcast_arrays(s, q)
    n = _SHIFT
    value = sum((q + k) ** -s for k in range(n))
    a = q + n
    value = value + a ** (1 - s) / (s - 1) + 0.5 * a**-s
    term = s * a ** (-s - 1)
    for k, b in enumerate(_BERNOULLI, 1):
        value = value + b / math.factorial(2 * k) * term
        term = term * (s + 2 * k - 1) * (s + 2 * k) / (a * a)
    pole = (q <= 0) & (q == np.floor(q))
    value = np.where(pole, np.inf, np.where((q < 0) & (s != np.floor(s)), np.nan, value))
    return np.where(s == 1, np.inf, np.where(s < 1, np.nan, value))


def _polygamma(x, n):
    @in_float64
    def value(x):
        return (-1.0) ** (n + 1) * math.factorial(n) * hurwitz_zeta(np.float64(n + 1), x)

    return value(x)


lgamma = unary("lgamma", log_gamma, x=lambda g, x: g * digamma(x))
digamma = unary("digamma", _digamma, x=lambda g, x: g * polygamma(1, x))
_poly = Op("PolygammaBackward0", _polygamma, params=("x", "n"), x=lambda g, x, n: g * polygamma(n + 1, x))


def polygamma(n, input, *, out=None):
    """The n-th derivative of `digamma`."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n == 0:
        return digamma(input, out=out)
    x = input if input.dtype.is_floating_point else input.to(dtypes.get_default_dtype())
    return write(out, _poly(x, n))


polygamma.inplace = lambda self, n: inplace_of(lambda t: polygamma(n, t))(self)

zeta = binary(
    "zeta",
    known("zeta_cpu", "f")(in_float64(hurwitz_zeta)),
    floats=True,
    numbers="either",
    x=lambda g: _raise("zeta"),
    y=lambda g, x, y: g * -x * zeta(x + 1, y),
)


def mvlgamma(input, p, *, out=None):
    """The logarithm of the multivariate gamma function of dimension p."""
    need_tensor(input, "mvlgamma", "input", 1)
    if not (input.dtype.is_floating_point or not input.dtype.is_complex):
        raise RuntimeError("mvlgamma: The input must be real")
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    x = input if input.dtype.is_floating_point else input.to(dtypes.get_default_dtype())
    steps = [j / 2 for j in range(p)]
    value = p * (p - 1) * math.log(math.pi) / 4
    for step in steps:
        value = lgamma(x - step) + value
    return write(out, value)


# -- incomplete gamma functions ---------------------------------------------------------------------------------------
_MOST = 5000  # terms; both expansions need some sqrt(a) of them


def _lower_series(a, x, scale):
    term = 1 / a
    total = term.copy()
    n = a.copy()
    for _ in range(_MOST):
        n = n + 1
        term = term * x / n
        total = total + term
        if not (np.abs(term) > np.abs(total) * 1e-17).any():
            break
    return total * scale


def _upper_fraction(a, x, scale):
    """The continued fraction by W. Lentz's method."""
    tiny = 1e-300
    b = x + 1 - a
    c = np.full_like(x, 1 / tiny)
    d = 1 / np.where(b == 0, tiny, b)
    value = d.copy()
    for i in range(1, _MOST):
        an = -i * (i - a)
        b = b + 2
        d = an * d + b
        d = 1 / np.where(d == 0, tiny, d)
        c = b + an / c
        c = np.where(c == 0, tiny, c)
        step = d * c
        value = value * step
        if not (np.abs(step - 1) > 1e-16).any():
            break
    return value * scale


def _regularized(a, x, upper: bool):
    a, x = (np.array(v, np.float64) for v in np.broadcast_arrays(a, x))
    usual = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    by_series = usual & (x < a + 1)
    by_fraction = usual & ~by_series
    p, q = np.full(a.shape, np.nan), np.full(a.shape, np.nan)
    for where, expansion, first, second in ((by_series, _lower_series, p, q), (by_fraction, _upper_fraction, q, p)):
        if where.any():
            aa, xx = a[where], x[where]
            scale = np.exp(aa * np.log(xx) - xx - log_gamma(aa))
            first[where] = expansion(aa, xx, scale)
            second[where] = 1 - first[where]
    fine = (a >= 0) & (x >= 0)
    zero = fine & (((x == 0) & (a > 0)) | (np.isposinf(a) & np.isfinite(x)))
    one = fine & ((a == 0) & (x > 0) | (np.isposinf(x) & np.isfinite(a)))
    p = np.where(zero, 0, np.where(one, 1, p))
    q = np.where(zero, 1, np.where(one, 0, q))
    return q if upper else p


def _density(g, a, x):
    return g * ((a - 1) * x.log() - x - lgamma(a)).exp()


igamma = binary(
    "igamma",
    known("igamma_cpu", "hf")(in_float64(lambda a, x: _regularized(a, x, False))),
    x=lambda g: _raise("igamma: input"),
    y=lambda g, x, y: _density(g, x, y),
    numbers="none",
)
igammac = binary(
    "igammac",
    known("igammac_cpu", "hf")(in_float64(lambda a, x: _regularized(a, x, True))),
    x=lambda g: _raise("igammac: input"),
    y=lambda g, x, y: -_density(g, x, y),
    numbers="none",
)


def _raise(name: str):
    raise NotImplementedError(f"the derivative for '{name}' is not implemented.")


__all__ = ["digamma", "igamma", "igammac", "lgamma", "mvlgamma", "polygamma"]
