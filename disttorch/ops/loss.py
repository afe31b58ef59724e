"""Machinery of the losses: reductions, their legacy arguments, and cross-entropy."""

import warnings

import numpy as np

from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..dtypes import SCALAR_NAMES
from ..kernels.portable.precision import in_float32
from ..kernels.portable.scatter import are_within, positions
from .arguments import need_floating, need_tensor
from .dims import axis
from .fused import fused
from .linear import linear
from .matmul import kernels_of
from .softmax import _log_softmax_rule, log_softmax


def legacy(size_average, reduce, reduction: str) -> str:
    """The reduction that the deprecated `size_average` and `reduce` mean, with a warning."""
    if size_average is None and reduce is None:
        return reduction
    average, reduces = size_average is None or size_average, reduce is None or reduce
    meant = "none" if not reduces else "mean" if average else "sum"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.", stacklevel=4
    )
    return meant


def check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The loss's mean, its sum, or itself."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


# -- negative log-likelihood of classes -------------------------------------------------------------------------------
def _index_to_ignore(data, classes, ignore_index):
    """`ignore_index`, or None where no target is ignored; IndexError for a class that is not there."""
    if not data.size:
        return ignore_index
    if are_within(data, classes):
        return None if ignore_index < 0 or ignore_index >= classes else ignore_index
    bad = data[((data < 0) | (data >= classes)) & (data != ignore_index)]
    if bad.size:
        raise IndexError(f"Target {int(bad.flat[0])} is out of bounds.")
    return ignore_index


