"""Windows that taper a signal towards its ends (F. Harris, "On the use of windows for harmonic analysis", 1978).

The shapes are functions of the position x, from 0 at the first sample to 1 at the last; of a periodic window, which
a transform continues with its first sample again, x = 1 is the sample behind the last.
"""

import numpy as np

from .. import dtypes
from ..autograd.variable import Tensor, wrap
from ..devices import namespace, resolve, scope
from .creation import as_dtype, leaf


def positions(points: int, periodic: bool) -> np.ndarray:
    """Where the samples stand; a single one in the middle."""
    return np.arange(points) / (points if periodic else points - 1) if points != 1 else np.array([0.5])


def cosine_sum(x: np.ndarray, weights) -> np.ndarray:
    """w0 - w1 cos(2 pi x) + w2 cos(4 pi x) - ...; a single sample is 1, whatever the weights."""
    if len(x) == 1:
        return np.ones(1)
    total = np.zeros_like(x)
    for k, w in enumerate(weights):
        total += (-1) ** k * w * np.cos(2 * np.pi * k * x)
    return total


def triangle(x: np.ndarray) -> np.ndarray:
    return 1 - np.abs(2 * x - 1)


def kaiser(x: np.ndarray, beta: float) -> np.ndarray:
    """I0(beta sqrt(1 - (2 x - 1)^2)) / I0(beta), whose energy lies nearly all in one lobe."""
    return np.i0(beta * np.sqrt(np.maximum(1 - (2 * x - 1) ** 2, 0))) / np.i0(beta)


def window(values: np.ndarray, dtype, device, requires_grad: bool) -> Tensor:
    """The tensor of a window's values."""
    where = resolve(device)
    with scope(where):
        made = namespace(where).asarray(values, dtype=dtype.np)
    return leaf(wrap(made, where), requires_grad)


def _made(name: str, length, periodic: bool, shape, dtype, layout, device, requires_grad: bool, *settings) -> Tensor:
    """The window of `length` samples that torch's function `name` gives; RuntimeError for arguments without sense."""
    d = as_dtype(name, dtype) or dtypes.get_default_dtype()
    if layout is not None and str(layout) != "torch.strided":
        raise RuntimeError(f"{name} is not implemented for sparse types, got: {layout}")
    if not (d.is_floating_point or d.is_complex):
        raise RuntimeError(f"{name} expects floating point dtypes, got: {d}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    return window(shape(positions(length, periodic), *settings), d, device, requires_grad)


def hann_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """sin^2(pi x): a cosine's arch, 0 at the ends."""
    given = dtype, layout, device, requires_grad
    return _made("hann_window", window_length, periodic, cosine_sum, *given, (0.5, 0.5))


def hamming_window(
    window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, layout=None, device=None, pin_memory=False,
    requires_grad=False,
):  # fmt: skip
    """alpha - beta cos(2 pi x)."""
    given = dtype, layout, device, requires_grad
    return _made("hamming_window", window_length, periodic, cosine_sum, *given, (alpha, beta))


def blackman_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """0.42 - 0.5 cos(2 pi x) + 0.08 cos(4 pi x)."""
    given = dtype, layout, device, requires_grad
    return _made("blackman_window", window_length, periodic, cosine_sum, *given, (0.42, 0.5, 0.08))


def bartlett_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """1 - |2 x - 1|: a triangle."""
    return _made("bartlett_window", window_length, periodic, triangle, dtype, layout, device, requires_grad)


def kaiser_window(
    window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None, pin_memory=False,
    requires_grad=False,
):  # fmt: skip
    """I0(beta sqrt(1 - (2 x - 1)^2)) / I0(beta); a larger beta has a wider main lobe and lower side lobes."""
    given = dtype, layout, device, requires_grad
    return _made("kaiser_window", window_length, periodic, kaiser, *given, beta)


__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]
