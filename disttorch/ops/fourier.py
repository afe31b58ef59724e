"""The three discrete Fourier transforms that every other is made of, computed by numpy.fft.

Each is linear (complex to complex, real to half-complex, half-complex to real), and its gradient is such an operation
again. `norm` is "backward" (default), "ortho" or "forward".
"""

import numpy as np

from ..autograd.op import Op
from ..autograd.variable import Tensor
from .joining import cat

SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _transform(a, dims, norm, forward):
    return (np.fft.fftn if forward else np.fft.ifftn)(a, axes=dims, norm=norm)


c2c = Op(
    "FftC2CBackward0",
    _transform,
    params=("x", "dims", "norm", "forward"),
    x=lambda g, dims, norm, forward: c2c(g, dims, SWAPPED[norm], not forward),
)


def padded(x: Tensor, d: int, count: int) -> Tensor:
    """`x` with `count` zeros more at the end of dimension `d`."""
    if count <= 0:
        return x
    shape = list(x._data.shape)
    shape[d] = count
    return cat([x, x.new_zeros(shape)], d)


def _half(a, dims, norm):
    return np.fft.rfftn(a, axes=dims, norm=norm)


def _half_rule(g, x_shape, dims, norm):
    missing = x_shape[dims[-1]] - g._data.shape[dims[-1]]
    return c2c(padded(g, dims[-1], missing), dims, SWAPPED[norm], False).real


r2c = Op("FftR2CBackward0", _half, params=("x", "dims", "norm"), x=_half_rule)


def _whole(a, dims, norm, last):
    sizes = [a.shape[d] for d in dims[:-1]] + [last]
    return np.fft.irfftn(a, s=sizes, axes=dims, norm=norm)


def _whole_rule(g, dims, norm, last):
    half = r2c(g, dims, SWAPPED[norm])
    doubled = last - half._data.shape[dims[-1]]  # frequencies that stand for their conjugates too
    if doubled <= 0:
        return half
    d = dims[-1]
    rest = half._data.shape[d] - 1 - doubled
    parts = [half.narrow(d, 0, 1), half.narrow(d, 1, doubled) * 2, half.narrow(d, 1 + doubled, rest)]
    return cat(parts if rest else parts[:2], d)


c2r = Op("FftC2RBackward0", _whole, params=("x", "dims", "norm", "last"), x=_whole_rule)

__all__: list[str] = []
