"""Operations in the form that stands beneath PyTorch's `nn.functional`: settings by position, and further results."""

from .dropout import alpha_dropout as _alpha_dropout
from .dropout import dropout as _dropout
from .dropout import feature_alpha_dropout as _feature_alpha_dropout
from .grid import grid_sample
from .normalization import group_norm, layer_norm, normalize_batch
from .padding import pad as _pad

_SAMPLING = ("bilinear", "nearest", "bicubic")
_OUTSIDE = ("zeros", "border", "reflection")


def _statistics(input, dims, eps: float, keepdim: bool = False) -> tuple:
    """Mean and 1 / sqrt(variance + eps) over dimensions, without gradients."""
    x = input.detach()
    return x.mean(dims, keepdim), (x.var(dims, keepdim=keepdim, correction=0) + eps).rsqrt()


def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """(`layer_norm`, the mean, 1 / sqrt(variance + eps)); the two of shape (*, 1, ..., 1)."""
    out = layer_norm(input, normalized_shape, weight, bias, eps)
    last = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    return out, *_statistics(input, last, eps, True)


def native_group_norm(input, weight, bias, N, C, HxW, group, eps):
    """(`group_norm`, the mean, 1 / sqrt(variance + eps)) of an input (N, C, *) of N * C * HxW elements; two (N, G).

    Gradients flow through all three.
    """
    out = group_norm(input, group, weight, bias, eps)
    groups = input.reshape(N, group, C * HxW // group)
    return out, groups.mean(2), (groups.var(2, correction=0) + eps).rsqrt()


def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """(`batch_norm`, the batch's mean, 1 / sqrt(its variance + eps)); the two (C,), empty without `training`."""
    out = normalize_batch(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return out, input.new_empty((0,)), input.new_empty((0,))
    return out, *_statistics(input, (0, *range(2, input.ndim)), eps)


def constant_pad_nd(input, pad, value=0):
    """`nn.functional.pad` with a constant."""
    return _pad(input, pad, "constant", value)


def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """`nn.functional.grid_sample` with its modes by number: bilinear, nearest, bicubic; zeros, border, reflection."""
    return grid_sample(input, grid, _SAMPLING[interpolation_mode], _OUTSIDE[padding_mode], align_corners)


def grid_sampler_2d(input, grid, interpolation_mode, padding_mode, align_corners):
    """`grid_sampler` of (N, C, H, W)."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(input, grid, interpolation_mode, padding_mode, align_corners):
    """`grid_sampler` of (N, C, D, H, W)."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def _trained(function):
    """A dropout (input, p, train)."""

    def call(input, p, train):
        return function(input, p, train)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call


alpha_dropout, dropout = _trained(_alpha_dropout), _trained(_dropout)
feature_alpha_dropout = _trained(_feature_alpha_dropout)

__all__ = [
    "alpha_dropout", "constant_pad_nd", "dropout", "feature_alpha_dropout", "grid_sampler", "grid_sampler_2d",
    "grid_sampler_3d", "native_batch_norm", "native_group_norm", "native_layer_norm",
]  # fmt: skip
