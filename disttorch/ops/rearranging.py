"""Rearrangements of channels and space: pixel and channel shuffle, windows unfolded into columns and folded back."""

from functools import lru_cache
from itertools import product

import numpy as np

from ..autograd.op import Op
from ..kernels.geometry import conv_out_size
from .arguments import need_tensor, repeated


def _check_image(input, factor, name, what):
    need_tensor(input, name, "input", 1)
    x = input._data
    if x.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {x.ndim} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {what}, but got {factor}")
    return x.shape


def pixel_shuffle(input, upscale_factor):
    """(*, C r², H, W) -> (*, C, H r, W r) (Shi et al., 2016)."""
    r = upscale_factor
    *batch, c, h, w = _check_image(input, r, "pixel_shuffle", "upscale_factor")
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={c} is not divisible by {r * r}"
        )
    k = len(batch)
    split = input.reshape(*batch, c // (r * r), r, r, h, w)
    return split.permute(*range(k + 1), k + 3, k + 1, k + 4, k + 2).reshape(*batch, c // (r * r), h * r, w * r)


def pixel_unshuffle(input, downscale_factor):
    """(*, C, H r, W r) -> (*, C r², H, W): pixel_shuffle undone."""
    r = downscale_factor
    *batch, c, h, w = _check_image(input, r, "pixel_unshuffle", "downscale_factor")
    for size, name, at in ((h, "height", -2), (w, "width", -1)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({at})={size} is "
                f"not divisible by {r}"
            )
    k = len(batch)
    split = input.reshape(*batch, c, h // r, r, w // r, r)
    return split.permute(*range(k + 1), k + 2, k + 4, k + 1, k + 3).reshape(*batch, c * r * r, h // r, w // r)


def channel_shuffle(input, groups):
    """(N, C, *) with the channels of `groups` groups interleaved (Zhang et al., 2018)."""
    need_tensor(input, "channel_shuffle", "input", 1)
    shape = input._data.shape
    if len(shape) < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if shape[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {shape[1]} channels and {groups} groups."
        )
    return input.reshape(shape[0], groups, shape[1] // groups, *shape[2:]).transpose(1, 2).reshape(shape)


# -- windows as columns: each of the two is the other's gradient -------------------------------------------------------
def _window_slices(kernel, dilation, stride, out):
    """For each kernel offset in row-major order, the slices of the padded input that it meets."""
    axes = [
        [slice(i * d, i * d + (o - 1) * t + 1, t) for i in range(k)]
        for k, d, t, o in zip(kernel, dilation, stride, out, strict=True)
    ]
    return [(..., *window) for window in product(*axes)]


def _to_columns(x, kernel, dilation, padding, stride):
    """(N, C, H, W) -> (N, C * K, P)."""
    n, c, *spatial = x.shape
    out = _blocks(tuple(spatial), kernel, dilation, padding, stride)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    blocks = out[0] * out[1]
    columns = np.stack([padded[w].reshape(n, c, blocks) for w in _window_slices(kernel, dilation, stride, out)], 2)
    return columns.reshape(n, c * columns.shape[2], blocks)


def _from_columns(columns, spatial, kernel, dilation, padding, stride):
    """(N, C * K, P) -> (N, C, H, W): elements that meet are added."""
    n, taps = columns.shape[0], kernel[0] * kernel[1]
    out = _blocks(spatial, kernel, dilation, padding, stride)
    parts = columns.reshape(n, columns.shape[1] // taps, taps, *out)
    z = np.zeros_like(columns, shape=(n, parts.shape[1], *(s + 2 * p for s, p in zip(spatial, padding, strict=True))))
    for k, window in enumerate(_window_slices(kernel, dilation, stride, out)):
        z[window] += parts[:, :, k]
    return z[(..., *(slice(p, p + s) for s, p in zip(spatial, padding, strict=True)))].copy()


_unfold = Op(
    "Im2ColBackward0",
    _to_columns,
    x=lambda g, x_shape, kernel, dilation, padding, stride: _fold(g, x_shape[2:], kernel, dilation, padding, stride),
)
_fold = Op(
    "Col2ImBackward0",
    _from_columns,
    columns=lambda g, kernel, dilation, padding, stride: _unfold(g, kernel, dilation, padding, stride),
)


@lru_cache(maxsize=1024)
def _blocks(spatial, kernel, dilation, padding, stride):
    return tuple([conv_out_size(*axis) for axis in zip(spatial, kernel, stride, padding, dilation, strict=True)])


def _pairs(**settings):
    found = []
    for name, value in settings.items():
        pair = repeated(value, 2)
        if pair is None:
            raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
        least, what = (0, "non-negative") if name == "padding" else (1, "greater than zero")
        if min(pair) < least:
            told = name.replace("_size", "")
            raise RuntimeError(
                f"{name.replace('_', ' ')} should be {what}, but got {told}_height: {pair[0]} {told}_width: {pair[1]}"
            )
        found.append(pair)
    return found


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """All windows of (N, C, H, W) or (C, H, W) as columns: (N, C * kernel's elements, windows)."""
    need_tensor(input, "unfold", "input", 1)
    kernel, dilation, padding, stride = _pairs(
        kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    x = input._data
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(x.shape)}"
        )
    out = _blocks(x.shape[-2:], kernel, dilation, padding, stride)
    if min(out) < 1:
        raise RuntimeError(
            f"Given input with spatial size {x.shape[-2:]}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, calculated shape of the array of sliding blocks as {out}, but its components must be "
            "at least one."
        )
    if x.ndim == 3:
        return _unfold(input.unsqueeze(0), kernel, dilation, padding, stride).squeeze(0)
    return _unfold(input, kernel, dilation, padding, stride)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns (N, C * kernel's elements, windows) added up where they came from: (N, C, *output_size)."""
    need_tensor(input, "fold", "input", 1)
    size, kernel, dilation, padding, stride = _pairs(
        output_size=output_size, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    x = input._data
    if x.ndim not in (2, 3) or 0 in x.shape[-2:]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(x.shape)}"
        )
    rows, d = x.shape[-2], x.ndim - 2
    if rows % (kernel[0] * kernel[1]):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size({d})={rows} and kernel_size={kernel}."
        )
    blocks = _blocks(size, kernel, dilation, padding, stride)
    given = (
        f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, stride={stride}, "
        "expected "
    )
    if min(blocks) < 1:
        raise RuntimeError(
            f"{given}size of input's dimension 2 to match the calculated number of sliding blocks {blocks[0]} * "
            f"{blocks[1]} = {blocks[0] * blocks[1]}, which is too small (non-positive)"
        )
    if blocks[0] * blocks[1] != x.shape[-1]:
        raise RuntimeError(
            f"{given}size of input's dimension 2 to match the calculated number of sliding blocks {blocks[0]} * "
            f"{blocks[1]} = {blocks[0] * blocks[1]}, but got input.size({d + 1})={x.shape[-1]}."
        )
    if x.ndim == 2:
        return _fold(input.unsqueeze(0), size, kernel, dilation, padding, stride).squeeze(0)
    return _fold(input, size, kernel, dilation, padding, stride)


__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]
