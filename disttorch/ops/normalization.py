"""Normalisation over the batch, a sample's groups or its last dimensions."""

from math import prod

import numpy as np

from .. import dtypes
from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import counter, wrap
from ..kernels.portable.precision import is_narrow
from .arguments import need_floating, need_tensor
from .fused import by_parts, fused
from .matmul import kernels_of


# -- over the batch ---------------------------------------------------------------------------------------------------
def _batch_forward(x, weight, bias, running_mean, running_var, training, momentum, eps):
    """-> y and the statistics it was normalised with; updates the running ones (with the unbiased variance) in
    place.
    """
    kernels = kernels_of(x)
    if not training:
        mean, var = running_mean, running_var
        y = kernels.batch_norm_forward(x, weight, bias, eps, mean, var)[0]
        return y, mean.copy(), var.copy()
    y, mean, var = kernels.batch_norm_forward(x, weight, bias, eps)
    if running_mean is not None:
        running_mean *= 1 - momentum
        running_mean += momentum * mean
    if running_var is not None:
        count = x.size // x.shape[1]
        running_var *= 1 - momentum
        running_var += (momentum * count / max(count - 1, 1)) * var
    return y, mean, var


def _batch_rule(g, needs, x, weight, bias, mean, var, training, eps):
    if not mode.grad:
        return fused("batch_norm_backward", g, x, weight, mean, var, eps, training, needs)

    def meaning(x, weight, bias):
        axes, shape = [0, *range(2, x._data.ndim)], [1, -1, *(1,) * (x._data.ndim - 2)]
        if training:
            return _affine(_standardised(x, axes, eps), weight, bias, shape)
        scale = (wrap(var, x.device) + eps).rsqrt().reshape(shape)
        return _affine((x - wrap(mean, x.device).reshape(shape)) * scale, weight, bias, shape)

    return by_parts(meaning, (x, weight, bias), needs, g)


def _standardised(x, axes, eps):
    """x with mean 0 and variance 1 over the axes."""
    centred = x - x.mean(axes, keepdim=True)
    return centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()


def _affine(x, weight, bias, shape=None):
    if weight is not None:
        x = x * (weight if shape is None else weight.reshape(shape))
    if bias is not None:
        x = x + (bias if shape is None else bias.reshape(shape))
    return x


_batch_norm = Op(
    "NativeBatchNormBackward0", _batch_forward, keeps=("mean", "var"), joint=_batch_rule, inputs=("x", "weight", "bias")
)


def _check_mixed(input, running_mean, *parameters):
    """Parameters have the input's dtype, or are float32 where the input is a 16-bit float."""
    x = input._data.dtype
    for t in (running_mean, *parameters):
        if t is not None and t._data.dtype != x and not (is_narrow(x) and t._data.dtype == np.float32):
            if t is running_mean:
                raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
            raise RuntimeError(
                f"mixed dtype (CPU): expect parameter to have scalar type of {dtypes.SCALAR_NAMES[input.dtype]}"
            )


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-05
):  # fmt: skip
    """(x - mean) / sqrt(var + eps) * weight + bias with statistics per channel (dimension 1) of the batch in training,
    else the running ones; in training the running ones move towards the batch's (variance unbiased) by `momentum`, in
    place.

    input (N, C, *), the others (C,). ValueError for a single value per channel in training.
    """
    need_tensor(input, "batch_norm", "input", 1)
    x = input._data
    if x.shape == (0,):
        return input.clone()
    if training and x.ndim > 1 and x.size == x.shape[1]:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size torch.Size({list(x.shape)})"
        )
    if training and eps <= 0.0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if eps < 0.0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    return normalize_batch(input, running_mean, running_var, weight, bias, training, momentum, eps)


def normalize_batch(input, running_mean, running_var, weight, bias, training, momentum, eps):
    """`batch_norm` for any number of values per channel."""
    x = input._data
    channels = x.shape[1] if x.ndim > 1 else 0
    if not training:
        for name, t in (("running_mean", running_mean), ("running_var", running_var)):
            if t is None:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
    for name, t in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if t is not None and t._data.shape != (channels,):
            raise RuntimeError(f"{name} should contain {channels} elements not {t._data.size}")
    if x.dtype.kind != "f":
        need_floating(input, "batch_norm")
    for t in (running_mean, weight, bias):
        if t is not None and t._data.dtype != x.dtype:
            _check_mixed(input, running_mean, weight, bias)
    if training and x.size == 0:  # an empty batch has no statistics to move towards
        running_mean = running_var = None
    out = _batch_norm(
        input, weight, bias, running_mean, running_var, bool(training), 0.0 if momentum is None else momentum, eps
    )
    if training:
        for t in (running_mean, running_var):
            if t is not None:
                counter(t)[0] += 1
    return out


