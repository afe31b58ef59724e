"""A Transformer's encoder layer without gradients (Vaswani et al., 2017, section 3.1)."""

import math

import numpy as np


class Encoder:
    def encoder_layer_forward(self, x, heads, weights, activation, norm_first, eps, bias=None):
        """x (N, L, E); weights: weight and bias of the projection to queries, keys and values, of that of the output,
        of both norms and of both linear maps, in this order; bias: added to the scores (N, H, L, L), or None.
        """
        w_in, b_in, w_out, b_out, gain1, shift1, gain2, shift2, w1, b1, w2, b2 = weights
        n, length, width = x.shape

        def attend(x):
            parts = []
            for k in range(3):
                own = slice(k * width, (k + 1) * width)
                part = self.linear_forward(x, w_in[own], b_in[own])
                parts.append(part.reshape(n, length, heads, width // heads).transpose(0, 2, 1, 3))
            y, _ = self.attention_forward(*parts, bias, None, 1 / math.sqrt(width // heads))
            return self.linear_forward(y.transpose(0, 2, 1, 3).reshape(x.shape), w_out, b_out)

        def feed(x):
            return self.linear_forward(self.linear_forward(x, w1, b1, activation), w2, b2)

        def plus(x, y):
            return self.combined(np.add, x, y, y)

        def norm1(x):
            return self.layer_norm_forward(x, 1, gain1, shift1, eps)[0]

        def norm2(x):
            return self.layer_norm_forward(x, 1, gain2, shift2, eps)[0]

        if norm_first:
            x = plus(x, attend(norm1(x)))
            return plus(x, feed(norm2(x)))
        x = norm1(plus(x, attend(x)))
        return norm2(plus(x, feed(x)))
