"""Cross-entropy of integer targets, fused: log-softmax, choice, weighting and reduction."""

import numpy as np

from disttorch.kernels.portable.precision import in_float32


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
        rows, flat = _rows(xp, logits), target.reshape(-1)  # (M, C), (M,)
        if weight is None and ignore_index is None and not label_smoothing and logits.size:
            prob, log_prob = self.softmax_and_log(rows, flat)
            return _plain_forward(xp, prob, log_prob, flat, reduction, target.shape, logits.shape)
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


def _plain_forward(xp, prob, loss, target, reduction, shape, logits_shape):
    """Every target counts, and alike. loss: the logarithms of the targets' probabilities."""
    at = xp.arange(target.size), target
    if reduction == "none":
        return -loss.reshape(shape), (prob, at, 1, logits_shape)
    count = target.size if reduction == "mean" else 1
    return xp.asarray(-xp.add.reduce(loss) / count), (prob, at, count, logits_shape)


def _plain_backward(xp, g, prob, at, count, logits_shape):
    """(probability - 1 for the target, 0 for others) · g"""
    gx = prob.copy()
    gx[at] -= 1
    gx *= (g.reshape(-1, 1) if g.ndim else g) / count
    return _unrows(xp, gx, logits_shape)


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
