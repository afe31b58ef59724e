"""Losses. `reduction`: "mean", "sum" or "none" (a loss per sample)."""

import warnings

from .. import functional as F
from .layer import layer
from .module import Module
from .shaping import PairwiseDistance


class _Loss(Module):
    """What all losses are."""


class _WeightedLoss(_Loss):
    """A loss with a buffer `weight`."""


def _reduction(values: dict):
    """`size_average` and `reduce` said once what `reduction` says now."""
    size_average, reduce = values.pop("size_average"), values.pop("reduce")
    if size_average is None and reduce is None:
        return
    size_average, reduce = size_average is None or size_average, reduce is None or reduce
    values["reduction"] = ("mean" if size_average else "sum") if reduce else "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{values['reduction']}' instead.",
        stacklevel=4,
    )


_plain = {"base": _Loss, "show": ""}
_old = _plain | {"prepare": _reduction, "unkept": ("size_average", "reduce")}
_weighted = _old | {"base": _WeightedLoss, "buffers": ("weight",)}


@layer(**_old)
def L1Loss(input, target, *, size_average=None, reduce=None, reduction="mean"):
    """|x - y|."""
    return F.l1_loss(input, target, reduction=reduction)


@layer(**_weighted)
def NLLLoss(input, target, *, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """-weight[y]·x[y] of log-probabilities (N, C, *) and classes (N, *); targets `ignore_index` do not count."""
    return F.nll_loss(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


class NLLLoss2d(NLLLoss):
    """An old name of NLLLoss."""

    def __init__(self, *args, **kwargs):
        warnings.warn(
            "NLLLoss2d has been deprecated. Please use NLLLoss instead as a drop-in replacement and see "
            "https://pytorch.org/docs/main/nn.html#torch.nn.NLLLoss for more details.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)


@layer(**_old)
def PoissonNLLLoss(
    input, target, *, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
):
    """exp(x) - y·x, or x - y·log(x + eps) without `log_input`; `full` adds Stirling's term."""
    return F.poisson_nll_loss(input, target, log_input=log_input, full=full, eps=eps, reduction=reduction)


@layer(**_plain)
def GaussianNLLLoss(input, target, var, *, full=False, eps=1e-6, reduction="mean"):
    """(log var + (x - y)²/var) / 2, with a variance of at least `eps`: Nix and Weigend (1994)."""
    return F.gaussian_nll_loss(input, target, var, full=full, eps=eps, reduction=reduction)


@layer(**_old)
def KLDivLoss(input, target, *, size_average=None, reduce=None, reduction="mean", log_target=False):
    """y·(log y - x) of log-probabilities x; reduction "batchmean" is the divergence's definition."""
    return F.kl_div(input, target, reduction=reduction, log_target=log_target)


@layer(**_old)
def MSELoss(input, target, *, size_average=None, reduce=None, reduction="mean"):
    """(x - y)²."""
    return F.mse_loss(input, target, reduction=reduction)


@layer(**_weighted)
def BCELoss(input, target, *, weight=None, size_average=None, reduce=None, reduction="mean"):
    """-(y·log x + (1 - y)·log(1 - x)) of probabilities x; logarithms are held at -100."""
    return F.binary_cross_entropy(input, target, weight=weight, reduction=reduction)


@layer(**_old | {"buffers": ("weight", "pos_weight")})
def BCEWithLogitsLoss(input, target, *, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
    """BCELoss of sigmoid(x), without overflow; `pos_weight` per class weighs the positive examples."""
    return F.binary_cross_entropy_with_logits(input, target, weight, pos_weight=pos_weight, reduction=reduction)


@layer(**_old)
def HingeEmbeddingLoss(input, target, *, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """x where y is 1, max(0, margin - x) where it is -1."""
    return F.hinge_embedding_loss(input, target, margin=margin, reduction=reduction)


@layer(**_old)
def MultiLabelMarginLoss(input, target, *, size_average=None, reduce=None, reduction="mean"):
    """Mean over classes of max(0, 1 - (x[y] - x[i])) for the targets up to the first -1."""
    return F.multilabel_margin_loss(input, target, reduction=reduction)


@layer(**_old)
def SmoothL1Loss(input, target, *, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """(x - y)²/(2·beta) nearer than `beta`, |x - y| - beta/2 farther: Girshick (2015)."""
    return F.smooth_l1_loss(input, target, reduction=reduction, beta=beta)


def _real_delta(values: dict):
    if not isinstance(values["delta"], float | int):
        raise TypeError(f"delta must be a float or int, got: {type(values['delta'])}")


@layer(**_plain, prepare=_real_delta)
def HuberLoss(input, target, *, reduction="mean", delta=1.0):
    """(x - y)²/2 nearer than `delta`, delta·(|x - y| - delta/2) farther: Huber (1964)."""
    return F.huber_loss(input, target, reduction=reduction, delta=delta)


@layer(**_old)
def SoftMarginLoss(input, target, *, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-y·x)) of targets 1 and -1."""
    return F.soft_margin_loss(input, target, reduction=reduction)


class CrossEntropyLoss(_WeightedLoss):
    """-weight[y]·log softmax(x)[y] of logits (N, C, *) or (C), and classes (N, *) or probabilities of x's shape.

    Targets `ignore_index` do not count; `label_smoothing` mixes the target with the even distribution.
    """

    def __init__(
        self, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0
    ):
        super().__init__()
        values = {"size_average": size_average, "reduce": reduce, "reduction": reduction}
        _reduction(values)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing, self.reduction = ignore_index, label_smoothing, values["reduction"]

    def forward(self, input, target):
        return F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip


@layer(**_weighted)
def MultiLabelSoftMarginLoss(input, target, *, weight=None, size_average=None, reduce=None, reduction="mean"):
    """BCEWithLogitsLoss, mean over classes."""
    return F.multilabel_soft_margin_loss(input, target, weight=weight, reduction=reduction)


@layer(**_old)
def CosineEmbeddingLoss(input1, input2, target, *, margin=0.0, size_average=None, reduce=None, reduction="mean"):
    """1 - cos(x1, x2) where y is 1, max(0, cos - margin) where it is -1."""
    return F.cosine_embedding_loss(input1, input2, target, margin=margin, reduction=reduction)


@layer(**_old)
def MarginRankingLoss(input1, input2, target, *, margin=0.0, size_average=None, reduce=None, reduction="mean"):
    """max(0, -y·(x1 - x2) + margin)."""
    return F.margin_ranking_loss(input1, input2, target, margin=margin, reduction=reduction)


def _margin(values: dict):
    _reduction(values)
    if values["p"] not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if values["weight"] is not None and values["weight"].ndim != 1:
        raise ValueError(
            f"MultiMarginLoss: expected weight to be None or 1D tensor, got {values['weight'].ndim}D instead"
        )


@layer(**_weighted | {"prepare": _margin})
def MultiMarginLoss(input, target, *, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    """Mean over classes i but y of max(0, weight[y]·(margin - x[y] + x[i]))^p."""
    return F.multi_margin_loss(input, target, p=p, margin=margin, weight=weight, reduction=reduction)


def _check_margin(name: str, margin: float):
    if margin <= 0:
        raise ValueError(f"{name}: expected margin to be greater than 0, got {margin} instead")


def _positive_margin(values: dict):
    _reduction(values)
    _check_margin("TripletMarginLoss", values["margin"])


@layer(**_old | {"prepare": _positive_margin})
def TripletMarginLoss(
    anchor,
    positive,
    negative,
    *,
    margin=1.0,
    p=2.0,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """max(0, d(a, p) - d(a, n) + margin) with the p-norm's distance d: Balntas et al. (2016)."""
    return F.triplet_margin_loss(
        anchor, positive, negative, margin=margin, p=p, eps=eps, swap=swap, reduction=reduction
    )


class TripletMarginWithDistanceLoss(_Loss):
    """max(0, d(a, p) - d(a, n) + margin) with a distance of your own (None: PairwiseDistance)."""

    def __init__(self, *, distance_function=None, margin=1.0, swap=False, reduction="mean"):
        super().__init__()
        _check_margin("TripletMarginWithDistanceLoss", margin)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin, self.swap, self.reduction = margin, swap, reduction

    def forward(self, anchor, positive, negative):
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function, margin=self.margin, swap=self.swap,
            reduction=self.reduction,
        )  # fmt: skip


@layer(**_plain)
def CTCLoss(log_probs, targets, input_lengths, target_lengths, *, blank=0, reduction="mean", zero_infinity=False):
    """-log of the probability of all alignments of the targets: Graves et al. (2006). log_probs (T, N, C)."""
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)
