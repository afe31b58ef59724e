"""Scaled dot-product attention (Vaswani et al., "Attention Is All You Need", 2017): softmax(q k^T * scale + bias) v."""

import numpy as np

from disttorch.kernels.portable.precision import kernel_in_float32


class Attention:
    """Leading axes are batches and heads; L queries, S keys. Products and softmax are the backend's own."""

    @kernel_in_float32
    def attention_forward(self, q, k, v, bias, keep, scale):
        """bias: added to the scores, or None; keep: dropout's mask, already scaled, or None -> (y, weights (*, L, S)).

        A query that may see no key gets zeros.
        """
        scores = self.matmul(q, np.swapaxes(k, -1, -2))
        scores *= scores.dtype.type(scale)
        if bias is not None:
            scores = scores + bias
        weights = self.softmax_forward(scores, scores.ndim - 1)
        if bias is not None:
            weights = without_blind(self.xp, weights, scores)
        return self.matmul(weights if keep is None else weights * keep, v), weights

    @kernel_in_float32
    def attention_backward(self, g, q, k, v, keep, weights, scale, needs=(True, True, True, True)):
        """-> (gq, gk, gv, gradient of the scores, which is the bias's before it is summed to its shape)."""
        dropped = weights if keep is None else weights * keep
        gv = self.matmul(np.swapaxes(dropped, -1, -2), g) if needs[2] else None
        gq = gk = gb = None
        if needs[0] or needs[1] or needs[3]:
            by_weights = self.matmul(g, np.swapaxes(v, -1, -2))
            if keep is not None:
                by_weights *= keep
            scores = self.softmax_backward(by_weights, weights, weights.ndim - 1)
            gb = scores.copy() if needs[3] else None
            scores *= scores.dtype.type(scale)
            gq = self.matmul(scores, k) if needs[0] else None
            gk = self.matmul(np.swapaxes(scores, -1, -2), q) if needs[1] else None
        return gq, gk, gv, gb


def without_blind(xp, weights, scores):
    """`weights` with zeros for the queries whose scores are all -inf."""
    blind = xp.isneginf(scores).all(-1, keepdims=True)
    return xp.where(blind, weights.dtype.type(0), weights) if blind.any() else weights