# -- over the last dimensions -----------------------------------------------------------------------------------------
def _layer_rule(g, needs, x, dims, weight, bias, mean, var, eps):
    if not mode.grad:
        return fused("layer_norm_backward", g, x, dims, weight, mean, var, eps, needs)
    last = list(range(-dims, 0))
    return by_parts(lambda x, w, b: _affine(_standardised(x, last, eps), w, b), (x, weight, bias), needs, g)


_layer_norm = Op(
    "NativeLayerNormBackward0",
    lambda x, dims, weight, bias, eps: kernels_of(x).layer_norm_forward(x, dims, weight, bias, eps),
    keeps=("mean", "var"),
    joint=_layer_rule,
    inputs=("x", "weight", "bias"),
)


def _check_normalized(input, shape, **parameters):
    x = input._data
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for name, t in parameters.items():
        if t is not None and t._data.shape != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(t._data.shape)} and normalized_shape = {list(shape)}"
            )
    if x.shape[-len(shape) :] != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, {', '.join(map(str, shape))}], but "
            f"got input of size{list(x.shape)}"
        )


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, those of `normalized_shape` (Ba et al.,
    2016).
    """
    need_tensor(input, "layer_norm", "input", 1)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    x = input._data
    if (
        not shape
        or x.shape[-len(shape) :] != shape
        or (weight is not None and weight._data.shape != shape)
        or (bias is not None and bias._data.shape != shape)
    ):
        _check_normalized(input, shape, weight=weight, bias=bias)
    if x.dtype.kind != "f":
        need_floating(input, "LayerNormKernelImpl")
    for t in (weight, bias):
        if t is not None and t._data.dtype != x.dtype:
            _check_mixed(input, None, weight, bias)
    return _layer_norm(input, len(shape), weight, bias, eps)


def _rms_forward(x, dims, weight, eps):
    wide = x.astype(np.float32) if is_narrow(x.dtype) else x
    rstd = 1 / np.sqrt((wide * wide).mean(axis=tuple(range(-dims, 0)), keepdims=True) + wide.dtype.type(eps))
    y = wide * rstd
    if weight is not None:
        y *= weight
    return y.astype(x.dtype, copy=False), rstd


def _rms_rule(g, needs, x, dims, weight, eps):
    """One formula serves both ways: normal = x * rstd; gx = rstd * (gw - normal * mean(gw * normal)), gw = g *
    weight.
    """
    last, leading = list(range(-dims, 0)), list(range(x._data.ndim - dims))
    if is_narrow(x._data.dtype):  # rounded once, at the end
        g, x, weight = (t if t is None else t.to(dtypes.float32) for t in (g, x, weight))
    rstd = (x.square().mean(last, keepdim=True) + eps).rsqrt()
    normal = x * rstd
    gw = g if weight is None else g * weight
    gx = (gw - normal * (gw * normal).mean(last, keepdim=True)) * rstd if needs[0] else None
    by_weight = g * normal
    return gx, (by_weight.sum(leading) if leading else by_weight) if needs[1] else None


_rms_norm = Op("FusedRmsNormBackward0", _rms_forward, keeps=("rstd",), joint=_rms_rule, inputs=("x", "weight"))


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """x / sqrt(mean(x²) + eps) * weight over the last dimensions, those of `normalized_shape` (Zhang and Sennrich,
    2019).

    eps: the dtype's machine epsilon unless given.
    """
    need_tensor(input, "rms_norm", "input", 1)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    _check_normalized(input, shape, weight=weight)
    need_floating(input, "RmsNormKernelImpl")
    if eps is None:
        eps = dtypes.finfo(dtypes.float32 if is_narrow(input._data.dtype) else input.dtype).eps
    return _rms_norm(input, len(shape), weight, eps)


# -- over groups of a sample's channels -------------------------------------------------------------------------------
def _group_forward(x, groups, weight, bias, eps):
    return kernels_of(x).group_norm_forward(x, groups, weight, bias, eps)


def _group_rule(g, needs, x, groups, weight, bias, mean, var, eps):
    shape = x._data.shape
    split = (shape[0], groups, prod(shape[1:]) // groups)
    per_channel = (-1, *(1,) * (len(shape) - 2))
    if mode.grad:

        def meaning(x, weight, bias):
            return _affine(_standardised(x.reshape(split), [-1], eps).reshape(shape), weight, bias, per_channel)

        return by_parts(meaning, (x, weight, bias), needs, g)
    return fused("group_norm_backward", g, x, groups, weight, mean, var, eps, needs)


_group_norm, _instance_norm = [
    Op(name, _group_forward, keeps=("mean", "var"), joint=_group_rule, inputs=("x", "weight", "bias"))
    for name in ("NativeGroupNormBackward0", "NativeBatchNormBackward0")
]


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-05):
    """(x - mean) / sqrt(var + eps) * weight + bias, statistics per sample and group of channels (Wu and He, 2018).

    input (N, C, *), weight and bias (C,).
    """
    need_tensor(input, "group_norm", "input", 1)
    x = input._data
    if x.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {x.ndim}")
    channels = x.shape[1]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(x.shape)} and num_groups={num_groups}"
        )
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t._data.shape != (channels,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of "
                f"shape {list(t._data.shape)} and input of shape {list(x.shape)}"
            )
    need_floating(input, "GroupNormKernelImpl")
    _check_mixed(input, None, weight, bias)
    if x.size and x.size == num_groups:
        shape = [x.shape[0] * channels // num_groups, num_groups, *x.shape[2:]]
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
    return _group_norm(input, num_groups, weight, bias, eps)


def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-05
):  # fmt: skip
    """Normalisation with statistics per sample and channel (Ulyanov et al., 2016); running ones move by `momentum`, in
    place.
    """
    need_tensor(input, "instance_norm", "input", 1)
    x = input._data
    if use_input_stats:
        if prod(x.shape[2:]) == 1:
            raise ValueError(
                f"Expected more than 1 spatial element when training, got input size torch.Size({list(x.shape)})"
            )
    elif running_mean is None or running_var is None:
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    if use_input_stats and running_mean is None and running_var is None and _is_plain(input, weight, bias):
        return _instance_norm(input, x.shape[1], weight, bias, eps)
    n, channels, *rest = x.shape

    def tiled(t):
        return None if t is None else t.repeat(n)

    mean, var = tiled(running_mean), tiled(running_var)
    out = normalize_batch(
        input.reshape(1, n * channels, *rest), mean, var, tiled(weight), tiled(bias), use_input_stats, momentum, eps
    )
    if use_input_stats:
        for running, now in ((running_mean, mean), (running_var, var)):
            if running is not None:
                running.copy_(now.detach().reshape(n, channels).mean(0))
    return out.reshape(x.shape)


def _is_plain(input, *parameters):
    """Whether all is as instance norm without running statistics wants it: nothing to complain of, nothing empty."""
    x = input._data
    fit = [t is None or (t._data.shape == x.shape[1:2] and t._data.dtype == x.dtype) for t in parameters]
    return x.ndim > 2 and x.size > 0 and x.dtype.kind == "f" and all(fit)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha * mean of x² over `size` neighbouring channels) ** beta (Krizhevsky et al., 2012)."""
    from .padding import pad
    from .pooling import avg_pool2d, avg_pool3d

    shape = input._data.shape
    if len(shape) < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality                          input (got {len(shape)} dimensions)"
        )
    if not input._data.size:
        return input
    squares = (input * input).unsqueeze(1)
    around = (size // 2, (size - 1) // 2)
    if len(shape) == 3:
        means = avg_pool2d(pad(squares, (0, 0, *around)), (size, 1), stride=1).squeeze(1)
    else:
        squares = squares.reshape(shape[0], 1, shape[1], shape[2], -1)
        means = avg_pool3d(pad(squares, (0, 0, 0, 0, *around)), (size, 1, 1), stride=1).squeeze(1).reshape(shape)
    return input / (means * alpha + k).pow(beta)


__all__ = ["group_norm", "layer_norm", "rms_norm"]
