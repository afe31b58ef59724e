"""Sampling of images and volumes at positions given by a grid (Jaderberg et al., "Spatial Transformer Networks", 2015).

Built of differentiable operations, so that gradients of any order flow to the image and to the grid.
"""

import warnings
from itertools import product
from math import prod

import numpy as np

from .. import dtypes
from ..autograd.variable import wrap
from ..devices import namespace
from .arguments import need_tensor
from .comparison import where
from .index_along import _index_select
from .joining import cat
from .pointwise import hushed

_ALIGN_CHANGED = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
    "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details."
)


def _reflected(x, low, high):
    """Positions folded back into [low, high]."""
    span = high - low
    if span == 0:
        return x * 0
    distance = (x - low).abs()
    turns = (distance / span).floor()
    rest = distance - turns * span
    return where(turns % 2 == 0, rest + low, span - rest + low)


def _within(x, size, padding_mode, align):
    """Positions as the padding mode brings them inside."""
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        x = _reflected(x, 0.0, size - 1.0) if align else _reflected(x, -0.5, size - 0.5)
    return x.clamp(0, size - 1)


def _place(at, size):
    """Whole positions along an axis as integers that are within it, and which of them were."""
    inside = (at >= 0) & (at <= size - 1)
    return np.clip(at, 0, size - 1).astype(np.int64), inside


def _picked(planes, places, spatial):
    """Elements (C, N * P) of planes (C, N * S + 1) at places, (N, *P) for each axis; outside of these the last, a 0."""
    offset, inside = 0, True
    for (at, within), size in zip(places, spatial, strict=True):
        offset, inside = offset * size + at, inside & within
    samples = namespace(planes.device).arange(len(offset)).reshape(-1, *[1] * (offset.ndim - 1))
    offset = np.where(inside, offset + samples * prod(spatial), planes._data.shape[1] - 1)
    return _index_select(planes, 1, wrap(offset.reshape(-1), planes.device))


@hushed
def _nearest(planes, positions, spatial):
    places = [_place(np.rint(p._data), size) for p, size in zip(positions, spatial, strict=True)]
    picked = _picked(planes, places, spatial)
    if any(p.requires_grad for p in positions):  # their gradients are 0
        picked = picked + sum((p * 0 for p in positions[1:]), positions[0] * 0).reshape(-1)
    return picked


@hushed
def _multilinear(planes, positions, spatial):
    low = [np.floor(p._data) for p in positions]
    share = [(p - wrap(f, p.device)).reshape(-1) for p, f in zip(positions, low, strict=True)]
    places = [[_place(f + c, size) for c in (0, 1)] for f, size in zip(low, spatial, strict=True)]
    total = None
    for corner in product((0, 1), repeat=len(positions)):
        weight = None
        for s, c in zip(share, corner, strict=True):
            part = s if c else 1 - s
            weight = part if weight is None else weight * part
        term = _picked(planes, [both[c] for both, c in zip(places, corner, strict=True)], spatial) * weight
        total = term if total is None else total + term
    return total


def _cubic_weights(t):
    """Weights of the elements at -1, 0, 1, 2 for a position t from element 0 on (Keys, 1981)."""
    a = -0.75

    def far(x):
        return ((x * a - 5 * a) * x + 8 * a) * x - 4 * a

    def near(x):
        return (x * (a + 2) - (a + 3)) * x * x + 1

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


