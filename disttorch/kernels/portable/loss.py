"""Cross-entropy of integer targets, fused: log-softmax, choice, weighting and reduction; losses of differences."""

from math import prod

import numpy as np

from disttorch.kernels.hushing import hushed
from disttorch.kernels.portable.blocks import in_blocks
from disttorch.kernels.portable.precision import kernel_in_float32
from disttorch.kernels.portable.scatter import positions

LINE = 1 << 13  # places at a time: the lines of several classes lie in the cache together
WIDE = 64  # classes that lie together in memory from which a place's are taken as a row; fewer are turned


class Loss:
    @kernel_in_float32(rounded=1)
    @hushed
    def cross_entropy_forward(
        self, logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
    ):
        """logits (N, C, *S), target int (N, *S) -> (loss, saved); loss is 0-d, or target's shape for "none".

        With smoothing e: loss_i = (1 - e) * w[t_i] * -logp[t_i] + e / C * sum_c w[c] * -logp[c]; "mean" divides by the
        sum of w[t_i] over the targets that are not ignored (NaN when there is none). ignore_index None: none is.
        """
        if label_smoothing:
            return self._smoothed_forward(logits, target, weight, ignore_index, reduction, label_smoothing)
        xp = self.xp
        kept = None if ignore_index is None else target != ignore_index
        index = target if kept is None else target * kept  # an ignored target may lie outside the classes
        powers, total, log_prob, at = self._softmax_and_log(logits, index)
        share = None if kept is None else kept.astype(powers.dtype)  # how much each target counts
        if weight is not None:
            share = weight[index] if kept is None else weight[index] * share
        if share is not None:
            log_prob *= share
        if kept is not None:
            log_prob[~kept] = -0.0  # where it is infinite, too; the loss is 0.0
        if reduction == "none":
            return -log_prob, (powers, total, at, share, None)
        loss, divisor = 0 - xp.add.reduce(log_prob, axis=None), None  # 0.0 of certain predictions, not -0.0
        if reduction == "mean":
            divisor = target.size if share is None else share.sum()
            loss = loss / divisor
        return xp.asarray(loss), (powers, total, at, share, divisor)

    def _softmax_and_log(self, logits, index):
        """The softmax over the classes as powers and what these are still to be divided by (or None), its logarithm
        where `index` says, and at which place in memory that is.
        """
        xp = self.xp
        if logits.ndim == 2:
            at = xp.arange(len(logits)), index
            prob, log_prob = self.softmax_and_log(logits, at)
            return prob, None, log_prob, at
        samples, classes = logits.shape[:2]
        if classes >= WIDE and not logits.flags.c_contiguous:
            at = xp.arange(index.size), index.reshape(-1)
            prob, log_prob = self.softmax_and_log(_rows(xp, logits), at)
            at = (at[0] * classes + at[1]).reshape(index.shape)
            return _unrows(xp, prob, logits.shape), None, log_prob.reshape(index.shape), at
        x = xp.ascontiguousarray(logits).reshape(samples, classes, prod(logits.shape[2:]))
        powers, largest, total = self._planes_powers(x)
        at = positions(xp, x.shape, 1, index.reshape(samples, 1, x.shape[2]).astype(np.int64))[:, 0]
        log_prob = x.reshape(-1).take(at) - largest
        log_prob -= xp.log(total)
        log_prob, at, total = (a.reshape(index.shape) for a in (log_prob, at, total))
        return powers.reshape(logits.shape), total, log_prob, at

    def _planes_powers(self, x):
        """For x (N, C, P): exp(x - largest), the largest over the classes, (N, P), and those powers' sums, (N, P)."""
        xp = self.xp
        samples, _, places = x.shape
        powers, largest = xp.empty_like(x), xp.empty((samples, places), x.dtype)
        for i in range(0, places, LINE):
            block, top = x[:, :, i : i + LINE], largest[:, i : i + LINE]
            xp.maximum.reduce(block, axis=1, out=top)
            xp.subtract(block, top[:, None], out=powers[:, :, i : i + LINE])
        powers, total = self._powers(powers, 1)
        return powers, largest, total

    @kernel_in_float32
    @hushed
    def cross_entropy_backward(self, g, saved):
        """g: 0-d, or target's shape for reduction "none" -> gradient of the logits (N, C, *S)."""
        if len(saved) > 5:
            return self._smoothed_backward(g, *saved)
        powers, total, at, share, divisor = saved
        if divisor is not None:
            g = g / divisor if divisor else g * 0  # every target ignored: the loss is NaN, its gradient is not
        if share is not None:
            g = g * share
        scale = g if total is None else g / total
        gx = self.xp.empty_like(powers)
        self.xp.multiply(powers, scale[:, None] if scale.ndim else scale, out=gx)
        chosen = gx if gx.ndim == 2 else _in_memory(gx)
        chosen[at] -= g
        return gx

    def _smoothed_forward(self, logits, target, weight, ignore_index, reduction, label_smoothing):
        xp = self.xp
        rows, flat = _rows(xp, logits), target.reshape(-1)  # (M, C), (M,)
        log_prob = self.log_softmax_forward(rows, 1)
        kept = flat != ignore_index
        index = flat * kept
        at = xp.arange(flat.size), index
        coefficient = kept.astype(log_prob.dtype)
        smooth = xp.full(logits.shape[1], label_smoothing / logits.shape[1], log_prob.dtype)
        if weight is not None:
            coefficient *= weight[index]
            smooth = smooth * weight
        loss = (1 - label_smoothing) * (-coefficient * log_prob[at]) - kept * (log_prob @ smooth)
        loss[~kept] = 0  # where it is infinite, too
        divisor = None
        if reduction == "none":
            loss = loss.reshape(target.shape)
        else:
            loss = loss.sum()
            if reduction == "mean":
                divisor = coefficient.sum()
                loss = loss / divisor
        return xp.asarray(loss), (log_prob, at, coefficient, kept, smooth, label_smoothing, divisor, logits.shape)

    def _smoothed_backward(self, g, log_prob, at, coefficient, kept, smooth, label_smoothing, divisor, shape):
        g = g.reshape(-1)  # (1,) or (M,)
        if divisor is not None:
            g = g / divisor if divisor else g * 0
        chosen = coefficient * g * (1 - label_smoothing)
        spread = kept * g
        gx = self.xp.exp(log_prob)
        gx *= (chosen + spread * smooth.sum())[:, None]
        gx -= spread[:, None] * smooth
        gx[at] -= chosen
        return _unrows(self.xp, gx, shape)

    @hushed
    def difference_backward(self, g, x, y, bound=None):
        """g * (x - y), the difference first held within ±bound; g 0-d. Where there is a bound, x - y has no NaN."""
        if bound is None:
            return in_blocks(lambda x, y: (x - y) * g, x, y)
        return in_blocks(lambda x, y: (x - y).clip(-bound, bound) * g, x, y)


def _in_memory(x):
    """x (N, C, *S), contiguous or channels last, as one line."""
    return x.reshape(-1) if x.flags.c_contiguous else x.transpose(0, *range(2, x.ndim), 1).reshape(-1)


def _rows(xp, logits):
    """(N, C, *S) -> (M, C)."""
    return logits if logits.ndim == 2 else xp.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1])


def _unrows(xp, rows, shape):
    if len(shape) == 2:
        return rows
    return xp.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
