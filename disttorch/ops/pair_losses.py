"""Losses that compare an input with a target element by element."""

import math
import warnings

import numpy as np

from ..autograd.mode import mode
from ..autograd.op import Op
from ..dtypes import FLOATING, SCALAR_NAMES
from ..kernels.portable.blocks import in_blocks, sum_of_products, summed_in_blocks
from ..kernels.portable.precision import is_narrow
from .activation import logsigmoid
from .arguments import need_floating, need_tensor
from .comparison import where
from .fused import fused
from .loss import check_reduction, legacy, reduced
from .pointwise import hushed, result_dtype
from .shape import broadcast_tensors


def _pair(input, target, name, kernel=None, warn=True):
    """Input and target broadcast to one shape and promoted to one dtype; a warning (PyTorch's) if their shapes
    differ.
    """
    need_tensor(input, name, "input", 1)
    need_tensor(target, name, "target", 2)
    if input._data.shape != target._data.shape:
        if warn:
            warnings.warn(
                f"Using a target size (torch.Size({list(target._data.shape)})) that is different to the input size "
                f"(torch.Size({list(input._data.shape)})). This will likely lead to incorrect results due to "
                "broadcasting. Please ensure they have the same size.",
                stacklevel=3,
            )
        input, target = broadcast_tensors(input, target)
    if input._data.dtype != target._data.dtype:
        d = result_dtype(input, target)
        input, target = input.to(d), target.to(d)
    if input._data.dtype.kind != "f" and kernel is not None:
        need_floating(input, kernel)
    return input, target


def _reducing(forward, total=None):
    """`forward(x, y, *settings)` element by element, then reduced: (x, y, reduction, *settings) -> loss.

    total(x, y, *settings): the sum of what forward gives, for NumPy's arrays, where that is to be had in fewer passes.
    """

    def added(x, y, *settings):
        return np.add.reduce(forward(x, y, *settings), axis=None)

    @hushed
    def function(x, y, reduction, *settings):
        if x.dtype.itemsize == 2:
            return function(x.astype(np.float32), y.astype(np.float32), reduction, *settings).astype(x.dtype)
        if reduction == "none":
            return in_blocks(lambda x, y: forward(x, y, *settings), x, y)
        summed = total if total is not None and type(x) is np.ndarray else added
        loss = summed_in_blocks(lambda x, y: summed(x, y, *settings), x, y)
        return np.asarray(loss / loss.dtype.type(x.size) if reduction == "mean" else loss)

    return function


def _share(g, x, reduction):
    """The loss's gradient, divided among the elements."""
    return g / x._data.size if reduction == "mean" else g


def _scaled_difference(g, x, y, bound=None):
    """g * (x - y) with x - y held within ±bound, at once where nobody records and g is one number; else None."""
    if mode.grad or g._data.ndim or is_narrow(x._data.dtype) or not x.device.host:
        return None
    return fused("difference_backward", g, x, y, bound)


def _weighted(loss, weight, input):
    if weight._data.shape != input._data.shape:
        raise ValueError("Weights and input must have the same size.")
    return loss * weight


# -- distances --------------------------------------------------------------------------------------------------------
def _sum_of_squares(x, y):
    difference = x - y
    return sum_of_products(difference, difference)


_mse = Op(
    "MseLossBackward0",
    _reducing(lambda x, y: np.square(x - y), _sum_of_squares),
    params=("x", "y", "reduction"),
    x=lambda g, x, y, reduction: _mse_rule(g, x, y, reduction),
    y=lambda g, x, y, reduction: _mse_rule(g, y, x, reduction),
)


def _mse_rule(g, x, y, reduction):
    times = g / (x._data.size / 2) if reduction == "mean" else g * 2  # the share's double, rounded once
    made = _scaled_difference(times, x, y)
    return (x - y) * times if made is None else made


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)², weighted (the mean by the sum of the weights) and reduced. Warns where shapes differ."""
    if size_average is not None or reduce is not None:
        reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    x, y = _pair(input, target, "mse_loss", "mse_cpu")
    if weight is None:
        return _mse(x, y, reduction)
    loss = _weighted(_mse(x, y, "none"), weight, input)
    return loss.sum() / weight.sum() if reduction == "mean" else reduced(loss, reduction)


def _l1_slope(g, x, y, reduction):
    return (x - y).sgn() * _share(g, x, reduction)


_l1_ops = {
    reduction: Op(
        node,
        _reducing(lambda x, y: np.abs(x - y)),
        params=("x", "y", "reduction"),
        x=_l1_slope,
        y=lambda g, x, y, reduction: _l1_slope(g, y, x, reduction),
    )
    for reduction, node in (("mean", "MeanBackward0"), ("sum", "SumBackward0"), ("none", "AbsBackward0"))
}


def _l1(x, y, reduction):
    return _l1_ops[reduction](x, y, reduction)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input - target|, weighted (the mean by the sum of the weights) and reduced. Warns where shapes differ."""
    if size_average is not None or reduce is not None:
        reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    x, y = _pair(input, target, "l1_loss")
    if weight is None:
        return _l1(x, y, reduction) if x.dtype.category >= FLOATING else reduced((x - y).abs(), reduction)
    loss = _weighted(_l1(x, y, "none"), weight, input)
    return loss.sum() / weight.sum() if reduction == "mean" else reduced(loss, reduction)


