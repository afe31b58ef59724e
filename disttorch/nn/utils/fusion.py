"""Batch norm in evaluation as part of the layer before it: Jacob et al. (2018), section 3.2."""

from copy import deepcopy

from ...ops import ones_like, rsqrt, zeros_like
from ..parameter import Parameter


def fuse_conv_bn_eval(conv, bn, transpose: bool = False):
    """A convolution that does what `conv` and then `bn` do, both in evaluation mode. transpose: a transposed one."""
    fused = _copy_for(conv, bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose: bool = False):
    """-> (weight, bias) of the fused convolution, from those of the convolution and the norm's statistics."""
    axes = [1] * (conv_w.ndim - 2)
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [1, -1, *axes] if transpose else [-1, 1, *axes])


def fuse_linear_bn_eval(linear, bn):
    """A linear layer that does what `linear` and then `bn` do, both in evaluation mode."""
    if bn.num_features not in (linear.out_features, 1):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
        )
    fused = _copy_for(linear, bn)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """-> (weight, bias) of the fused linear layer."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def _copy_for(layer, bn):
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    return deepcopy(layer)


def _fused(weight, bias, mean, var, eps, scale, shift, shape: list) -> tuple[Parameter, Parameter]:
    requires = weight.requires_grad if bias is None else bias.requires_grad
    bias = zeros_like(mean) if bias is None else bias
    factor = rsqrt(var + eps) * (ones_like(mean) if scale is None else scale)
    made = (weight * factor.reshape(shape)).to(weight.dtype)
    added = ((bias - mean) * factor + (zeros_like(mean) if shift is None else shift)).to(bias.dtype)
    return Parameter(made, weight.requires_grad), Parameter(added, requires)
