"""torch.signal.windows: windows of M samples, symmetric (`sym`, for filters) or periodic (for transforms).

Each takes `dtype` (float32 or float64), `layout`, `device` and `requires_grad`. ValueError for other dtypes and
layouts, a negative M, or a setting out of its range.
"""

from collections.abc import Iterable

import numpy as np

from .. import dtypes
from ..ops.tapers import cosine_sum, positions, triangle, window
from ..ops.tapers import kaiser as _kaiser


def _dtype(name: str, M: int, dtype, layout) -> dtypes.dtype:
    """The window's dtype; ValueError for arguments that no window takes."""
    dtype = dtype or dtypes.get_default_dtype()
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and str(layout) != "torch.strided":
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (dtypes.float32, dtypes.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    return dtype


def _centred(M: int, sym: bool, centre: float | None = None) -> np.ndarray:
    """Distances, in samples, from the middle of the window."""
    return np.arange(M) - ((M - 1 if sym or M < 2 else M) / 2 if centre is None else centre)


def exponential(M, *, center=None, tau=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """exp(-|n - center| / tau); the centre is the middle unless given, which a symmetric window does not allow."""
    d = _dtype("exponential", M, dtype, layout)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    values = np.exp(-np.abs(_centred(M, sym, center)) / tau)
    return window(values, d, device, requires_grad)


def cosine(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """sin(pi (n + 1/2) / M), with M + 1 for a periodic window."""
    d = _dtype("cosine", M, dtype, layout)
    return window(np.sin(np.pi * (np.arange(M) + 0.5) / (M if sym or M < 2 else M + 1)), d, device, requires_grad)


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """exp(-(n - middle)^2 / (2 std^2))."""
    d = _dtype("gaussian", M, dtype, layout)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return window(np.exp(-((_centred(M, sym) / std) ** 2) / 2), d, device, requires_grad)


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """I0(beta sqrt(1 - (2 x - 1)^2)) / I0(beta) at x = n / (M - 1), n / M for a periodic window."""
    d = _dtype("kaiser", M, dtype, layout)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return window(_kaiser(positions(M, not sym), beta), d, device, requires_grad)


def bartlett(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """1 - |2 x - 1|: a triangle."""
    d = _dtype("bartlett", M, dtype, layout)
    return window(triangle(positions(M, not sym)), d, device, requires_grad)


def _cosines(name: str, M, a, sym, dtype, layout, device, requires_grad):
    d = _dtype(name, M, dtype, layout)
    return window(cosine_sum(positions(M, not sym), a), d, device, requires_grad)


def general_cosine(M, *, a, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """a0 - a1 cos(2 pi x) + a2 cos(4 pi x) - ... at x = n / (M - 1), n / M for a periodic window."""
    _dtype("general_cosine", M, dtype, layout)
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")
    return _cosines("general_cosine", M, a, sym, dtype, layout, device, requires_grad)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """alpha - (1 - alpha) cos(2 pi x)."""
    return _cosines("general_hamming", M, (alpha, 1 - alpha), sym, dtype, layout, device, requires_grad)


def hamming(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """0.54 - 0.46 cos(2 pi x): the first side lobe is cancelled."""
    return _cosines("hamming", M, (0.54, 0.46), sym, dtype, layout, device, requires_grad)


def hann(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """sin^2(pi x)."""
    return _cosines("hann", M, (0.5, 0.5), sym, dtype, layout, device, requires_grad)


def blackman(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """0.42 - 0.5 cos(2 pi x) + 0.08 cos(4 pi x)."""
    return _cosines("blackman", M, (0.42, 0.5, 0.08), sym, dtype, layout, device, requires_grad)


def nuttall(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """The four cosines of A. Nuttall, "Some windows with very good sidelobe behavior" (1981), all side lobes low."""
    a = (0.3635819, 0.4891775, 0.1365995, 0.0106411)
    return _cosines("nuttall", M, a, sym, dtype, layout, device, requires_grad)


__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann",
    "kaiser", "nuttall",
]  # fmt: skip