def _huber_forward(x, y, delta):
    """With m = min(d, delta) both branches are m * (d - m / 2)."""
    d = np.abs(x - y)
    near = np.minimum(d, d.dtype.type(delta))
    d -= near * d.dtype.type(0.5)
    d *= near
    return d


def _huber_sum(x, y, delta):
    """The same of signed differences, summed: both sums are positive, the first at least twice the second."""
    d = x - y
    near = d.clip(-delta, delta)
    return sum_of_products(near, d) - sum_of_products(near, near) * d.dtype.type(0.5)


def _smooth_l1_forward(x, y, beta):
    return _huber_forward(x, y, beta) * x.dtype.type(1 / beta)


def _smooth_l1_sum(x, y, beta):
    return _huber_sum(x, y, beta) * x.dtype.type(1 / beta)


def _clipped_rule(g, x, y, out, reduction, bound, scale):
    """(x - y) within the bounds, times `scale` and the loss's gradient."""
    times = _share(g, x, reduction) * scale
    made = _scaled_difference(times, x, y, bound) if np.isfinite(out._data).all() else None
    return (x - y).clamp(-bound, bound) * times if made is None else made


_smooth_l1 = Op(
    "SmoothL1LossBackward0",
    _reducing(_smooth_l1_forward, _smooth_l1_sum),
    params=("x", "y", "reduction", "beta"),
    x=lambda g, x, y, out, reduction, beta: _clipped_rule(g, x, y, out, reduction, beta, 1 / beta),
    y=lambda g, x, y, out, reduction, beta: _clipped_rule(g, y, x, out, reduction, beta, 1 / beta),
)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """d² / (2 beta) where d = |input - target| is below beta, d - beta / 2 elsewhere (Girshick, 2015)."""
    if size_average is not None or reduce is not None:
        reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    x, y = _pair(input, target, "smooth_l1_loss", "smooth_l1_cpu")
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _smooth_l1(x, y, reduction, beta) if beta else _l1(x, y, reduction)


_huber = Op(
    "HuberLossBackward0",
    _reducing(_huber_forward, _huber_sum),
    params=("x", "y", "reduction", "delta"),
    x=lambda g, x, y, out, reduction, delta: _clipped_rule(g, x, y, out, reduction, delta, 1),
    y=lambda g, x, y, out, reduction, delta: _clipped_rule(g, y, x, out, reduction, delta, 1),
)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """d² / 2 where d = |input - target| is at most delta, delta * (d - delta / 2) elsewhere (Huber, 1964)."""
    check_reduction(reduction)
    x, y = _pair(input, target, "huber_loss", "huber_cpu")
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is None:
        return _huber(x, y, reduction, delta)
    return reduced(_weighted(_huber(x, y, "none", delta), weight, input), reduction)


