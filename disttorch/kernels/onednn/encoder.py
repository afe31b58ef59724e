"""A Transformer's encoder layer without gradients as one plan: its arrays lie in the thread's buffer, where the next
layer finds them in the cache; products add biases and residuals and apply the activation as they write.
"""

from math import sqrt

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import are_floats, contiguous
from disttorch.kernels.onednn.linear import ACTIVATIONS

# Sums of squares up to which, by Cauchy's and Schwarz's inequality, scores and activations are finite: oneDNN's softmax
# and relu pass over NaN, which PyTorch's carry on.
BOUND = 1e12
SCORES = 1 << 24  # elements up to which all scores of attention at once may stay in the thread's buffer: 64 MB


class Encoder:
    def encoder_layer_forward(self, x, heads, weights, activation, norm_first, eps, bias=None):
        n, length, width = x.shape
        few = x.size and n * heads * length**2 <= SCORES
        if few and are_floats(x, bias, *weights) and _is_safe(x, weights, bias):
            turned = not x.flags.c_contiguous and x.swapaxes(0, 1).flags.c_contiguous
            x_rows = np.ascontiguousarray(x.swapaxes(0, 1) if turned else x)
            w_in, b_in, *others = map(np.ascontiguousarray, weights)
            parts = [a[k * width : (k + 1) * width] for a in (w_in, b_in) for k in range(3)]
            masks = [] if bias is None else [np.ascontiguousarray(bias)]
            y = np.empty_like(x_rows)
            size = (n, length, width, heads, len(weights[8]))
            key = ("encoder", size, turned, activation, norm_first, eps, *[m.shape for m in masks])
            try:
                self.engine.run(
                    key,
                    lambda plan: _layer(plan, size, turned, activation, norm_first, eps, masks),
                    *(x_rows, y, *parts, *others, *masks),
                    work=x.size * width,
                )
            except Unsupported:
                pass
            else:
                return y.swapaxes(0, 1) if turned else y
        return super().encoder_layer_forward(x, heads, weights, activation, norm_first, eps, bias)


@np.errstate(all="ignore")
def _is_safe(x, weights, bias):
    """Whether nothing can become NaN that oneDNN would pass over, and every query sees a key."""
    for a in (x, *weights[:10]):  # NaN in the last two reaches the result
        flat = a.reshape(-1)
        if not np.dot(flat, flat) < BOUND:
            return False
    return bias is None or bool((abs(bias.max(-1)) < BOUND).all())


def _layer(plan, size, turned, activation, norm_first, eps, masks):
    n, length, width, heads, inner = size
    rows, features = n * length, width // heads

    def plain(*shape):
        return plan.layout(shape, contiguous(shape))

    def arrays(*shapes):
        return [plan.array(plain(*shape)) for shape in shapes]

    x, y = arrays((rows, width), (rows, width))
    w_q, w_k, w_v = arrays(*[(width, width)] * 3)
    b_q, b_k, b_v = arrays(*[(width,)] * 3)
    w_out, b_out, *norms = arrays((width, width), *[(width,)] * 5)
    w1, b1, w2, b2 = arrays((inner, width), (inner,), (width, inner), (width,))
    normed, q, k, v = (plan.temporary(x.layout) for _ in range(4))
    scores, hidden = plan.temporary(plain(n, heads, length, length)), plan.temporary(plain(rows, inner))
    # a row of queries, keys or values is one of x; heads lie side by side in it
    of_n, of_l = (width, n * width) if turned else (length * width, width)
    shape, strides = (n, heads, length, features), (of_n, features, of_l, 1)
    by_head = plan.layout(shape, strides)
    keys = plan.layout((n, heads, features, length), (of_n, features, 1, of_l))
    with_residual = plan.engine.attributes_with((dnnl.ADD, x.layout))

    def linear(source, w, b, target, attributes=None, residual=None):
        described = (source.layout, w.layout, b.layout, target.layout)
        desc = plan.describe("inner_product_forward", dnnl.INFERENCE, *described, attributes=attributes)
        arguments = {dnnl.SRC: source, dnnl.WEIGHTS: w, dnnl.BIAS: b, dnnl.DST: target}
        plan.step(desc, arguments if residual is None else {**arguments, dnnl.second_source(0): residual})

    def norm(source, gain, shift, target):
        flags = dnnl.SCALE_FLAG | dnnl.SHIFT_FLAG
        described = (source.layout, target.layout, None, eps, flags)
        desc = plan.describe("layer_normalization_forward", dnnl.INFERENCE, *described)
        plan.step(desc, {dnnl.SRC: source, dnnl.DST: target, dnnl.SCALE: gain, dnnl.SHIFT: shift})

    if norm_first:
        norm(x, *norms[:2], normed)
    for w, b, target in ((w_q, b_q, q), (w_k, b_k, k), (w_v, b_v, v)):
        linear(normed if norm_first else x, w, b, target)
    scaled = plan.engine.followed_by(dnnl.LINEAR, 1 / sqrt(features))
    desc = plan.describe("matmul", by_head, keys, None, scores.layout, attributes=scaled)
    plan.step(desc, {dnnl.SRC: q, dnnl.WEIGHTS: k, dnnl.DST: scores})
    for mask in masks:
        plan.combine(scores, scores, dnnl.ADD, plan.array(plain(*mask.shape)))
    desc = plan.describe("softmax_forward", dnnl.INFERENCE, dnnl.SOFTMAX, scores.layout, scores.layout, 3)
    plan.step(desc, {dnnl.SRC: scores, dnnl.DST: scores})
    found, attended, fed = q, k, v  # what lay there is not read again
    desc = plan.describe("matmul", scores.layout, by_head, None, by_head)
    plan.step(desc, {dnnl.SRC: scores, dnnl.WEIGHTS: v, dnnl.DST: found})
    linear(found, w_out, b_out, attended, with_residual, x)
    norm(attended, *(norms[2:] if norm_first else norms[:2]), fed)
    linear(fed, w1, b1, hidden, plan.engine.followed_by(ACTIVATIONS[activation]))
    linear(hidden, w2, b2, y, with_residual, attended if norm_first else fed)
    if not norm_first:
        norm(y, *norms[2:], y)
    plan.lib.dnnl_primitive_attr_destroy(with_residual)  # the descriptors have copies
