"""Sampling of images and volumes at positions given by a grid (Jaderberg et al., "Spatial Transformer Networks", 2015).

Built of differentiable operations, so that gradients of any order flow to the image and to the grid.
"""

import warnings
from itertools import product

import numpy as np

from .. import dtypes
from ..autograd.variable import wrap
from .arguments import need_tensor
from .comparison import where
from .joining import stack

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


def _picked(flat, index, inside, spatial):
    """Elements (N, C, *P) of flat (N, C, S) at integer positions (one (N, *P) array per axis); 0 where not inside."""
    offset = 0
    for at, size in zip(index, spatial, strict=True):
        offset = offset * size + np.clip(at, 0, size - 1)
    n, c = flat._data.shape[:2]
    where_ = wrap(np.broadcast_to(offset.reshape(n, 1, -1), (n, c, offset[0].size)), flat.device)
    got = flat.gather(2, where_).reshape(n, c, *offset.shape[1:])
    return got if inside.all() else got.masked_fill(wrap(~inside[:, None], flat.device), 0)


def _inside(index, spatial):
    mask = np.ones(index[0].shape, bool)
    for at, size in zip(index, spatial, strict=True):
        mask &= (at >= 0) & (at < size)
    return mask


def _integers(x):
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.clip(x._data, -(2.0**31), 2.0**31), nan=-(2.0**31)).astype(np.int64)


def _nearest(flat, positions, spatial):
    index = [_integers(p.detach().round()) for p in positions]
    picked = _picked(flat, index, _inside(index, spatial), spatial)
    return (
        picked + sum((p * 0 for p in positions[1:]), positions[0] * 0).unsqueeze(1)
        if any(p.requires_grad for p in positions)
        else picked
    )


def _multilinear(flat, positions, spatial):
    low = [p.detach().floor() for p in positions]
    share = [p - f for p, f in zip(positions, low, strict=True)]
    base = [_integers(f) for f in low]
    total = None
    for corner in product((0, 1), repeat=len(positions)):
        index = [b + c for b, c in zip(base, corner, strict=True)]
        weight = None
        for s, c in zip(share, corner, strict=True):
            part = s if c else 1 - s
            weight = part if weight is None else weight * part
        term = _picked(flat, index, _inside(index, spatial), spatial) * weight.unsqueeze(1)
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


def _bicubic(flat, positions, spatial, padding_mode, align):
    low = [p.detach().floor() for p in positions]
    weights = [_cubic_weights(p - f) for p, f in zip(positions, low, strict=True)]
    total = None
    for i, j in product(range(4), repeat=2):
        at = [f + (k - 1) for f, k in zip(low, (i, j), strict=True)]
        index = [_integers(_within(a, s, padding_mode, align)) for a, s in zip(at, spatial, strict=True)]
        weight = (weights[0][i] * weights[1][j]).unsqueeze(1)
        term = _picked(flat, index, _inside(index, spatial), spatial) * weight
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
    flat = input.reshape(shape[0], shape[1], -1)
    if mode == "nearest":
        return _nearest(flat, positions, spatial)
    if mode == "bicubic":
        return _bicubic(flat, positions, spatial, padding_mode, align_corners)
    return _multilinear(flat, positions, spatial)


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
    return stack([base @ t.t() for t in theta.unbind(0)]).reshape(size[0], *size[2:], axes)


__all__: list[str] = []
