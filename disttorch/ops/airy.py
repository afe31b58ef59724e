"""Airy's function Ai, from its contour integral by the trapezoidal rule.

Ai(x) = 1/(2 pi) int exp(i (t^3 / 3 + x t)) dt along t = s + i h, on which the integrand falls like exp(-h s^2); with
h = sqrt(x) the line passes through the saddle point, and nothing cancels. The rule converges geometrically
(L. N. Trefethen, J. A. C. Weideman, 2014). Far on the negative side the asymptotic series takes over (A&S 10.4.60).
"""

import math

import numpy as np

from .bessel import without_gradient
from .gamma import in_float64

_FAR = -10.0
_STEP = 0.1
_POINTS = _STEP * np.arange(130)
_UNDERFLOW = 110.0  # Ai is 0 in double precision beyond 103.9


def _series() -> list[float]:
    """u_k of the asymptotic series: (6k - 5)(6k - 3)(6k - 1) / (216 k (2k - 1)) u_(k-1)."""
    u = [1.0]
    for k in range(1, 20):
        u.append(u[-1] * (6 * k - 5) * (6 * k - 3) * (6 * k - 1) / (216 * k * (2 * k - 1)))
    return u


_TERMS = _series()


def _oscillating(x):
    """Ai for x < _FAR."""
    zeta = 2 / 3 * (-x) ** 1.5
    cosine = sum((-1) ** k * _TERMS[2 * k] / zeta ** (2 * k) for k in range(10))
    sine = sum((-1) ** k * _TERMS[2 * k + 1] / zeta ** (2 * k + 1) for k in range(10))
    phase = zeta - math.pi / 4
    return (np.cos(phase) * cosine + np.sin(phase) * sine) / (math.sqrt(math.pi) * (-x) ** 0.25)


def _contour(x):
    height = np.sqrt(np.clip(x, 0.25, None))[..., None]
    t = _POINTS + 1j * height
    values = np.exp(1j * (t**3 / 3 + x[..., None] * t)).real
    values[..., 0] /= 2  # both halves of the line give the same
    return values.sum(-1) * _STEP / math.pi


@in_float64
def _airy_ai(x):
    x = np.asarray(x)
    near = _contour(np.clip(x, _FAR, _UNDERFLOW))
    value = np.where(x < _FAR, _oscillating(np.minimum(x, _FAR)), np.where(x > _UNDERFLOW, 0.0, near))
    return np.where(np.isneginf(x), 0.0, np.where(np.isnan(x), x, value))


airy_ai = without_gradient("airy_ai", _airy_ai)

__all__: list[str] = []
