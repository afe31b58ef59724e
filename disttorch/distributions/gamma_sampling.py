"""Gamma-distributed numbers by Marsaglia and Tsang, "A simple method for generating gamma variables" (2000).

A sample's derivative by its shape is the implicit one, -(dF/da) / f with the distribution's function F and density f
(Figurnov et al., "Implicit reparameterization gradients", 2018). Numbers are drawn in PyTorch's order.
"""

import math

import numpy as np

from .. import ops, random, sampling
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap

_STEP = 1e-5  # relative step of the difference that gives dF/da


def _one(shape: float, stream) -> float:
    """One number of the gamma distribution of that shape and rate 1."""
    scale = 1.0
    if shape < 1:
        if shape == 0:
            return 0.0
        scale = (1 - float(sampling.doubles(stream, 1)[0])) ** (1 / shape)
        shape += 1
    d = shape - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        y = 0.0
        while y <= 0:
            x = float(sampling.standard_normals(stream, 1)[0])
            y = 1 + c * x
        v = y * y * y
        u = 1 - float(sampling.doubles(stream, 1)[0])
        if u < 1 - 0.0331 * x**4 or math.log(u) < 0.5 * x * x + d * (1 - v + math.log(v)):
            return scale * d * v


def _drawn(concentration: np.ndarray, stream) -> np.ndarray:
    return np.array([_one(float(a), stream) for a in concentration.ravel()], concentration.dtype).reshape(
        concentration.shape
    )


def _slope(concentration: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """The derivative of each sample by its shape."""
    a, x = concentration.astype(np.float64), np.maximum(sample.astype(np.float64), np.finfo(np.float64).tiny)
    step = a * _STEP
    rise = (ops.igamma(wrap(a + step), wrap(x))._data - ops.igamma(wrap(a - step), wrap(x))._data) / (2 * step)
    log_density = (a - 1) * np.log(x) - x - ops.lgamma(wrap(a))._data
    with np.errstate(all="ignore"):
        slope = -rise / np.exp(log_density)
    return np.where(np.isfinite(slope), slope, x / a).astype(
        concentration.dtype
    )  # far in the tails a sample scales with a


_by_shape = Op("StandardGammaGradBackward0", lambda g, slope: g * slope, g=lambda g, slope: g * wrap(slope))
_standard_gamma = Op(
    "StandardGammaBackward0",
    lambda concentration, drawn: drawn,
    concentration=lambda g, concentration, out: _by_shape(g, _slope(concentration._data, out._data)),
)


def standard_gamma(concentration: Tensor) -> Tensor:
    """A number of the gamma distribution of rate 1 for each shape in `concentration`."""
    host = concentration.detach().cpu()
    drawn = wrap(_drawn(host._data, random.stream(None, concentration.device))).to(concentration.device)
    return _standard_gamma(concentration, drawn._data)
