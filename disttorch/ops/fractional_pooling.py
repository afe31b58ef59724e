"""Fractional max pooling (Graham, 2014): windows of one size at random places, so that the output has any size asked
for.
"""

from math import prod

import numpy as np

from ..autograd.variable import wrap
from ..dtypes import SCALAR_NAMES
from .arguments import need_tensor, repeated
from .drawing import rand
from .pooling import _pick


def _starts(samples, size, out, kernel):
    """Where the windows of an axis start: (N, C, out) from one random number for each sample and channel."""
    at = np.arange(out, dtype=samples.dtype)
    alpha = samples.dtype.type((size - kernel) / (out - 1)) if out > 1 else samples.dtype.type(0)
    offset = samples[..., None]
    starts = ((at + offset) * alpha).astype(np.int64) - (offset * alpha).astype(np.int64)
    starts[..., -1] = size - kernel
    return starts


def _winners(x, kernel, starts):
    """Positions, in each channel's flattened plane, of the maxima of the windows: (N, C, *P)."""
    n = len(kernel)
    spatial, out = x.shape[2:], [s.shape[-1] for s in starts]
    flat = np.zeros((*x.shape[:2], *(1,) * (2 * n)), np.int64)  # (N, C, *P, *K)
    for d in range(n):
        place = [1] * (2 * n)
        place[d], place[n + d] = out[d], kernel[d]
        window = starts[d][..., None] + np.arange(kernel[d])
        flat = flat * spatial[d] + window.reshape(*x.shape[:2], *place)
    flat = flat.reshape(*x.shape[:2], prod(out), prod(kernel))
    planes = x.reshape(*x.shape[:2], 1, prod(spatial))
    best = np.take_along_axis(planes, flat, -1).argmax(-1)[..., None]
    return np.take_along_axis(flat, best, -1).reshape(*x.shape[:2], *out)


def _make(n):
    name = f"fractional_max_pool{n}d"

    def with_indices(
        input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
    ):  # fmt: skip
        need_tensor(input, name, "input", 1)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        x = input._data
        if x.ndim not in (n + 1, n + 2):
            raise RuntimeError(f"{name}: Expected {n + 1}D or {n + 2}D tensor, but got: {list(x.shape)}")
        if x.dtype.kind not in "fV":
            raise NotImplementedError(f"\"{name}_out_frame\" not implemented for '{SCALAR_NAMES[input.dtype]}'")
        spatial = x.shape[-n:]
        if output_size is None:
            ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
            if len(ratios) > n:
                raise ValueError(f"{name} requires output_ratio to either be a single Int or tuple of Ints.")
            output_size = [int(s * r) for s, r in zip(spatial, ratios, strict=True)]
        kernel, out = repeated(kernel_size, n), repeated(output_size, n)
        if kernel is None:
            raise RuntimeError(f"{name}: kernel_size must either be a single int or tuple of {n} ints")
        if out is None:
            raise RuntimeError(f"{name}: output_size must either be a single int or tuple of {n} ints")
        for d, (s, k, o) in enumerate(zip(spatial, kernel, out, strict=True)):
            if k < 1 or o + k - 1 > s:
                axis = ("time", "height", "width")[3 - n + d]
                raise RuntimeError(f"{name}(): pool {axis} {k} too large relative to input {axis} {s}")
        if x.ndim == n + 1:
            values, indices = with_indices(input.unsqueeze(0), kernel, out, None, True, _random_samples)
            return values.squeeze(0), indices.squeeze(0)
        samples = _random_samples
        if samples is None:
            samples = rand(*x.shape[:2], n, dtype=input.dtype, device=input.device)
        columns = range(n) if n == 3 else reversed(range(n))  # PyTorch takes width first in two dimensions
        drawn = [samples._data[..., c] for c in columns]
        starts = [_starts(u, *axis) for u, *axis in zip(drawn, spatial, out, kernel, strict=True)]
        indices = wrap(_winners(x, kernel, starts), input.device)
        return _pick(input, indices), indices

    def pool(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        found = with_indices(input, kernel_size, output_size, output_ratio, True, _random_samples)
        return found if return_indices else found[0]

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = f"""Maxima of windows at random places over {n} axes: (N, C, *S) or (C, *S) -> (N, C, *output_size),
    or of
    `output_ratio` times the input's size; also their positions if `return_indices`.
    """
    with_indices.__name__ = with_indices.__qualname__ = name + "_with_indices"
    with_indices.__doc__ = f"`{name}` with return_indices=True."
    return pool, with_indices


fractional_max_pool2d, fractional_max_pool2d_with_indices = _make(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _make(3)

__all__: list[str] = []
