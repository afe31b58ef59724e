"""The error function, which NumPy lacks.

W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969): three
rational functions, each accurate to double precision on its interval. Coefficients are listed highest power first.
"""

from math import pi, sqrt

# |x| <= 0.46875: erf(x) = x * P(x^2) / Q(x^2)
SMALL_P = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
SMALL_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
# 0.46875 <= x <= 4: erfc(x) = exp(-x^2) * P(x) / Q(x)
MIDDLE_P = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2,
    8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
)  # fmt: skip
MIDDLE_Q = (
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)  # fmt: skip
# x > 4: erfc(x) = exp(-x^2) / x * (1 / sqrt(pi) - z * P(z) / Q(z)), z = 1 / x^2
LARGE_P = (
    1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
    1.60837851487422766e-2, 6.58749161529837803e-4,
)  # fmt: skip
LARGE_Q = (
    1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2,
    2.33520497626869185e-3,
)  # fmt: skip
SMALL_END, MIDDLE_END = 0.46875, 4.0


def erf(xp, x):
    """erf of a real array, in its own dtype."""
    a = xp.abs(x)
    inner = xp.minimum(a, SMALL_END)
    middle = xp.clip(a, SMALL_END, MIDDLE_END)
    tail = xp.exp(-middle * middle) * _horner(MIDDLE_P, middle) / _horner(MIDDLE_Q, middle)
    if x.dtype.itemsize > 4:  # beyond 4 a float32 erf is 1 to the last bit
        outer = xp.maximum(a, MIDDLE_END)
        z = 1 / (outer * outer)
        far = xp.exp(-outer * outer) / outer * (1 / sqrt(pi) - z * _horner(LARGE_P, z) / _horner(LARGE_Q, z))
        tail = xp.where(a > MIDDLE_END, far, tail)
    squared = inner * inner
    small = inner * (_horner(SMALL_P, squared) / _horner(SMALL_Q, squared))
    return xp.copysign(xp.where(a <= SMALL_END, small, 1 - tail), x)


def _horner(coefficients, x):
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value *= x
        value += c
    return value
