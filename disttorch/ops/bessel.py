"""Bessel functions of integer order.

J, Y and I of moderate arguments come from their integral representations by the trapezoidal rule, which converges
geometrically on a periodic integrand, K from one on the whole line (L. N. Trefethen, J. A. C. Weideman, "The
exponentially convergent trapezoidal rule", 2014); large arguments from Hankel's asymptotic series (A&S 9.2.5, 9.7.1,
9.7.2); Y from Neumann's series in J (A&S 9.1.88). Everything is computed in float64.
"""

import math

import numpy as np

from .arguments import known
from .gamma import in_float64
from .pointwise import unary

_LARGE = 25.0  # from here on the asymptotic series is exact to double precision
_POINTS = 128  # on the circle: exact for arguments below _LARGE
_ANGLES = 2 * np.pi * np.arange(_POINTS) / _POINTS
_EULER = 0.57721566490153286


def _hankel(n: int, x, sign: int):
    """The terms a_k(n) / x^k of the asymptotic series, with alternating (sign -1) or equal signs: their even and odd
    sums.
    """
    mu = 4.0 * n * n
    term = np.ones_like(x)
    even, odd = np.ones_like(x), np.zeros_like(x)
    for k in range(1, 30):
        term = term * (mu - (2 * k - 1) ** 2) / (k * 8.0 * x)
        turned = term * (sign ** (k // 2))
        if k % 2:
            odd = odd + turned
        else:
            even = even + turned
    return even, odd


def _moderate(x):
    return np.where(np.abs(x) < _LARGE, x, 0.0)


def _far(x):
    return np.where(np.abs(x) < _LARGE, _LARGE, np.abs(x))


def _j_series(x):
    """J_0 ... J_63 of |x| < _LARGE, in a new last dimension: Fourier coefficients of exp(i x sin t)."""
    return np.fft.fft(np.exp(1j * x[..., None] * np.sin(_ANGLES)), axis=-1).real[..., : _POINTS // 2] / _POINTS


def _j(n: int):
    @in_float64
    def value(x):
        x = np.asarray(x)
        near = np.mean(np.cos(n * _ANGLES - _moderate(x)[..., None] * np.sin(_ANGLES)), -1)
        far = _far(x)
        even, odd = _hankel(n, far, -1)
        phase = far - (n / 2 + 0.25) * math.pi
        tail = np.sqrt(2 / (math.pi * far)) * (even * np.cos(phase) - odd * np.sin(phase))
        tail = np.where(np.isinf(x), 0.0, tail * (np.sign(x) if n % 2 else 1))
        return np.where(np.abs(x) < _LARGE, near, np.where(np.isnan(x), x, tail))

    return value


def _y(n: int):
    @in_float64
    def value(x):
        x = np.asarray(x)
        near = np.where((x > 0) & (x < _LARGE), x, 1.0)
        j = _j_series(near)
        k = np.arange(1, 31 - n)
        if n == 0:
            rest = (4 / math.pi) * np.sum((-1.0) ** k / k * j[..., 2 * k], -1)
            head = (2 / math.pi) * (np.log(near / 2) + _EULER) * j[..., 0]
        else:
            rest = (2 / math.pi) * np.sum((-1.0) ** k * (1 + 2 * k) / (k * (k + 1)) * j[..., 2 * k + 1], -1)
            head = (2 / math.pi) * ((np.log(near / 2) + _EULER - 1) * j[..., 1] - j[..., 0] / near)
        far = _far(x)
        even, odd = _hankel(n, far, -1)
        phase = far - (n / 2 + 0.25) * math.pi
        tail = np.sqrt(2 / (math.pi * far)) * (even * np.sin(phase) + odd * np.cos(phase))
        result = np.where(x < _LARGE, head - rest, np.where(np.isposinf(x), 0.0, tail))
        return np.where(x == 0, -np.inf, np.where(x < 0, np.nan, np.where(np.isnan(x), x, result)))

    return value


def _i(n: int, scaled: bool):
    @in_float64
    def value(x):
        x = np.asarray(x)
        a = np.abs(x)
        near = np.minimum(a, _LARGE)
        result = np.mean(np.exp(near[..., None] * (np.cos(_ANGLES) - 1)) * np.cos(n * _ANGLES), -1)
        far = np.maximum(a, _LARGE)
        even, odd = _hankel(n, far, 1)
        result = np.where(a < _LARGE, result, (even - odd) / np.sqrt(2 * math.pi * far))
        result = np.where(np.isinf(a), 0.0, result)
        if not scaled:
            result = np.where(np.isinf(a), np.inf, result * np.exp(a))
        return np.where(np.isnan(x), x, result * (np.sign(x) if n % 2 else 1))

    return value


def _k(n: int, scaled: bool):
    steps = 160

    @in_float64
    def value(x):
        x = np.asarray(x)
        near = np.clip(np.where(x > 0, x, 1.0), 1e-300, _LARGE)
        top = np.arccosh(1 + 750 / near)  # where the integrand vanishes
        h = top / steps
        t = h[..., None] * np.arange(steps + 1)
        weights = np.ones(steps + 1)
        weights[0] = 0.5
        wide = np.minimum(t, 350 if n else 700)
        integrand = np.exp(-near[..., None] * (np.cosh(wide) - 1)) * np.cosh(n * wide)
        result = h * np.sum(integrand * weights, -1)
        far = np.maximum(x, _LARGE)
        even, odd = _hankel(n, far, 1)
        result = np.where(x < _LARGE, result, np.sqrt(math.pi / (2 * far)) * (even + odd))
        result = np.where(np.isposinf(x), 0.0, result)
        if not scaled:
            result = result * np.exp(-np.where(x > 0, x, 0.0))
        return np.where(x == 0, np.inf, np.where(x < 0, np.nan, np.where(np.isnan(x), x, result)))

    return value


def without_gradient(name: str, function):
    """The function of a tensor; no gradient flows through it."""
    return unary(f"special_{name}", known(f"{name}_cpu", "f")(function), result=True)


i0 = unary("i0", known("i0_vml_cpu", "hf")(_i(0, False)), x=lambda g, x: g * i1(x))
i0e = unary("i0e", known("i0e_cpu", "hf")(_i(0, True)), x=lambda g, x, out: g * (i1e(x) - x.sgn() * out))
i1 = unary("i1", known("i1_cpu", "hf")(_i(1, False)), x=lambda g, x, out: g * (i0(x) - _over(out, x)))
i1e = unary(
    "i1e", known("i1e_cpu", "hf")(_i(1, True)), x=lambda g, x, out: g * (i0e(x) - out * x.sgn() - _over(out, x))
)


def _over(out, x):
    """out / x, and 1/2 at 0, where I_1(x) is x / 2."""
    return (out / x).masked_fill(x == 0, 0.5)


bessel_j0 = without_gradient("bessel_j0", _j(0))
bessel_j1 = without_gradient("bessel_j1", _j(1))
bessel_y0 = without_gradient("bessel_y0", _y(0))
bessel_y1 = without_gradient("bessel_y1", _y(1))
modified_bessel_i0 = without_gradient("modified_bessel_i0", _i(0, False))
modified_bessel_i1 = without_gradient("modified_bessel_i1", _i(1, False))
modified_bessel_k0 = without_gradient("modified_bessel_k0", _k(0, False))
modified_bessel_k1 = without_gradient("modified_bessel_k1", _k(1, False))
scaled_modified_bessel_k0 = without_gradient("scaled_modified_bessel_k0", _k(0, True))
scaled_modified_bessel_k1 = without_gradient("scaled_modified_bessel_k1", _k(1, True))


@in_float64
def _spherical_j0(x):
    x = np.asarray(x)
    return np.where(
        np.isinf(x), 0.0, np.where(np.abs(x) < 0.5, np.sinc(x / math.pi), np.sin(x) / np.where(x == 0, 1, x))
    )


spherical_bessel_j0 = without_gradient("spherical_bessel_j0", _spherical_j0)

__all__ = ["i0"]
