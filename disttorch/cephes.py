"""log, sin and cos of float32 arrays as PyTorch's vectorised CPU code rounds them.

PyTorch's float32 normals come from the Cephes library's polynomials (Moshier) evaluated by fused multiply-adds. A
product of two float32 is exact in float64, so `_step` is a fused multiply-add: one rounding to float32 after the sum.
"""

import numpy as np


def _constants(*values) -> list[float]:
    return [float(np.float32(v)) for v in values]


_LOG = _constants(
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_SQRT_HALF, _LN2_LOW, _LN2_HIGH = _constants(0.707106781186547524, -2.12194440e-4, 0.693359375)
_COS = _constants(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN = _constants(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_PI_PARTS = _constants(-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # of -pi/4


def _step(wide, b, c, narrow):
    """wide·b + c, rounded to float32: into both, which hold the same numbers as float64 and as float32."""
    wide *= b
    wide += c
    narrow[...] = wide
    wide[...] = narrow


def _polynomial(x, coefficients, narrow):
    """By Horner's rule, in `narrow` (float32) and, the same, in the result; x is float64."""
    wide = np.full(x.shape, coefficients[0])
    for c in coefficients[1:]:
        _step(wide, x, c, narrow)
    return wide


def log(u):
    """log(u) of float32 numbers from (0, 1]."""
    bits = u.view(np.int32)  # u = m·2^e, 1/2 <= m < 1
    m = ((bits & 0x7FFFFF) | 0x3F000000).view(np.float32)
    small = m < np.float32(_SQRT_HALF)
    e = (bits >> 23) - 126
    e = (e - small).astype(np.float32)
    x = m - np.float32(1)
    x += m * small
    wide, y = x.astype(np.float64), np.empty_like(x)
    y_wide = _polynomial(wide, _LOG, y)
    z = x * x
    y *= x
    y_wide[...] = y
    wide[...] = z
    _step(y_wide, wide, e * np.float32(_LN2_LOW), y)
    z *= np.float32(0.5)
    y -= z
    x += y
    e *= np.float32(_LN2_HIGH)  # exact, as are the other products that are not taken in float64
    x += e
    return x


def sincos(theta):
    """sin and cos of float32 numbers from [0, 2·pi); overwrites `theta`."""
    octant = ((theta * np.float32(1.27323954473516)).astype(np.int32) + 1) & ~1
    j, x = octant.astype(np.float32), theta
    x += j * np.float32(_PI_PARTS[0])
    x += j * np.float32(_PI_PARTS[1])
    wide = j.astype(np.float64)
    _step(wide, _PI_PARTS[2], x, x)
    z = x * x
    z_wide = z.astype(np.float64)
    c, s = np.empty_like(x), np.empty_like(x)
    c_wide = _polynomial(z_wide, _COS, c)
    c *= z
    c_wide[...] = c
    _step(c_wide, z_wide, -0.5 * z_wide, c)
    c += np.float32(1)
    s_wide = _polynomial(z_wide, _SIN, s)
    s *= z
    s_wide[...] = s
    _step(s_wide, wide, wide, s)
    sine, cosine = s.view(np.int32), c.view(np.int32)
    change = -((octant >> 1) & 1)  # all bits set in the octants where the two change places
    change &= sine ^ cosine
    sine ^= change
    cosine ^= change
    sine ^= (octant & 4) << 29  # the sign bits, of octants 0, 2, 4, 6, 8
    cosine ^= ((octant + 2) & 4) << 29
    return s, c
