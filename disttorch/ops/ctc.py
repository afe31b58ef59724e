"""Connectionist temporal classification (Graves et al., 2006): the probability of all alignments of a target with a sequence.

T steps, N sequences, C classes, S target symbols. The target l is extended by blanks to l' of length 2 S + 1; alpha[t, s] is
the log-probability of l'[: s + 1] after step t, beta[t, s] that of l'[s:] from step t on.
"""

import numpy as np

from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..dtypes import SCALAR_NAMES
from .fused import by_parts
from .joining import stack
from .loss import check_reduction, reduced
from .padding import pad
from .reduction import logsumexp


IMPOSSIBLE = -1e30  # a logarithm whose sums have finite gradients, unlike -inf's


def _extended(target, blank):
    extended = np.full(2 * len(target) + 1, blank, np.int64)
    extended[1::2] = target
    return extended


def _may_skip(extended):
    """Where l'[s] may follow l'[s - 2]: a symbol that differs from the one before."""
    skip = np.zeros(len(extended), bool)
    skip[2:] = (extended[2:] != extended[:-2]) & (np.arange(2, len(extended)) % 2 == 1)
    return skip


def _log_add(*terms):
    top = np.maximum.reduce(terms)
    safe = np.where(np.isfinite(top), top, 0)
    return np.log(sum(np.exp(t - safe) for t in terms)) + safe


def _shifted(a, by):
    out = np.full_like(a, -np.inf)
    if len(a) > by:
        out[by:] = a[:-by]
    return out


def _alphas(scores, skip):
    """scores (T, 2 S + 1): log-probabilities of the extended target's symbols."""
    alpha = np.full_like(scores, -np.inf)
    alpha[0, :2] = scores[0, :2]
    for t in range(1, len(scores)):
        before = alpha[t - 1]
        alpha[t] = scores[t] + _log_add(before, _shifted(before, 1), np.where(skip, _shifted(before, 2), -np.inf))
    return alpha


def _betas(scores, skip):
    """`_alphas` of everything turned round."""
    leap = np.append(skip[2:], [False, False])[: len(skip)]
    return _alphas(scores[::-1, ::-1], leap[::-1])[::-1, ::-1]


def _sequences(x, targets, input_lengths, target_lengths, blank):
    """For each sequence: its number, the log-probabilities of its steps (T, C) and its extended target."""
    start = 0
    for n in range(x.shape[1]):
        length = target_lengths[n]
        target = targets[n, :length] if targets.ndim == 2 else targets[start : start + length]
        start += length
        yield n, x[: input_lengths[n], n], _extended(target, blank)


def _ctc_forward(x, targets, input_lengths, target_lengths, blank, zero_infinity):
    losses = np.zeros(x.shape[1], x.dtype)
    with np.errstate(all="ignore"):
        for n, steps, extended in _sequences(x, targets, input_lengths, target_lengths, blank):
            if not len(steps):
                losses[n] = 0 if len(extended) == 1 else np.inf
                continue
            alpha = _alphas(steps[:, extended], _may_skip(extended))[-1]
            losses[n] = -_log_add(*alpha[-2:]) if len(alpha) > 1 else -alpha[-1]
    if zero_infinity:
        losses[np.isinf(losses)] = 0
    return losses


def _ctc_backward(g, x, targets, input_lengths, target_lengths, blank, zero_infinity):
    """d(-log p) / d log y[t, k] = exp(log y[t, k]) - sum of alpha beta / (p y[t, k]) over s with l'[s] = k, as PyTorch counts it:
    for log-probabilities that come out of a log-softmax.
    """
    gx = np.zeros_like(x)
    with np.errstate(all="ignore"):
        for n, steps, extended in _sequences(x, targets, input_lengths, target_lengths, blank):
            if not len(steps):
                continue
            scores, skip = steps[:, extended], _may_skip(extended)
            alpha, beta = _alphas(scores, skip), _betas(scores, skip)
            total = _log_add(*alpha[-1, -2:]) if len(extended) > 1 else alpha[-1, -1]
            if zero_infinity and np.isinf(total):
                continue
            posterior = np.exp(alpha + beta - scores - total)  # (T, 2 S + 1)
            part = np.exp(steps)
            for s, k in enumerate(extended):
                part[:, k] -= posterior[:, s]
            gx[: len(steps), n] = part * g[n]
    return gx


