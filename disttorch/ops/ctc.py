"""Connectionist temporal classification (Graves et al., 2006): the probability of all alignments of a target with a
sequence.

T steps, N sequences, C classes, S target symbols. A target is extended by blanks around its symbols to a length L of 2
S + 1.
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
from .pointwise import hushed
from .reduction import logsumexp

IMPOSSIBLE = -1e30  # a logarithm whose sums have finite gradients, unlike -inf's


class _Batch:
    """The extended targets of a batch side by side, padded: N rows of the longest one's length L."""

    def __init__(self, x, targets, input_lengths, target_lengths, blank):
        self.steps = np.array(input_lengths)
        self.lengths = 2 * np.array(target_lengths, np.int64) + 1
        count = len(target_lengths)
        self.symbols = np.full((count, int(self.lengths.max(initial=1))), blank, np.int64)
        start = 0
        for n, length in enumerate(target_lengths):
            self.symbols[n, 1 : 2 * length : 2] = (
                targets[n, :length] if targets.ndim == 2 else targets[start : start + length]
            )
            start += length
        self.place = np.arange(self.symbols.shape[1])
        self.skip = np.zeros(
            self.symbols.shape, bool
        )  # where a symbol may follow the one two before: not the same again
        self.skip[:, 2:] = (self.symbols[:, 2:] != self.symbols[:, :-2]) & (self.place[2:] % 2 == 1)
        self.rows = np.arange(count)
        self.inside = self.place < self.lengths[:, None]
        self.scores = np.where(self.inside, x[:, self.rows[:, None], self.symbols], -np.inf)  # (T, N, L)

    def alphas(self):
        """(T, N, L): log-probability of the first symbols after each step."""
        alpha = np.full_like(self.scores, -np.inf)
        alpha[0, :, :2] = self.scores[0, :, :2]
        for t in range(1, len(alpha)):
            before = alpha[t - 1]
            two = np.where(self.skip, _shifted(before, 2), -np.inf)
            alpha[t] = self.scores[t] + _log_add(before, _shifted(before, 1), two)
        return alpha

    def betas(self):
        """(T, N, L): log-probability of the symbols from each on, from each step on."""
        beta = np.full_like(self.scores, -np.inf)
        ends = np.where(self.place >= self.lengths[:, None] - 2, 0, -np.inf) + np.where(self.inside, 0, -np.inf)
        skip = np.zeros_like(self.skip)
        skip[:, :-2] = self.skip[:, 2:]
        after = np.full_like(self.scores[0], -np.inf)
        for t in reversed(range(len(beta))):
            two = np.where(skip, _shifted(after, -2), -np.inf)
            going_on = _log_add(after, _shifted(after, -1), two)
            last = (t == self.steps - 1)[:, None]
            beta[t] = self.scores[t] + np.where(last, ends, going_on)
            beta[t, t >= self.steps] = -np.inf
            after = beta[t]
        return beta

    def totals(self, alpha):
        """(N,): log-probability of each target."""
        if not len(alpha):
            return np.where(self.lengths == 1, 0, -np.inf).astype(alpha.dtype)
        last = alpha[np.maximum(self.steps, 1) - 1, self.rows]
        end = last[self.rows, self.lengths - 1]
        before = np.where(self.lengths > 1, last[self.rows, self.lengths - 2], -np.inf)
        empty = np.where(self.lengths == 1, 0, -np.inf)
        return np.where(self.steps > 0, _log_add(end, before), empty).astype(alpha.dtype)


def _log_add(*terms):
    top = np.maximum.reduce(terms)
    safe = np.where(np.isfinite(top), top, 0)
    return np.log(sum(np.exp(t - safe) for t in terms)) + safe


def _shifted(a, by):
    """a moved along its last axis, -inf where nothing comes."""
    out = np.full_like(a, -np.inf)
    if 0 < by < a.shape[-1]:
        out[..., by:] = a[..., :-by]
    elif -a.shape[-1] < by < 0:
        out[..., :by] = a[..., -by:]
    return out