def _check_classes(input, target, weight):
    """Shapes and dtypes of class indices, in PyTorch's words. input (N, C, *S), target (N, *S)."""
    x, t = input._data, target._data
    if x.ndim < 2:
        if t.ndim > 1 or (t.ndim == 1 and x.ndim == 1 and t.shape[0] != 1):
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    elif t.ndim and x.shape[0] != t.shape[0]:
        raise ValueError(f"Expected input batch_size ({x.shape[0]}) to match target batch_size ({t.shape[0]}).")
    elif x.ndim == 2 and t.ndim != 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    elif x.ndim == 4 and t.ndim != 3:
        raise RuntimeError(
            f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {t.ndim}"
        )
    elif x.ndim == 4 and t.shape != (x.shape[0], *x.shape[2:]):
        raise RuntimeError(f"size mismatch (got input: {list(x.shape)} , target: {list(t.shape)}")
    elif x.ndim > 2 and t.shape != (x.shape[0], *x.shape[2:]):
        raise RuntimeError(f"Expected target size {[x.shape[0], *x.shape[2:]]}, got {list(t.shape)}")
    if t.dtype not in (np.int64, np.uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {SCALAR_NAMES[target.dtype]}")
    if weight is not None:
        classes = x.shape[1] if x.ndim > 1 else x.shape[0]
        if weight._data.shape != (classes,):
            raise RuntimeError(
                f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor "
                f"of shape: {list(weight._data.shape)}"
            )
        if weight._data.dtype != x.dtype:
            raise RuntimeError(
                f"expected scalar type {SCALAR_NAMES[input.dtype]} but found {SCALAR_NAMES[weight.dtype]}"
            )


def _coefficients(x, target, weight, ignore_index, reduction):
    """Minus the derivative of the loss by each log-probability that is chosen: target's shape; and the divisor of a
    mean.
    """
    if ignore_index is None:
        index = target
        coefficient = np.ones_like(x, shape=target.shape) if weight is None else weight[index]
        return index, coefficient, coefficient.sum() if reduction == "mean" else None
    kept = target != ignore_index
    index = np.where(kept, target, 0).astype(np.int64)
    coefficient = kept.astype(x.dtype) if weight is None else weight[index] * kept
    return index, coefficient, coefficient.sum() if reduction == "mean" else None


def _chosen(shape, index):
    """Where in the flattened log-probabilities (N, C, *S) those of the classes `index` (N, *S) stand."""
    return positions(kernels_of(index).xp, shape, 1, np.expand_dims(index, 1)).squeeze(1)


@in_float32
def _nll_forward(x, target, weight, ignore_index, reduction):
    if weight is None and ignore_index is None and x.ndim == 2:
        loss = -x[np.arange(len(x)), target]
        if reduction == "none":
            return loss
        loss = np.add.reduce(loss)
        return np.asarray(loss / x.dtype.type(target.size) if reduction == "mean" else loss, x.dtype)
    index, coefficient, total = _coefficients(x, target, weight, ignore_index, reduction)
    loss = -x.reshape(-1).take(_chosen(x.shape, index)) * coefficient
    if ignore_index is not None:
        loss[target == ignore_index] = 0
    if reduction == "none":
        return loss
    loss = loss.sum()
    with np.errstate(all="ignore"):
        return np.asarray(loss / total if reduction == "mean" else loss, x.dtype)


@in_float32
def _nll_spread(g, target, weight, ignore_index, reduction, shape):
    """g (0-d or target's shape) -> (N, C, *S)."""
    index, coefficient, total = _coefficients(g, target, weight, ignore_index, reduction)
    z = np.zeros_like(g, shape=shape, order="C")
    with np.errstate(all="ignore"):
        values = -coefficient * (g if total is None else g / total if total else g * 0)
    z.reshape(-1)[_chosen(shape, index)] = values
    return z


def _nll_gather(g, target, weight, ignore_index, reduction):
    """The gradient of the gradient: g (N, C, *S) -> 0-d, or target's shape."""
    return _nll(g, target, weight, ignore_index, reduction)


_nll = Op(
    "NllLossBackward0",
    _nll_forward,
    params=("x", "target", "weight", "ignore_index", "reduction"),
    x=lambda g, x_shape, target, weight, ignore_index, reduction: _nll_back(
        g, target, weight, ignore_index, reduction, x_shape
    ),
)
_nll_back = Op(
    "NllLossBackwardBackward0",
    _nll_spread,
    params=("y", "target", "weight", "ignore_index", "reduction", "shape"),
    y=lambda g, target, weight, ignore_index, reduction: _nll_gather(g, target, weight, ignore_index, reduction),
)


def nll_loss(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"
):  # fmt: skip
    """-weight[t] * input[t] for log-probabilities `input` (N, C, *S) or (C,) and classes `target` (N, *S) or ().

    "mean" divides by the sum of the weights; targets equal to `ignore_index` do not count.
    """
    need_tensor(input, "nll_loss_nd", "input", 1)
    need_tensor(target, "nll_loss_nd", "target", 2)
    if size_average is not None or reduce is not None:
        reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    x, t = input._data, target._data
    if x.ndim == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if x.ndim != 2 or t.ndim != 1 or x.shape[0] != t.shape[0] or t.dtype != np.int64 or weight is not None:
        _check_classes(input, target, weight)
    ignore_index = _index_to_ignore(t, x.shape[0 if x.ndim == 1 else 1], ignore_index)
    if x.ndim == 1:
        loss = _nll(input.unsqueeze(0), target.reshape(1), weight, ignore_index, reduction)
        return loss.reshape(()) if reduction == "none" else loss
    return _nll(input, target, weight, ignore_index, reduction)


def _entropy_rule(g, x, saved, target, weight, ignore_index, reduction, label_smoothing):
    if not mode.grad:
        return fused("cross_entropy_backward", g, saved)
    log_prob = log_softmax(x, 1)
    t, w = target._data, None if weight is None else weight._data
    by_log_prob = _entropy_slope(g, t, w, ignore_index, reduction, label_smoothing, x._data.shape)
    return _log_softmax_rule(by_log_prob, log_prob, 1)


def _entropy_slope(g, target, weight, ignore_index, reduction, smoothing, shape):
    """g times the derivative of the loss by each log-probability, (N, C, *S)."""
    index, coefficient, total = _coefficients(g._data, target, weight, ignore_index, reduction)
    slope = np.zeros_like(g._data, shape=shape)
    np.put_along_axis(slope, np.expand_dims(index, 1), np.expand_dims(-coefficient * (1 - smoothing), 1), 1)
    if smoothing:
        classes = shape[1]
        share = (
            np.full_like(slope, smoothing / classes, shape=classes)
            if weight is None
            else weight * (smoothing / classes)
        )
        kept = np.expand_dims(target != ignore_index, 1)
        slope -= kept * share.reshape(-1, *(1,) * (len(shape) - 2))
    if total is not None:
        slope /= total
    slope = wrap(slope, g.device)
    return (g if reduction != "none" else g.unsqueeze(1)) * slope


_cross_entropy = Op(
    "NllLossBackward0",
    lambda x, target, weight, ignore_index, reduction, label_smoothing: kernels_of(x).cross_entropy_forward(
        x, target, weight, ignore_index, reduction, label_smoothing
    ),
    keeps=("saved",),
    x=_entropy_rule,
)


def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0
):  # fmt: skip
    """The cross-entropy of logits `input` (N, C, *S) or (C,) and classes `target` (N, *S) or (), or probabilities (as
    input).

    "mean" divides by the sum of the targets' weights; targets equal to `ignore_index` do not count; with label
    smoothing e the target has 1 - e of the probability and every class e / C. ValueError, RuntimeError, IndexError
    (PyTorch's texts) for shapes, dtypes and classes that do not fit.
    """
    need_tensor(input, "cross_entropy_loss", "input", 1)
    need_tensor(target, "cross_entropy_loss", "target", 2)
    if size_average is not None or reduce is not None:
        reduction = legacy(size_average, reduce, reduction)
    if reduction not in ("mean", "sum", "none"):
        check_reduction(reduction)
    x, t = input._data, target._data
    if x.shape == t.shape and x.ndim:
        return _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if x.ndim == 0:
        axis(1, 0)
    if x.dtype.kind != "f":
        need_floating(input, "log_softmax_lastdim_kernel_impl")
    if x.ndim != 2 or t.ndim != 1 or x.shape[0] != t.shape[0] or t.dtype != np.int64 or weight is not None:
        _check_classes(input, target, weight)
        if x.ndim == 1:
            loss = cross_entropy(
                input.unsqueeze(0),
                target.reshape(1),
                weight,
                ignore_index=ignore_index,
                reduction=reduction,
                label_smoothing=label_smoothing,
            )
            return loss.reshape(()) if reduction == "none" else loss
    ignore_index = _index_to_ignore(t, x.shape[1], ignore_index)
    return _cross_entropy(input, target, weight, ignore_index, reduction, float(label_smoothing))


