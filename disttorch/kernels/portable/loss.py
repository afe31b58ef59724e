"""Cross-entropy of integer targets, fused: log-softmax, choice, weighting and reduction."""

import numpy as np

from disttorch.kernels.hushing import hushed
from disttorch.kernels.portable.blocks import BLOCK, in_blocks
from disttorch.kernels.portable.precision import in_float32
from disttorch.kernels.portable.scatter import positions


class Loss:
    @in_float32(rounded=1)
    def cross_entropy_forward(
        self, logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
    ):
        """logits (N, C, *S), target int (N, *S) -> (loss, saved); loss is 0-d, or target's shape for "none".

        With smoothing e: loss_i = (1 - e) * w[t_i] * -logp[t_i] + e / C * sum_c w[c] * -logp[c]; "mean" divides by the
        sum of w[t_i] over the targets that are not ignored (NaN when there is none). ignore_index None: none is.
        """
        xp = self.xp
        if weight is None and ignore_index is None and not label_smoothing and logits.size:
            if logits.ndim > 2:
                prob, log_prob, at = self._planes_softmax_and_log(logits, target)
            else:
                prob, log_prob = self.softmax_and_log(logits, target)
                at = xp.arange(target.size), target
            return _plain_forward(xp, prob, log_prob, at, reduction, target, logits.shape)
        rows, flat = _rows(xp, logits), target.reshape(-1)  # (M, C), (M,)
        log_prob = self.log_softmax_forward(rows, 1)
        kept = flat != ignore_index
        index = flat * kept  # an ignored target may lie outside the classes
        at = xp.arange(flat.size), index
        coefficient = kept.astype(log_prob.dtype)
        if weight is not None:
            coefficient *= weight[index]
        loss = -coefficient * log_prob[at]
        smooth = None
        if label_smoothing:
            smooth = xp.full(logits.shape[1], label_smoothing / logits.shape[1], log_prob.dtype)
            if weight is not None:
                smooth = smooth * weight
            loss = (1 - label_smoothing) * loss - kept * (log_prob @ smooth)
        divisor = None
        if reduction == "none":
            loss = loss.reshape(target.shape)
        else:
            loss = loss.sum()
            if reduction == "mean":
                divisor = coefficient.sum()
                loss = _divide(loss, divisor)
        return xp.asarray(loss), (log_prob, at, coefficient, kept, smooth, label_smoothing, divisor, logits.shape)

    @hushed
    def difference_backward(self, g, x, y, bound=None):
        """g * (x - y), the difference first held within ±bound; g 0-d. Where there is a bound, x - y has no NaN."""
        if bound is None:
            return in_blocks(lambda x, y: (x - y) * g, x, y)
        return in_blocks(lambda x, y: (x - y).clip(-bound, bound) * g, x, y)

    @hushed
    def _planes_softmax_and_log(self, logits, target):
        """Softmax over the channels of logits (N, C, *S), its logarithm for each target, and where in the flattened
        softmax that target's probability stands.
        """
        xp = self.xp
        x = logits.reshape(*logits.shape[:2], -1)
        samples, classes, places = x.shape
        y, log_prob = xp.empty(x.shape, x.dtype), xp.empty((samples, places), x.dtype)
        at = positions(xp, x.shape, 1, target.reshape(samples, 1, places)).reshape(samples, places)
        step = max(1, 4 * BLOCK // (classes * places))
        for i in range(0, samples, step):
            block = y[i : i + step]
            xp.subtract(x[i : i + step], x[i : i + step].max(axis=1, keepdims=True), out=block)
            chosen = y.reshape(-1)[at[i : i + step]]
            xp.exp(block, out=block)
            total = block.sum(axis=1)
            block /= total[:, None]
            xp.subtract(chosen, xp.log(total), out=log_prob[i : i + step])
        return y, log_prob, at

    @in_float32
    def cross_entropy_backward(self, g, saved):
        """g: 0-d, or target's shape for reduction "none" -> gradient of the logits (N, C, *S)."""
        if len(saved) == 4:
            return _plain_backward(self.xp, g, *saved)
        log_prob, at, coefficient, kept, smooth, label_smoothing, divisor, shape = saved
        g = g.reshape(-1)  # (1,) or (M,)
        if divisor is not None:
            g = _divide(g, divisor)
        chosen = coefficient * g
        if smooth is None:
            gx = self.xp.exp(log_prob)
            gx *= chosen[:, None]
        else:
            chosen *= 1 - label_smoothing
            spread = kept * g
            gx = self.xp.exp(log_prob)
            gx *= (chosen + spread * smooth.sum())[:, None]
            gx -= spread[:, None] * smooth
        gx[at] -= chosen
        return _unrows(self.xp, gx, shape)


def _plain_forward(xp, prob, loss, at, reduction, target, logits_shape):
    """Every target counts, and alike. loss: the logarithms of the targets' probabilities, which stand in prob `at`."""
    if reduction == "none":
        return -loss.reshape(target.shape), (prob, at, 1, logits_shape)
    count = target.size if reduction == "mean" else 1
    return xp.asarray(-xp.add.reduce(loss, axis=None) / count), (prob, at, count, logits_shape)


def _plain_backward(xp, g, prob, at, count, logits_shape):
    """(probability - 1 for the target, 0 for others) · g"""
    gx = prob.copy()
    (gx.reshape(-1) if gx.ndim > 2 else gx)[at] -= 1
    if g.ndim:
        g = g.reshape(len(gx), 1, -1) if gx.ndim > 2 else g.reshape(-1, 1)
    gx *= g / count
    return gx.reshape(logits_shape)


def _divide(a, b):
    """a / b, NaN without a warning for 0 / 0: every target ignored."""
    with np.errstate(invalid="ignore"):
        return a / b


def _rows(xp, logits):
    """(N, C, *S) -> (M, C)."""
    return logits if logits.ndim == 2 else xp.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1])


def _unrows(xp, rows, shape):
    if len(shape) == 2:
        return rows
    return xp.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