@hushed
def _ctc_forward(x, targets, input_lengths, target_lengths, blank, zero_infinity):
    batch = _Batch(x, targets, input_lengths, target_lengths, blank)
    losses = -batch.totals(batch.alphas() if len(x) else batch.scores)
    return np.where(np.isinf(losses), 0, losses).astype(x.dtype) if zero_infinity else losses


@hushed
def _ctc_backward(g, x, targets, input_lengths, target_lengths, blank, zero_infinity):
    """d(-log p) / d log y[t, k] = exp(log y[t, k]) - sum of alpha beta / (p y[t, k]) over the places of k, as PyTorch
    counts it:
    for log-probabilities that come out of a log-softmax.
    """
    batch = _Batch(x, targets, input_lengths, target_lengths, blank)
    alpha, beta = batch.alphas(), batch.betas()
    total = batch.totals(alpha)
    posterior = np.exp(alpha + beta - batch.scores - total[:, None])  # (T, N, L)
    posterior = np.where(batch.inside, posterior, 0)
    gx = np.exp(x)
    steps = np.arange(len(x))[:, None]
    for s in batch.place:  # one place at a time: a symbol may stand at several
        gx[steps, batch.rows, batch.symbols[:, s]] -= posterior[:, :, s]
    gx *= g[:, None]
    gx[np.arange(len(x))[:, None] >= batch.steps] = 0
    if zero_infinity:
        gx[:, np.isinf(total)] = 0
    return gx


def _rule(g, x, targets, input_lengths, target_lengths, blank, zero_infinity):
    settings = (targets._data, input_lengths, target_lengths, blank, zero_infinity)
    if not mode.grad:
        return wrap(_ctc_backward(g._data, x._data, *settings), x.device)
    return by_parts(lambda x: _by_steps(x, *settings), (x,), (True,), g)[0]


def _by_steps(x, targets, input_lengths, target_lengths, blank, zero_infinity):
    """The losses as tensor operations, that they may be differentiated twice.

    sum(exp(x)) minus its own value adds to the gradient what PyTorch's has beside the posterior.
    """
    batch = _Batch(x._data, targets, input_lengths, target_lengths, blank)
    losses = []
    for n, (steps, length) in enumerate(zip(batch.steps.tolist(), batch.lengths.tolist(), strict=True)):
        rows = x[:steps, n]
        scores = rows[:, wrap(batch.symbols[n, :length], x.device)]
        first, skip = (
            wrap(np.where(allowed, 0, IMPOSSIBLE).astype(x._data.dtype), x.device)
            for allowed in (np.arange(length) < 2, batch.skip[n, :length])
        )
        alpha = scores[0] + first
        for t in range(1, steps):
            one, two = (pad(alpha, (k, 0), value=IMPOSSIBLE)[:length] for k in (1, 2))
            alpha = scores[t] + logsumexp(stack([alpha, one, two + skip]), 0)
        loss = -logsumexp(alpha[-2:], 0) + (rows.exp() - rows.exp().detach()).sum()
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

    log_probs (T, N, C) or (T, C), from log_softmax; targets (N, S), or all one after another (sum of lengths,);
    input_lengths and target_lengths (N,). "mean" divides each loss by its target's length, then averages.
    zero_infinity: targets too long for their sequence count 0 instead of infinity.
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
            f"Expected tensor to have size at least {max(lengths)} at dimension 1, but got size {t.shape[1]} for "
            "argument #2 'targets' (while checking arguments for ctc_loss_allocate_outputs)"
        )
    if max(inputs, default=0) > steps:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got value {max(inputs)} (while checking "
            "arguments for ctc_loss_allocate_outputs)"
        )
    loss = _ctc(log_probs, wrap(t, targets.device), inputs, lengths, blank, bool(zero_infinity))
    if reduction == "mean":
        divisors = np.maximum(np.array(lengths), 1).astype(x.dtype)
        return (loss / wrap(divisors, loss.device)).mean()
    loss = reduced(loss, reduction)
    return loss if batched or reduction != "none" else loss.squeeze(0)


__all__: list[str] = []
