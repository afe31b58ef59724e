"""A Transformer's encoder layer in one call: against the formulas, with masks, and with values that are not finite."""

import math

import numpy as np
import pytest

from disttorch.kernels.portable import Portable

from .conftest import assert_close, normal

HEADS, EPS = 3, 1e-5


def layer_weights(rng, width, inner):
    """In the kernel's order."""
    shapes = [(3 * width, width), (width, width), None, None, (inner, width), (width, inner)]
    made = []
    for shape in shapes:
        w = 1 + 0.1 * normal(rng, width) if shape is None else normal(rng, *shape) / np.float32(shape[1] ** 0.5)
        made += [w, 0.1 * normal(rng, len(w))]
    return made


def by_formula(x, heads, weights, activation, norm_first, bias):
    w_in, b_in, w_out, b_out, gain1, shift1, gain2, shift2, w1, b1, w2, b2 = (w.astype(np.float64) for w in weights)
    n, length, width = x.shape

    def norm(x, gain, shift):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * gain + shift

    def attend(x):
        q, k, v = (x @ w_in.T + b_in).reshape(n, length, 3, heads, -1).transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]) + (0 if bias is None else bias)
        with np.errstate(invalid="ignore"):
            seen = np.exp(scores - scores.max(-1, keepdims=True))
        found = np.nan_to_num(seen / seen.sum(-1, keepdims=True)) @ v
        return found.transpose(0, 2, 1, 3).reshape(n, length, width) @ w_out.T + b_out

    def feed(x):
        inner = x @ w1.T + b1
        if activation == "relu":
            return np.maximum(inner, 0) @ w2.T + b2
        return inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2))) @ w2.T + b2

    if norm_first:
        x = x + attend(norm(x, gain1, shift1))
        return x + feed(norm(x, gain2, shift2))
    x = norm(x + attend(x), gain1, shift1)
    return norm(x + feed(x), gain2, shift2)


def mask(rng, kind, n, length):
    hidden = np.float32(-np.inf)
    causal = np.where(np.tri(length, dtype=bool), np.float32(0), hidden)[None, None]
    padding = np.where(np.arange(length) < length - np.arange(n)[:, None], np.float32(0), hidden)[:, None, None]
    blind = causal.copy()
    blind[..., 1, :] = hidden
    return {
        "no": None, "causal": causal, "padding": padding, "both": causal + padding, "blind": blind,
        "any": normal(rng, n, HEADS, length, length),
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["no", "causal", "padding", "both", "blind", "any"])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_layer(kernels, rng, activation, norm_first, kind):
    n, length, width, inner = 3, 9, 24, 40
    weights, bias = layer_weights(rng, width, inner), mask(rng, kind, n, length)
    x = normal(rng, n, length, width)
    expected = by_formula(x, HEADS, weights, activation, norm_first, bias)
    before = x.copy()
    y = kernels.encoder_layer_forward(x, HEADS, weights, activation, norm_first, EPS, bias)
    assert_close(y, expected)
    np.testing.assert_array_equal(x, before)
    turned = np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)  # (L, N, E) in memory
    assert_close(kernels.encoder_layer_forward(turned, HEADS, weights, activation, norm_first, EPS, bias), expected)


def test_layer_of_any_strides_with_two_threads(kernels, rng, two_threads):
    weights = layer_weights(rng, 96, 200)
    x = normal(rng, 70, 48, 96).transpose(1, 0, 2)[::-1]
    expected = by_formula(x, HEADS, weights, "relu", False, None)
    weights = [np.asfortranarray(w) for w in weights]
    assert_close(kernels.encoder_layer_forward(x, HEADS, weights, "relu", False, EPS), expected)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("where", range(-1, 12))
def test_nothing_that_is_not_finite_is_passed_over(kernels, rng, where, value, norm_first):
    """One element of the input (-1) or of a weight: oneDNN's softmax and relu would make numbers of NaN."""
    weights, x = layer_weights(rng, 24, 40), normal(rng, 2, 5, 24)
    (x if where < 0 else weights[where]).reshape(-1)[7] = value
    with np.errstate(all="ignore"):
        y = kernels.encoder_layer_forward(x, HEADS, weights, "relu", norm_first, EPS)
        parts = Portable.encoder_layer_forward(kernels, x, HEADS, weights, "relu", norm_first, EPS)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(parts))
    if np.isnan(value) and where < 0:
        assert np.isnan(y[0]).all()
        assert not np.isnan(y[1]).any()
