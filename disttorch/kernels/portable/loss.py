"""Cross-entropy of integer targets, fused: log-softmax, choice, weighting and reduction in one pass over the logits."""

from disttorch.kernels.portable.precision import in_float32


class Loss:
    @in_float32(rounded=1)
    def cross_entropy_forward(
        self, logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
    ):
        """logits (N, C, *S), target int (N, *S) -> (loss, saved); loss is 0-d, or target's shape for "none".

        With smoothing e: loss_i = (1 - e) * w[t_i] * -logp[t_i] + e / C * sum_c w[c] * -logp[c]; "mean" divides by the
        sum of w[t_i] over the targets that are not ignored (NaN when there is none).
        """
        xp = self.xp
        classes = logits.shape[1]
        log_prob = self.log_softmax_forward(_rows(xp, logits), 1)  # (M, C)
        flat = target.reshape(-1)
        kept = flat != ignore_index
        index = xp.where(kept, flat, 0)
        coefficient = xp.ones_like(log_prob, shape=flat.shape) if weight is None else weight[index]
        coefficient = coefficient * kept
        loss = -coefficient * log_prob[xp.arange(flat.size), index]
        smooth = None
        if label_smoothing:
            smooth = xp.full((classes,), label_smoothing / classes, log_prob.dtype)
            if weight is not None:
                smooth = smooth * weight
            loss = (1 - label_smoothing) * loss - kept * (log_prob @ smooth)
        total = None
        if reduction == "none":
            loss = loss.reshape(target.shape)
        else:
            loss = loss.sum()
            if reduction == "mean":
                total = coefficient.sum()
                loss = xp.asarray(loss / total)
        return xp.asarray(loss), (log_prob, index, coefficient, kept, smooth, label_smoothing, total, logits.shape)

    @in_float32
    def cross_entropy_backward(self, g, saved):
        """g: 0-d, or target's shape for reduction "none" -> gradient of the logits (N, C, *S)."""
        xp = self.xp
        log_prob, index, coefficient, kept, smooth, label_smoothing, total, shape = saved
        g = g.reshape(-1)  # (1,) or (M,)
        if total is not None:
            g = g / total
        chosen = coefficient * g if not label_smoothing else coefficient * g * (1 - label_smoothing)
        if smooth is None:
            gx = xp.exp(log_prob)
            gx *= chosen[:, None]
        else:
            spread = kept * g
            gx = xp.exp(log_prob) * (chosen + spread * smooth.sum())[:, None]
            gx -= spread[:, None] * smooth
        gx[xp.arange(index.size), index] -= chosen
        return _unrows(xp, gx, shape)


def _rows(xp, logits):
    """(N, C, *S) -> (M, C)."""
    return logits if logits.ndim == 2 else xp.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1])


def _unrows(xp, rows, shape):
    if len(shape) == 2:
        return rows
    return xp.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
