"""Pooling over windows of a signal, a picture or a volume. Sizes: one number, or one per axis."""

from .. import functional as F
from .layer import layer
from .module import Module
from .utils import pair, single, triple


def _stride(values: dict):
    """Windows stand side by side unless a stride is given."""
    if values["stride"] is None:
        values["stride"] = values["kernel_size"]


class _MaxPoolNd(Module):
    """The largest value of each window."""


class _AvgPoolNd(Module):
    """The mean of each window."""


class _LPPoolNd(Module):
    """The norm of each window."""


class _AdaptiveMaxPoolNd(Module):
    """The largest value of each of a given number of windows."""


class _AdaptiveAvgPoolNd(Module):
    """The mean of each of a given number of windows."""


class _MaxUnpoolNd(Module):
    """The inverse of a max pooling, zero where no maximum was."""


_max = {"base": _MaxPoolNd, "prepare": _stride, "show": "kernel_size, stride, padding, dilation, ceil_mode"}
_mean = {"base": _AvgPoolNd, "prepare": _stride, "show": "kernel_size, stride, padding"}
_lp = {"base": _LPPoolNd, "show": "norm_type, kernel_size, stride, ceil_mode"}
_adaptive_max = {"base": _AdaptiveMaxPoolNd, "show": "output_size"}
_adaptive_mean = {"base": _AdaptiveAvgPoolNd, "show": "output_size"}


@layer(**_max)
def MaxPool1d(input, *, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
    """Maxima over the windows of (N, C, L) or (C, L); with `return_indices` also where they stood."""
    return F.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@layer(**_max)
def MaxPool2d(input, *, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
    """Maxima over the windows of (N, C, H, W) or (C, H, W); with `return_indices` also where they stood."""
    return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@layer(**_max)
def MaxPool3d(input, *, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
    """Maxima over the windows of (N, C, D, H, W) or (C, D, H, W); with `return_indices` also where they stood."""
    return F.max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _one(names: str):
    """The settings named are tuples of one number in 1-dimensional pooling (PyTorch prints them so)."""

    def prepare(values: dict):
        if "stride" in values:
            _stride(values)
        for name in names.split():
            values[name] = single(values[name])

    return prepare


@layer(base=_AvgPoolNd, show="kernel_size, stride, padding", prepare=_one("kernel_size stride padding"))
def AvgPool1d(input, *, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Means over the windows of (N, C, L) or (C, L)."""
    return F.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@layer(**_mean)
def AvgPool2d(
    input, *, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """Means over the windows of (N, C, H, W) or (C, H, W); `divisor_override` instead of the number of values."""
    return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@layer(**_mean)
def AvgPool3d(
    input, *, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """Means over the windows of (N, C, D, H, W) or (C, D, H, W); `divisor_override` instead of the number of values."""
    return F.avg_pool3d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@layer(**_lp)
def LPPool1d(input, *, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The `norm_type`-norm over the windows of (N, C, L) or (C, L)."""
    return F.lp_pool1d(input, float(norm_type), kernel_size, stride, ceil_mode)


@layer(**_lp)
def LPPool2d(input, *, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The `norm_type`-norm over the windows of (N, C, H, W) or (C, H, W)."""
    return F.lp_pool2d(input, float(norm_type), kernel_size, stride, ceil_mode)


@layer(**_lp)
def LPPool3d(input, *, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The `norm_type`-norm over the windows of (N, C, D, H, W) or (C, D, H, W)."""
    return F.lp_pool3d(input, float(norm_type), kernel_size, stride, ceil_mode)


@layer(**_adaptive_max)
def AdaptiveMaxPool1d(input, *, output_size, return_indices=False):
    """Maxima over `output_size` windows of (N, C, L) or (C, L)."""
    return F.adaptive_max_pool1d(input, output_size, return_indices)


@layer(**_adaptive_max)
def AdaptiveMaxPool2d(input, *, output_size, return_indices=False):
    """Maxima over `output_size` windows of (N, C, H, W) or (C, H, W); None: that axis as it is."""
    return F.adaptive_max_pool2d(input, output_size, return_indices)


@layer(**_adaptive_max)
def AdaptiveMaxPool3d(input, *, output_size, return_indices=False):
    """Maxima over `output_size` windows of (N, C, D, H, W) or (C, D, H, W); None: that axis as it is."""
    return F.adaptive_max_pool3d(input, output_size, return_indices)


@layer(**_adaptive_mean)
def AdaptiveAvgPool1d(input, *, output_size):
    """Means over `output_size` windows of (N, C, L) or (C, L)."""
    return F.adaptive_avg_pool1d(input, output_size)


@layer(**_adaptive_mean)
def AdaptiveAvgPool2d(input, *, output_size):
    """Means over `output_size` windows of (N, C, H, W) or (C, H, W); None: that axis as it is."""
    return F.adaptive_avg_pool2d(input, output_size)


@layer(**_adaptive_mean)
def AdaptiveAvgPool3d(input, *, output_size):
    """Means over `output_size` windows of (N, C, D, H, W) or (C, D, H, W); None: that axis as it is."""
    return F.adaptive_avg_pool3d(input, output_size)


def _unpool(sizes):
    def prepare(values: dict):
        _stride(values)
        for name in ("kernel_size", "stride", "padding"):
            values[name] = sizes(values[name])

    return {"base": _MaxUnpoolNd, "show": "kernel_size, stride, padding", "prepare": prepare}


@layer(**_unpool(single))
def MaxUnpool1d(input, indices, output_size=None, *, kernel_size, stride=None, padding=0):
    """Maxima of (N, C, L) or (C, L) back where `indices` says that they stood."""
    return F.max_unpool1d(input, indices, kernel_size, stride, padding, output_size)


@layer(**_unpool(pair))
def MaxUnpool2d(input, indices, output_size=None, *, kernel_size, stride=None, padding=0):
    """Maxima of (N, C, H, W) or (C, H, W) back where `indices` says that they stood."""
    return F.max_unpool2d(input, indices, kernel_size, stride, padding, output_size)


@layer(**_unpool(triple))
def MaxUnpool3d(input, indices, output_size=None, *, kernel_size, stride=None, padding=0):
    """Maxima of (N, C, D, H, W) or (C, D, H, W) back where `indices` says that they stood."""
    return F.max_unpool3d(input, indices, kernel_size, stride, padding, output_size)


def _fractional(sizes):
    def prepare(values: dict):
        size, ratio = values["output_size"], values["output_ratio"]
        if size is None and ratio is None:
            raise ValueError("FractionalMaxPool requires specifying either an output size, or a pooling ratio")
        if size is not None and ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        values["kernel_size"] = sizes(values["kernel_size"])
        values["output_size"] = None if size is None else sizes(size)
        values["output_ratio"] = None if ratio is None else sizes(ratio)
        if ratio is not None and not all(0 < r < 1 for r in values["output_ratio"]):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {ratio})")

    return {"prepare": prepare, "show": "", "buffers": ("_random_samples",)}


@layer(**_fractional(pair))
def FractionalMaxPool2d(
    input, *, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """Maxima over windows that stand at random steps: Graham (2014). Give output_size or output_ratio."""
    return F.fractional_max_pool2d(input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


@layer(**_fractional(triple))
def FractionalMaxPool3d(
    input, *, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """Maxima over windows of a volume that stand at random steps. Give output_size or output_ratio."""
    return F.fractional_max_pool3d(input, kernel_size, output_size, output_ratio, return_indices, _random_samples)