# -- likelihoods ------------------------------------------------------------------------------------------------------
_bce = Op(
    "BinaryCrossEntropyBackward0",
    # PyTorch bounds the logarithms at -100.
    lambda x, y: -(y * np.maximum(np.log(x), -100) + (1 - y) * np.maximum(np.log1p(-x), -100)),
    x=lambda g, x, y: g * (x - y) / ((1 - x) * x).clamp(min=1e-12),
    y=lambda g, x: g * ((-x).log1p().clamp(min=-100) - x.log().clamp(min=-100)),
)
_bce.forward = hushed(_bce.forward)


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """-(t log p + (1 - t) log(1 - p)) for probabilities p = `input`, weighted and reduced; logarithms are at least
    -100.

    ValueError if shapes differ, RuntimeError for an input outside of [0, 1].
    """
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    need_tensor(input, "binary_cross_entropy", "input", 1)
    need_tensor(target, "binary_cross_entropy", "target", 2)
    if target._data.shape != input._data.shape:
        raise ValueError(
            f"Using a target size (torch.Size({list(target._data.shape)})) that is different to the input size "
            f"(torch.Size({list(input._data.shape)})) is deprecated. Please ensure they have the same size."
        )
    need_floating(input, "binary_cross_entropy")
    if target._data.dtype != input._data.dtype:
        raise RuntimeError(f"Found dtype {SCALAR_NAMES[target.dtype]} but expected {SCALAR_NAMES[input.dtype]}")
    x, t = input._data, target._data
    if x.size:
        if not (t.min() >= 0 and t.max() <= 1):
            raise RuntimeError("all elements of target should be between 0 and 1")
        if not (x.min() >= 0 and x.max() <= 1) and not np.isnan(x).any():
            raise RuntimeError("all elements of input should be between 0 and 1")
    loss = _bce(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


_bce_logits = Op(
    "BinaryCrossEntropyWithLogitsBackward0",
    _reducing(lambda x, y: (1 - y) * x - np.minimum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    params=("x", "y", "reduction"),
    x=lambda g, x, y, reduction: (x.sigmoid() - y) * _share(g, x, reduction),
    y=lambda g, x, reduction: -x * _share(g, x, reduction),
)


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):  # fmt: skip
    """Binary cross-entropy of sigmoid(input), without overflow; `pos_weight` multiplies the terms of positive
    targets.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    need_tensor(input, "binary_cross_entropy_with_logits", "input", 1)
    need_tensor(target, "binary_cross_entropy_with_logits", "target", 2)
    if target._data.shape != input._data.shape:
        raise ValueError(
            f"Target size (torch.Size({list(target._data.shape)})) must be the same as input size "
            f"(torch.Size({list(input._data.shape)}))"
        )
    if (
        weight is None
        and pos_weight is None
        and input._data.dtype == target._data.dtype
        and input._data.dtype.kind == "f"
    ):
        return _bce_logits(input, target, reduction)
    if target._data.dtype.kind not in "fV":
        kinds = [SCALAR_NAMES[t.dtype] for t in (input, target)]
        raise RuntimeError("result type {} can't be cast to the desired output type {}".format(*kinds))
    if input._data.dtype.kind == "f" and target._data.dtype.kind != "f":
        target = target.to(input.dtype)
    if pos_weight is None:
        loss = (
            -(target - 1) * input - logsigmoid(input)
            if input.dtype is not target.dtype
            else _bce_logits(input, target, "none")
        )
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * logsigmoid(input)
    return reduced(loss if weight is None else loss * weight, reduction)


def poisson_nll_loss(
    input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
):  # fmt: skip
    """exp(input) - target * input, or input - target * log(input + eps) without `log_input`; `full` adds Stirling's
    terms.
    """
    need_tensor(input, "poisson_nll_loss", "input", 1)
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + (target * (2 * math.pi)).log() * 0.5
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return reduced(loss, reduction)


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """(log(var) + (input - target)² / var) / 2, var at least eps; `full` adds log(2 pi) / 2."""
    need_tensor(input, "gaussian_nll_loss", "input", 1)
    from .creation import full_like

    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = full_like(input, var)
    elif (var._data < 0).any():
        raise ValueError("var has negative entry/entries")
    a, b = input._data.shape, var._data.shape
    if a != b:
        if a[:-1] == b:
            var = var.unsqueeze(-1)
        elif not (len(a) == len(b) and sum(n for m, n in zip(a, b, strict=True) if m != n) == 1):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    # The clamping is invisible to the gradient, as in PyTorch.
    var = var + (var.detach().clamp(min=eps) - var.detach())
    loss = (var.log() + (input - target).square() / var) * 0.5
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target * (log(target) - input) for log-probabilities `input`; `log_target`: the target is logarithms too.

    "batchmean" divides the sum by the batch's size, which is the divergence; "mean" divides by the number of elements.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy(size_average, reduce, reduction)
    elif reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    if reduction != "batchmean":
        check_reduction(reduction)
    for position, (name, t) in enumerate((("input", input), ("target", target)), 1):
        need_tensor(t, "kl_div", name, position)
        if not t.dtype.is_floating_point:
            raise RuntimeError(f"kl_div: {'Complex' if t.dtype.is_complex else 'Integral'} inputs not supported.")
    if log_target:
        loss = target.exp() * (target - input)
    else:
        from .arithmetic import xlogy

        loss = xlogy(target, target) - target * input
    if reduction == "batchmean":
        return loss.sum() / input._data.shape[0] if input._data.ndim else loss.sum()
    return reduced(loss, reduction)


# -- margins ----------------------------------------------------------------------------------------------------------
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-target * input)) for targets 1 and -1."""
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    need_tensor(input, "soft_margin_loss", "input", 1)
    return reduced((-target * input).exp().log1p(), reduction)


def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """input where the target is 1, max(0, margin - input) where it is -1."""
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    apart = where(target != 1, (margin - input).clamp(min=0), 0)
    return reduced(apart + where(target != -1, input, 0), reduction)


__all__: list[str] = []
