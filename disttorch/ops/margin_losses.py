"""Losses that push scores or distances apart by a margin."""

from .. import dtypes
from .activation import logsigmoid
from .arguments import need_floating, need_tensor
from .arithmetic import minimum
from .comparison import where
from .distance import pairwise_distance
from .loss import check_reduction, legacy, reduced


def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """max(0, -target * (input1 - input2) + margin): target 1 wants input1 to rank higher, -1 lower."""
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    shapes = [t._data.shape for t in (input1, input2, target)]
    if len({len(s) for s in shapes}) > 1:
        told = ", ".join(
            f"{n}: torch.Size({list(s)})" for n, s in zip(("input1", "input2", "target"), shapes, strict=True)
        )
        raise RuntimeError(f"margin_ranking_loss : All input tensors should have same dimension but got sizes: {told} ")
    return reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def _long(target):
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"expected scalar type Long but found {dtypes.SCALAR_NAMES[target.dtype]}")


def multi_margin_loss(
    input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"
):  # fmt: skip
    """The mean over classes j other than the target y of max(0, margin - input[y] + input[j])^p, times weight[y].

    input (N, C) or (C,), target (N,) or (): class indices.
    """
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    need_tensor(input, "multi_margin_loss", "input", 1)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight._data.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x, t = input._data, target._data
    if x.ndim > 2 or (x.ndim == 2 and x.shape[1] == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(x.shape)}"
        )
    rows = x.shape[0] if x.ndim == 2 else 1
    if t.ndim > 1 or t.size != rows:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{rows}], but got {list(t.shape)}. Input has shape {list(x.shape)}."
        )
    _long(target)
    need_floating(input, "multi_margin_loss")
    scores, classes = input.reshape(rows, -1), x.shape[-1] if x.ndim else 1
    if weight is not None and weight._data.size != classes:
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight._data.shape)}")
    if t.size and not (t.min() >= 0 and t.max() < classes):
        raise RuntimeError("target out of range")
    at = target.reshape(rows, 1)
    gaps = (margin - scores.gather(1, at) + scores).clamp(min=0)
    if p == 2:
        gaps = gaps.square()
    if weight is not None:
        gaps = gaps * weight[at]
    loss = gaps.scatter(1, at, 0.0).sum(1) / classes
    return loss.reshape(t.shape) if reduction == "none" else reduced(loss, reduction)


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """The sum over target classes y and other classes j of max(0, 1 - (input[y] - input[j])), divided by the classes.

    input (N, C) or (C,); target, as input: class indices, up to the first -1.
    """
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    need_tensor(input, "multilabel_margin_loss", "input", 1)
    x, t = input._data, target._data
    if x.ndim > 2 or (x.ndim == 2 and x.shape[1] == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(x.shape)}"
        )
    if t.shape != x.shape and not (x.ndim < 2 and t.size == x.size):
        raise RuntimeError(f"inconsistent target size: {list(t.shape)} for input of size: {list(x.shape)}")
    _long(target)
    need_floating(input, "multilabel_margin_loss_forward_out_frame")
    classes = x.shape[-1] if x.ndim else 1
    if t.size and (t.min() < -1 or t.max() >= classes):
        raise RuntimeError("argument #2 'target' is out of range")
    scores, at = input.reshape(-1, classes), target.reshape(-1, classes)
    listed = (at < 0).long().cumsum(1) == 0  # before the first -1
    at = at.clamp(min=0)
    wanted = scores.detach().new_zeros(scores._data.shape).scatter_add(1, at, listed.to(input.dtype)) > 0
    gaps = (1 - scores.gather(1, at).unsqueeze(2) + scores.unsqueeze(1)).clamp(min=0)
    counted = listed.unsqueeze(2) & ~wanted.unsqueeze(1)
    loss = gaps.masked_fill(~counted, 0).sum((1, 2)) / classes
    return loss.reshape(x.shape[:-1]) if reduction == "none" else reduced(loss, reduction)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """The mean over classes of the binary cross-entropy of sigmoid(input): (N, C) -> (N,), reduced."""
    reduction = legacy(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    loss = loss.sum(-1) / input._data.shape[-1]
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    return reduced(loss, reduction)


def cosine_embedding_loss(
    input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"
):  # fmt: skip
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1; inputs (N, D) or (D,), target (N,) or ()."""
    need_tensor(input1, "cosine_embedding_loss", "input1", 1)
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    t = target._data
    if t.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    wanted = t.ndim + 1
    if input1._data.ndim != wanted or input2._data.ndim != wanted:
        raise RuntimeError(
            f"{t.ndim}D target tensor expects {wanted}D input tensors, but found inputs with sizes "
            f"{list(input1._data.shape)} and {list(input2._data.shape)}."
        )
    eps = 1e-12
    squares = ((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)
    cosine = (input1 * input2).sum(-1) / squares.sqrt()
    apart = where(target == -1, (cosine - margin).clamp(min=0), 0)
    return reduced(where(target == 1, 1 - cosine, 0) + apart, reduction)


def triplet_margin_loss(
    anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None, reduce=None, reduction="mean"
):  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm of the difference over the last
    dimension.

    swap: the distance of positive and negative counts where it is smaller (Balntas et al., 2016).
    """
    need_tensor(anchor, "triplet_margin_loss", "anchor", 1)
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)

    def distance(a, b):
        return pairwise_distance(a, b, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):  # fmt: skip
    """`triplet_margin_loss` with any distance of two batches."""
    check_reduction(reduction)
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


def _triplet(anchor, positive, negative, distance, margin, swap, reduction):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    a, p, n = (t._data.ndim for t in (anchor, positive, negative))
    if not a == p == n:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {a}D, positive {p}D, and negative {n}D inputs"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced((margin + near - far).clamp(min=0), reduction)


__all__: list[str] = []
