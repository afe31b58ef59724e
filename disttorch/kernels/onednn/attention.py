"""Attention as two plans: scores in one product, softmax in place and the weighted sum in the other; the backward pass
in one plan, whose scores' gradient is a temporary.

Heads may be strided as a linear layer leaves them, (N, L, H, D) in memory: nothing is copied, and the results lie so
too.
"""

from math import isfinite

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import FLOAT, contiguous, strides_of
from disttorch.kernels.portable.attention import without_blind


class Attention:
    def attention_forward(self, q, k, v, bias, keep, scale):
        if not _plain(q, k, v) or (bias is not None and bias.dtype is not FLOAT):
            return super().attention_forward(q, k, v, bias, keep, scale)
        q, k, v = _heads(q), _heads(k), _heads(v)
        weights = np.empty((*q.shape[:-1], k.shape[-2]), FLOAT)
        if bias is not None and np.broadcast_shapes(bias.shape, weights.shape) != weights.shape:
            return super().attention_forward(q, k, v, bias, keep, scale)
        y = _like(q, v)
        work = weights.size * (q.shape[-1] + v.shape[-1])
        key = ("attention", q.shape, q.strides, k.shape, k.strides, v.shape, v.strides, scale)
        try:
            scores = (q, k, weights)
            self.engine.run(("scores", *key), lambda plan: _scores(plan, *scores, scale), *scores, work=work)
            if bias is not None:
                weights += bias
            if not isfinite(np.maximum.reduce(weights, axis=None)):  # oneDNN does not carry NaN and inf to whole rows
                raise Unsupported
            if keep is None and (bias is None or not np.isneginf(bias).all(-1).any()):
                self.engine.run(key, lambda plan: _weighted(plan, weights, v, y), weights, v, y, work=work)
                return y, weights
        except Unsupported:
            return super().attention_forward(q, k, v, bias, keep, scale)
        scores, weights = weights, self.softmax_forward(weights, weights.ndim - 1)
        if bias is not None:
            weights = without_blind(np, weights, scores)
        return self.matmul(weights if keep is None else weights * keep, v), weights

    def attention_backward(self, g, q, k, v, keep, weights, scale, needs=(True, True, True, True)):
        if not _plain(q, k, v) or g.dtype is not FLOAT or keep is not None or needs[3]:
            return super().attention_backward(g, q, k, v, keep, weights, scale, needs)
        g, q, k, v = _heads(g), _heads(q), _heads(k), _heads(v)
        gq, gk, gv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
        arrays = (g, q, k, v, weights, gq, gk, gv)
        key = ("attention_backward", scale, *((a.shape, a.strides) for a in arrays[:4]))
        try:
            self.engine.run(
                key,
                lambda plan: _backward(plan, arrays, scale),
                *arrays,
                work=weights.size * (q.shape[-1] + v.shape[-1]),
            )
        except Unsupported:
            return super().attention_backward(g, q, k, v, keep, weights, scale, needs)
        return gq, gk, gv, None


def _plain(q, k, v):
    """Whether the three are float32, not empty, and of one batch of heads."""
    return (
        q.dtype is k.dtype is v.dtype is FLOAT
        and q.ndim > 2
        and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        and 0 not in q.shape
        and 0 not in v.shape
        and 0 not in k.shape
    )


def _heads(x):
    """x as it is if it is contiguous, or lies as (N, L, H, D) or as a part of such rows; else a copy."""
    if x.flags.c_contiguous:
        return x
    if x.ndim == 4 and x.strides[1] < x.strides[2]:
        n, h, row, d = x.strides
        if d == 4 and h == 4 * x.shape[3] and row >= h * x.shape[1] and n == row * x.shape[2]:
            return x
        return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(x)


def _like(q, v):
    """An empty array of q's queries and v's features, laid out as q."""
    shape = (*q.shape[:-1], v.shape[-1])
    if q.flags.c_contiguous:
        return np.empty(shape, FLOAT)
    n, h, length, features = shape
    return np.empty((n, length, h, features), FLOAT).transpose(0, 2, 1, 3)


def _layout(plan, x):
    return plan.layout(x.shape, strides_of(x.shape, x.strides, contiguous(x.shape)))


def _turned(plan, x):
    """The layout of x with its last two axes exchanged."""
    return _layout(plan, np.swapaxes(x, -1, -2))


def _scores(plan, q, k, weights, scale):
    left, right, target = (plan.array(_layout(plan, a)) for a in (q, k, weights))
    scaled = plan.engine.followed_by(dnnl.LINEAR, scale)
    turned = _turned(plan, k)
    desc = plan.describe("matmul", left.layout, turned, None, target.layout, attributes=scaled)
    plan.step(desc, {dnnl.SRC: left, dnnl.WEIGHTS: right, dnnl.DST: target})


def _weighted(plan, weights, v, y):
    scores, right, target = (plan.array(_layout(plan, a)) for a in (weights, v, y))
    axis = weights.ndim - 1
    desc = plan.describe("softmax_forward", dnnl.TRAINING, dnnl.SOFTMAX, scores.layout, scores.layout, axis)
    plan.step(desc, {dnnl.SRC: scores, dnnl.DST: scores})
    desc = plan.describe("matmul", scores.layout, right.layout, None, target.layout)
    plan.step(desc, {dnnl.SRC: scores, dnnl.WEIGHTS: right, dnnl.DST: target})


def _backward(plan, arrays, scale):
    g, q, k, v, weights, gq, gk, gv = (plan.array(_layout(plan, a)) for a in arrays)
    like = dict(zip((g, q, k, v, weights), arrays, strict=False))
    slope, axis = plan.temporary(weights.layout), arrays[4].ndim - 1
    scaled = plan.engine.followed_by(dnnl.LINEAR, scale)

    def product(a, b, out, turn_a=False, turn_b=False, attributes=None):
        """out = a b, with the last two axes of a or b exchanged."""
        left = _turned(plan, like.get(a, arrays[4])) if turn_a else a.layout
        right = _turned(plan, like[b]) if turn_b else b.layout
        desc = plan.describe("matmul", left, right, None, out.layout, attributes=attributes)
        plan.step(desc, {dnnl.SRC: a, dnnl.WEIGHTS: b, dnnl.DST: out})

    product(weights, g, gv, turn_a=True)
    product(g, v, slope, turn_b=True)
    hint = plan.describe("softmax_forward", dnnl.TRAINING, dnnl.SOFTMAX, weights.layout, weights.layout, axis)
    desc = plan.describe("softmax_backward", dnnl.SOFTMAX, slope.layout, slope.layout, weights.layout, axis, hint)
    plan.step(desc, {dnnl.DIFF_DST: slope, dnnl.DST: weights, dnnl.DIFF_SRC: slope})
    product(slope, k, gq, attributes=scaled)
    product(slope, q, gk, turn_a=True, attributes=scaled)
