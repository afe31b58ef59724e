"""log, sin and cos of float32 arrays as PyTorch's vectorised CPU code rounds them.

PyTorch's float32 normals come from the Cephes library's polynomials (Moshier) evaluated by fused multiply-adds.
"""

import numpy as np

from .kernels import for_device


def _constants(*values) -> list[float]:
    return [float(np.float32(v)) for v in values]


_LOG = _constants(
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LN2_LOW, _LN2_HIGH = _constants(-2.12194440e-4, 0.693359375)
_SQRT_HALF_BITS, _SIGN = 0x3F3504F3, np.int32(-(1 << 31))
_COS = _constants(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN = _constants(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_PI_PARTS = _constants(-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # of -pi/4


def multiply_add(y, x, c):
    """y = y·x + c in place, rounded once."""
    for_device("cpu").multiply_add(y, x, c)


def scratch(n: int):
    """Memory in which `log` and `sincos` compute for vectors of up to n numbers: it is the slower part to get it."""
    return np.empty((6, n), np.float32)


def _polynomial(x, coefficients, y):
    """By Horner's rule, in y."""
    y.fill(coefficients[0])
    for c in coefficients[1:]:
        multiply_add(y, x, c)


def log(u, room):
    """u becomes log(u): a vector of float32 numbers from (0, 1]. `room`: from `scratch`."""
    y, z, e, t = room[:4, : u.size]
    bits, exponent = u.view(np.int32), t.view(np.int32)
    bits -= _SQRT_HALF_BITS  # u = m·2^e, sqrt(1/2) <= m < sqrt(2)
    np.right_shift(bits, 23, out=exponent)
    e[...] = exponent
    bits &= 0x7FFFFF
    bits += _SQRT_HALF_BITS
    x = u
    x -= 1
    _polynomial(x, _LOG, y)
    y *= x
    np.multiply(x, x, out=z)
    np.multiply(e, _LN2_LOW, out=t)
    multiply_add(y, z, t)
    z *= 0.5
    y -= z
    x += y
    e *= _LN2_HIGH  # exact, as are the other products that `multiply_add` does not take
    x += e


def sincos(theta, room):
    """sin and cos, in `room`, of a vector of float32 numbers from [0, 2·pi), which is overwritten."""
    s, c, x, z, t, whole = room[:, : theta.size]
    octant, change = whole.view(np.int32), t.view(np.int32)
    np.multiply(theta, 1.27323954473516, out=t)
    np.copyto(octant, t, casting="unsafe")
    octant += 1
    octant &= ~1
    x[...] = octant
    for part in _PI_PARTS[:2]:
        np.multiply(x, part, out=t)
        theta += t
    multiply_add(x, _PI_PARTS[2], theta)
    np.multiply(x, x, out=z)
    _polynomial(z, _COS, c)
    c *= z
    np.multiply(z, -0.5, out=t)
    multiply_add(c, z, t)
    c += 1
    _polynomial(z, _SIN, s)
    s *= z
    multiply_add(s, x, x)
    sine, cosine, differing = s.view(np.int32), c.view(np.int32), x.view(np.int32)
    np.bitwise_xor(sine, cosine, out=differing)
    np.left_shift(octant, 30, out=change)  # in octants 2 and 6 the two change places: all bits set
    change >>= 31
    differing &= change
    sine ^= differing
    cosine ^= differing
    for value in (sine, cosine):  # the sign bits, of octants 4 and 6, of octants 2 and 4
        np.left_shift(octant, 29, out=change)
        change &= _SIGN
        value ^= change
        octant += 2
    return s, c