def _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing):
    """Targets are probabilities: -sum(target * weight * log_softmax(input)); "mean" divides by the batch's size."""
    if target._data.dtype.kind not in "fV":
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {SCALAR_NAMES[target.dtype]}"
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    x = input._data
    d = 0 if x.ndim == 1 else 1
    classes = x.shape[d]
    if weight is not None and weight._data.shape != (classes,):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes but got "
            f"weight tensor of shape: {list(weight._data.shape)}"
        )
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    log_prob = log_softmax(input, d)
    if weight is not None:
        log_prob = log_prob * weight.reshape(-1, *(1,) * (x.ndim - 1 - d))
    if reduction == "none":
        return -(log_prob * target).sum(d)
    total = -(log_prob * target).sum()
    return total / max(x.size // classes, 1) if reduction == "mean" else total


def linear_cross_entropy(
    input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean", ignore_index=None,
    label_smoothing=0.0, options=None,
):  # fmt: skip
    """The cross-entropy of linear(input, linear_weight, linear_bias) and `target`.

    input (N, in) or (in,), linear_weight (C, *K, in): K-dimensional losses. `options` choose how PyTorch saves memory;
    they change nothing here.
    """
    x, w = input._data, linear_weight._data
    if x.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {x.ndim}")
    if w.ndim < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {w.ndim}")
    if x.shape[-1] != w.shape[-1]:
        raise RuntimeError(
            f"expected equal input and linear_weight last dimensions (in_features), got {x.shape[-1]} and "
            f"{w.shape[-1]}, respectively"
        )
    *classes, features = w.shape
    if linear_bias is not None and linear_bias._data.shape != tuple(classes):
        raise RuntimeError(f"expected linear_bias shape {tuple(classes)}, got {linear_bias._data.shape}")
    if w.ndim > 2 and x.ndim == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {w.shape} requires batched input, (N, {features}), got "
            f"unbatched input with shape {x.shape}"
        )
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(-1, features), bias).reshape(*x.shape[:-1], *classes)
    if target._data.dtype.kind == "f" and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(logits, target, weight, None, ignored, None, reduction, label_smoothing)


__all__: list[str] = []
