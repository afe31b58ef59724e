"""Fractional max pooling: windows at steps that are random, but fixed for each plane: Graham (2014).

Letters: N batch, C channels, S spatial axes, O output size.
"""

import math
from itertools import product

import numpy as np

from ..autograd.variable import wrap
from .drawing import rand


def _starts(sample, length: int, window: int, count: int):
    """Where `count` windows begin: (N, C, count), from one number of [0, 1) per plane (N, C)."""
    last = np.full((*sample.shape, 1), length - window, np.int64)
    if count == 1:
        return last
    step = sample.dtype.type(length - window) / sample.dtype.type(count - 1)
    at = np.arange(count - 1, dtype=sample.dtype) + sample[..., None]
    return np.concatenate([(at * step).astype(np.int64) - (sample * step).astype(np.int64)[..., None], last], -1)


def _indices(x, samples, kernel: tuple, sizes: tuple):
    """Positions (N, C, *O) of the maxima in the flattened planes of x (N, C, *S): the first of equals, or of nan."""
    axes = x.shape[2:]
    order = range(len(axes)) if len(axes) == 3 else (1, 0)  # in two dimensions the first number is the last axis'
    starts = [_starts(samples[..., nr], n, k, o) for nr, n, k, o in zip(order, axes, kernel, sizes, strict=True)]
    planes = x.reshape(*x.shape[:2], math.prod(axes))
    best = None
    for offset in product(*map(range, kernel)):
        where = np.int64(0)
        for axis, (start, n) in enumerate(zip(starts, axes, strict=True)):
            shape = [1] * len(axes)
            shape[axis] = start.shape[-1]
            where = where * n + (start + offset[axis]).reshape(*x.shape[:2], *shape)
        flat = where.reshape(*x.shape[:2], math.prod(where.shape[2:]))
        value = np.take_along_axis(planes, flat, 2).reshape(where.shape)
        if best is None:
            best, found = value, where
        else:
            larger = (value > best) | (np.isnan(value) & ~np.isnan(best))
            best, found = np.where(larger, value, best), np.where(larger, where, found)
    return found


def _tuple(value, axes: int) -> tuple:
    return (value,) * axes if isinstance(value, int | float) else tuple(value)


def _pool(name: str, axes: int):
    def with_indices(
        input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
    ):
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        if input.ndim not in (axes + 1, axes + 2):
            raise RuntimeError(f"{name}: Expected {axes + 1}D or {axes + 2}D tensor, but got: {list(input.shape)}")
        batched = input if input.ndim == axes + 2 else input.unsqueeze(0)
        kernel, spatial = _tuple(kernel_size, axes), batched.shape[2:]
        if output_size is None:
            ratios = _tuple(output_ratio, axes)
            output_size = tuple(int(n * r) for n, r in zip(spatial, ratios, strict=True))
        sizes = _tuple(output_size, axes)
        for axis, (n, k, o) in enumerate(zip(spatial, kernel, sizes, strict=True)):
            if o + k - 1 > n:
                raise RuntimeError(f"{name}: pool size {k} too large relative to input size {n} in axis {axis}")
        samples = _random_samples
        if samples is None:
            samples = rand(*batched.shape[:2], axes, dtype=input.dtype, device=input.device)
        found = wrap(_indices(batched._data, samples._data[: len(batched)], kernel, sizes), input.device)
        out = batched.flatten(2).gather(2, found.flatten(2)).reshape(found.shape)
        return (out, found) if input.ndim == axes + 2 else (out.squeeze(0), found.squeeze(0))

    def pool(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        out, found = with_indices(input, kernel_size, output_size, output_ratio, True, _random_samples)
        return (out, found) if return_indices else out

    shape = "(N, C, H, W)" if axes == 2 else "(N, C, D, H, W)"
    pool.__doc__ = (
        f"Maxima over windows at random steps of {shape}, or without N: of `output_size`, or the input's times "
        "`output_ratio`; with `return_indices` also their positions in the flattened planes. `_random_samples` (N, C, "
        f"{axes}) says where the windows stand."
    )
    for function, full in ((pool, name), (with_indices, f"{name}_with_indices")):
        function.__name__ = function.__qualname__ = full
    with_indices.__doc__ = f"`{name}` with the positions of the maxima."
    return pool, with_indices


fractional_max_pool2d, fractional_max_pool2d_with_indices = _pool("fractional_max_pool2d", 2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _pool("fractional_max_pool3d", 3)
