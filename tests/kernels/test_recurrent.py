"""Recurrent layers against one sequence at a time in float64; gradients against central differences."""

import numpy as np
import pytest

from disttorch.kernels.portable import Portable

from .conftest import assert_close, normal, numeric_gradient

INPUT, HIDDEN = 3, 2


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def cell(kind, x, h, c, w_ih, w_hh, b_ih, b_hh):
    a, b = w_ih @ x + b_ih, w_hh @ h + b_hh
    if kind == "rnn":
        return np.tanh(a + b), c
    if kind == "gru":
        (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
        z = sigmoid(az + bz)
        return (1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h, c
    i, f, g, o = np.split(a + b, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def layer(kind, x, batch_sizes, h0, c0, *weights, reverse=False):
    """(y, h, c), all in one vector, for numeric_gradient to differentiate."""
    starts = np.cumsum([0, *batch_sizes[:-1]])
    y, h, c = np.zeros((len(x), h0.shape[1])), h0.copy(), c0.copy()
    for n in range(batch_sizes[0]):
        rows = [start + n for start, size in zip(starts, batch_sizes, strict=True) if n < size]
        for row in reversed(rows) if reverse else rows:
            h[n], c[n] = cell(kind, x[row], h[n], c[n], *weights)
            y[row] = h[n]
    return np.concatenate([y.ravel(), h.ravel(), c.ravel()])


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("batch_sizes", [[2, 2, 2], [3, 2, 2, 1]])
@pytest.mark.parametrize("reverse", [False, True])
def test_layer(kernels, rng, kind, batch_sizes, reverse):
    gates, n = {"rnn": 1, "gru": 3, "lstm": 4}[kind], batch_sizes[0]
    x, h0, c0 = normal(rng, sum(batch_sizes), INPUT), normal(rng, n, HIDDEN), normal(rng, n, HIDDEN)
    shapes = ((gates * HIDDEN, INPUT), (gates * HIDDEN, HIDDEN), (gates * HIDDEN,), (gates * HIDDEN,))
    weights = [normal(rng, *shape) for shape in shapes]
    gy, gh, gc = normal(rng, len(x), HIDDEN), normal(rng, n, HIDDEN), normal(rng, n, HIDDEN)
    states = (h0, c0) if kind == "lstm" else (h0,)
    y, *final = getattr(kernels, f"{kind}_forward")(x, batch_sizes, *states, *weights, reverse=reverse)
    arguments = [a.astype(float) for a in (x, h0, c0, *weights)]

    def run(changed=None, value=None):
        x, *rest = [value if i == changed else a for i, a in enumerate(arguments)]
        return layer(kind, x, batch_sizes, *rest, reverse=reverse)

    count = 1 + len(states)
    expected = run()
    results = np.concatenate([a.ravel() for a in (y, *final[: count - 1])])
    assert_close(results, expected[: results.size])

    backward = getattr(kernels, f"{kind}_backward")
    saved = final[count - 1 :]
    g_states = (gh, gc)[: len(states)]
    gradients = backward(gy, *g_states, *saved, x, batch_sizes, *states, y, *weights[:2], reverse=reverse)
    g = np.concatenate([gy.ravel(), gh.ravel(), (gc if kind == "lstm" else np.zeros_like(gc)).ravel()])
    names = [0, 1, 2, 3, 4, 5] if kind == "lstm" else [0, 1, 3, 4, 5] + [6] * (kind == "gru")
    assert len(gradients) == len(names)
    for gradient, name in zip(gradients, names, strict=True):
        assert_close(gradient, numeric_gradient(lambda v, name=name: run(name, v), arguments[name], g), 1e-3)


def test_relu_rnn(kernels, rng):
    x, h0 = normal(rng, 4, INPUT), normal(rng, 2, HIDDEN)
    w_ih, w_hh = normal(rng, HIDDEN, INPUT), normal(rng, HIDDEN, HIDDEN)
    y, h = kernels.rnn_forward(x, [2, 2], h0, w_ih, w_hh, nonlinearity="relu")
    first = np.maximum(x[:2] @ w_ih.T + h0 @ w_hh.T, 0)
    second = np.maximum(x[2:] @ w_ih.T + first @ w_hh.T, 0)
    assert_close(y, np.concatenate([first, second]))
    assert_close(h, second)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_layer_large_enough_for_packed_weights(kernels, rng, kind):
    """Against the same kernels in float64, which the tests above hold to the definition."""
    gates, steps, n, hidden = {"rnn": 4, "gru": 3, "lstm": 4}[kind], 3, 32, 96
    hidden, gates = (4 * hidden, 1) if kind == "rnn" else (hidden, gates)
    x = normal(rng, steps * n, 40)
    states = [normal(rng, n, hidden) for _ in range(2 if kind == "lstm" else 1)]
    weights = [normal(rng, gates * hidden, 40) / 8, normal(rng, gates * hidden, hidden) / 16]

    def run(x, states, weights):
        y, *final = getattr(kernels, f"{kind}_forward")(x, [n] * steps, *states, *weights)
        saved = final[len(states) :]
        backward = getattr(kernels, f"{kind}_backward")
        return y, *final[: len(states)], *backward(y, *states, *saved, x, [n] * steps, *states, y, *weights)

    wide = run(x.astype(float), [s.astype(float) for s in states], [w.astype(float) for w in weights])
    for got, expected in zip(run(x, states, weights), wide, strict=True):
        assert expected.dtype == np.float64
        assert_close(got, expected, 1e-3)


SIZES = pytest.mark.parametrize("sizes", [(2, 2, 3, 2), (3, 4, 32, 32), (5, 32, 64, 64)])  # T, N, I, H


def problem(rng, kind, steps, n, features, hidden):
    """Input, batch sizes, states, weights and biases."""
    gates = {"gru": 3, "lstm": 4}[kind] * hidden
    states = [normal(rng, n, hidden) for _ in range(1 + (kind == "lstm"))]
    weights = [normal(rng, gates, k) / np.float32(k**0.5) for k in (features, hidden)]
    return normal(rng, steps * n, features), [n] * steps, *states, *weights, normal(rng, gates), normal(rng, gates)


@SIZES
@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("reverse", [False, True])
def test_forward_without_training(kernels, rng, kind, sizes, reverse):
    """Forward alone keeps nothing, and its results are those of training."""
    forward, given = getattr(kernels, f"{kind}_forward"), problem(rng, kind, *sizes)
    *expected, _ = forward(*given, reverse=reverse)
    *found, saved = forward(*given, reverse=reverse, training=False)
    assert saved is None
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)


@SIZES
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_gru_as_portable(kernels, rng, sizes, biases, reverse):
    x, batch_sizes, h0, *weights, b_ih, b_hh = problem(rng, "gru", *sizes)
    gy, gh = normal(rng, len(x), sizes[3]), normal(rng, *h0.shape)
    results = []
    for backend in (kernels, Portable(np)):
        given = (x, batch_sizes, h0, *weights, *((b_ih, b_hh) if biases else ()))
        y, h, saved = backend.gru_forward(*given, reverse=reverse)
        gradients = backend.gru_backward(gy, gh, saved, x, batch_sizes, h0, y, *weights, biases, reverse)
        results.append((y, h, *gradients))
    for found, expected in zip(*results, strict=True):
        if expected is None:
            assert found is None
        else:
            assert_close(found, expected, 1e-4)