def _rule(g, x, targets, input_lengths, target_lengths, blank, zero_infinity):
    settings = (targets._data, input_lengths, target_lengths, blank, zero_infinity)
    if not mode.grad:
        return wrap(_ctc_backward(g._data, x._data, *settings), x.device)
    return by_parts(lambda x: _by_steps(x, *settings), (x,), (True,), g)[0]


def _by_steps(x, targets, input_lengths, target_lengths, blank, zero_infinity):
    """The losses as tensor operations, that they may be differentiated twice.

    The term sum(exp(x)) - its own value adds to the gradient what PyTorch's has beside the posterior.
    """
    losses = []
    for n, steps, extended in _sequences(x, targets, input_lengths, target_lengths, blank):
        scores = steps[:, wrap(extended, x.device)]
        alpha = scores[0] + wrap(np.where(np.arange(len(extended)) < 2, 0, IMPOSSIBLE).astype(x._data.dtype), x.device)
        skip = wrap(np.where(_may_skip(extended), 0, IMPOSSIBLE).astype(x._data.dtype), x.device)
        for t in range(1, len(steps._data)):
            one = pad(alpha, (1, 0), value=IMPOSSIBLE)[:-1]
            two = pad(alpha, (2, 0), value=IMPOSSIBLE)[: len(extended)] + skip
            alpha = scores[t] + logsumexp(stack([alpha, one, two]), 0)
        loss = -logsumexp(alpha[-2:], 0) + (steps.exp() - steps.exp().detach()).sum()
        losses.append(loss * 0 if zero_infinity and loss._data > -IMPOSSIBLE / 10 else loss)
    return stack(losses)


_ctc = Op(
    "CtcLossBackward0",
    _ctc_forward,
    params=("x", "targets", "input_lengths", "target_lengths", "blank", "zero_infinity"),
    x=_rule,
)


def _lengths(value, name, batch):
    if isinstance(value, Tensor):
        if value._data.dtype.kind not in "iu":
            raise RuntimeError(f"{name} must be integral")
        value = value.reshape(-1).tolist()
    value = [int(v) for v in (value if isinstance(value, (tuple, list)) else [value])]
    if len(value) != batch:
        raise RuntimeError(f"{name} must be of size batch_size")
    return tuple(value)


def ctc_loss(
    log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False
):  # fmt: skip
    """-log of the probability of the targets, over all alignments.

    log_probs (T, N, C) or (T, C), from log_softmax; targets (N, S), or all one after another (sum of lengths,); input_lengths and
    target_lengths (N,). "mean" divides each loss by its target's length, then averages. zero_infinity: targets too long for
    their sequence count 0 instead of infinity.
    """
    check_reduction(reduction)
    x = log_probs._data
    if x.dtype not in (np.float32, np.float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{SCALAR_NAMES[log_probs.dtype]}'")
    batched = x.ndim == 3
    if not batched:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.unsqueeze(0) if targets._data.ndim == 1 else targets
    steps, batch, classes = log_probs._data.shape
    inputs = _lengths(input_lengths, "input_lengths", batch)
    lengths = _lengths(target_lengths, "target_lengths", batch)
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    t = targets._data.astype(np.int64)
    if t.ndim == 2 and max(lengths, default=0) > t.shape[1]:
        raise RuntimeError(
            f"Expected tensor to have size at least {max(lengths)} at dimension 1, but got size {t.shape[1]} for argument #2 "
            "'targets' (while checking arguments for ctc_loss_allocate_outputs)"
        )
    if max(inputs, default=0) > steps:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got value {max(inputs)} (while checking arguments for "
            "ctc_loss_allocate_outputs)"
        )
    loss = _ctc(log_probs, wrap(t, targets.device), inputs, lengths, blank, bool(zero_infinity))
    if reduction == "mean":
        divisors = np.maximum(np.array(lengths), 1).astype(x.dtype)
        return (loss / wrap(divisors, loss.device)).mean()
    loss = reduced(loss, reduction)
    return loss if batched or reduction != "none" else loss.squeeze(0)


__all__: list[str] = []
