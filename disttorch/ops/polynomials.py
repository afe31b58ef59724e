"""Orthogonal polynomials, by their three-term recurrences (A&S 22.7). `n` may differ from element to element."""

import numpy as np

from .arguments import known
from .gamma import in_float64
from .pointwise import binary, no_gradient


def _recurrence(first, following):
    """P_0 = 1, P_1 = first(x), P_(k+1) = following(k, x, P_k, P_(k-1)); 0 for negative degrees."""

    @in_float64
    def value(x, n):
        x, n = np.broadcast_arrays(x, np.trunc(n))
        before, now = np.ones(x.shape), first(x) + np.zeros(x.shape)
        result = np.where(n == 0, 1.0, np.where(n == 1, now, 0.0))
        most = int(np.max(np.where(np.isfinite(n), n, 0), initial=0))
        for k in range(1, most):
            before, now = now, following(k, x, now, before)
            result = np.where(n == k + 1, now, result)
        return np.where(np.isnan(x), np.where(n == 0, 1.0, np.where(n < 0, 0.0, x)), result)

    return value


def _polynomial(name, first, following, shift=False):
    value = _recurrence(first, following)
    forward = (lambda x, n: value(2 * x - 1, n)) if shift else value
    checked = known(f"{name}_cpu", "f")(forward)
    return binary(f"special_{name}", checked, floats=True, numbers="either", result=True, x=no_gradient, y=no_gradient)


def _chebyshev(k, x, now, before):
    return 2 * x * now - before


_FIRST = {"t": lambda x: x, "u": lambda x: 2 * x, "v": lambda x: 2 * x - 1, "w": lambda x: 2 * x + 1}
chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    _polynomial(f"chebyshev_polynomial_{kind}", first, _chebyshev) for kind, first in _FIRST.items()
)
(
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
) = (
    _polynomial(f"shifted_chebyshev_polynomial_{kind}", first, _chebyshev, shift=True) for kind, first in _FIRST.items()
)
hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h", lambda x: 2 * x, lambda k, x, now, before: 2 * x * now - 2 * k * before
)
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he", lambda x: x, lambda k, x, now, before: x * now - k * before
)
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l", lambda x: 1 - x, lambda k, x, now, before: ((2 * k + 1 - x) * now - k * before) / (k + 1)
)
legendre_polynomial_p = _polynomial(
    "legendre_polynomial_p", lambda x: x, lambda k, x, now, before: ((2 * k + 1) * x * now - k * before) / (k + 1)
)