@hushed
def _bicubic(planes, positions, spatial, padding_mode, align):
    low = [p.detach().floor() for p in positions]
    weights = [_cubic_weights((p - f).reshape(-1)) for p, f in zip(positions, low, strict=True)]
    places = [
        [_place(_within(f + (k - 1), size, padding_mode, align)._data, size) for k in range(4)]
        for f, size in zip(low, spatial, strict=True)
    ]
    total = None
    for i, j in product(range(4), repeat=2):
        term = _picked(planes, (places[0][i], places[1][j]), spatial) * (weights[0][i] * weights[1][j])
        total = term if total is None else total + term
    return total


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """Elements of (N, C, *S) at positions (N, *P, axes): x, y(, z) from -1 to 1, the last spatial axis first -> (N, C,
    *P).

    mode "bilinear" (trilinear for volumes), "nearest", "bicubic"; outside of the image: "zeros", "border",
    "reflection".
    """
    need_tensor(input, "grid_sampler", "input", 1)
    need_tensor(grid, "grid_sampler", "grid", 2)
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if align_corners is None:
        warnings.warn(_ALIGN_CHANGED, stacklevel=2)
        align_corners = False
    _check(input, grid, mode)
    shape = input._data.shape
    spatial = shape[2:]
    positions = []
    for k, size in enumerate(spatial):  # the grid's coordinates come last axis first
        p = grid.select(-1, len(spatial) - 1 - k)
        p = (p + 1) * ((size - 1) / 2) if align_corners else ((p + 1) * size - 1) * 0.5
        positions.append(p if mode == "bicubic" else _within(p, size, padding_mode, align_corners))
    planes = input.movedim(1, 0).reshape(shape[1], -1)
    planes = cat((planes, planes.new_zeros(shape[1], 1)), 1)
    if mode == "nearest":
        picked = _nearest(planes, positions, spatial)
    elif mode == "bicubic":
        picked = _bicubic(planes, positions, spatial, padding_mode, align_corners)
    else:
        picked = _multilinear(planes, positions, spatial)
    return picked.reshape(shape[1], *grid._data.shape[:-1]).movedim(0, 1).contiguous()


def _check(input, grid, mode):
    x, g = input._data, grid._data
    if x.shape[0] != g.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(x.shape)} and grid with sizes {list(g.shape)}"
        )
    if g.shape[-1] != x.ndim - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {x.ndim - 2} in last dimension, but got grid with sizes "
            f"{list(g.shape)}"
        )
    for d in range(2, x.ndim):
        if x.shape[d] == 0:
            raise RuntimeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
                f"{list(x.shape)} with dimension {d} being empty"
            )
    if x.ndim not in (4, 5) or g.ndim != x.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with "
            f"sizes {list(x.shape)} and grid with sizes {list(g.shape)}"
        )
    if mode == "bicubic" and x.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if x.dtype != g.dtype:
        raise RuntimeError(
            f"expected scalar type {dtypes.SCALAR_NAMES[input.dtype]} but found {dtypes.SCALAR_NAMES[grid.dtype]}"
        )


def affine_grid(theta, size, align_corners=None):
    """The grid (N, *S, axes) for `grid_sample` of affine maps theta (N, axes, axes + 1), for an output of `size` (N,
    C, *S).
    """
    need_tensor(theta, "affine_grid_generator", "theta", 1)
    if align_corners is None:
        warnings.warn(_ALIGN_CHANGED, stacklevel=2)
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    size = [s.__index__() for s in size]
    axes = len(size) - 2
    if axes not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size "
            f"{size}."
        )
    if theta._data.ndim != 3 or theta._data.shape[-2:] != (axes, axes + 1):
        raise ValueError(
            f"Expected a batch of {axes}D affine matrices of shape Nx{axes}x{axes + 1} for size {size}. Got "
            f"torch.Size({list(theta._data.shape)})."
        )
    if align_corners and min(size[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. This "
            "is not an intended use case of affine_grid. See the documentation of affine_grid for details.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    lines = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if align_corners else line * (n - 1) / n)
    mesh = np.meshgrid(*lines, indexing="ij")
    points = np.stack([*reversed(mesh), np.ones(size[2:])], -1).reshape(-1, axes + 1)
    base = wrap(points.astype(theta._data.dtype), theta.device)
    return (base @ theta.transpose(1, 2)).reshape(size[0], *size[2:], axes)


__all__: list[str] = []
