import numpy as np
import pytest

from .conftest import assert_close, channels_last, normal, numeric_gradient


def cross_entropy(logits, target, weight, ignore_index, reduction, smoothing):
    """The definition, one target at a time."""
    classes = logits.shape[1]
    weight = np.ones(classes) if weight is None else weight
    loss, total = np.zeros(target.shape), 0.0
    for at in np.ndindex(*target.shape):
        row = logits[(at[0], slice(None), *at[1:])]
        log_prob = row - row.max() - np.log(np.exp(row - row.max()).sum())
        if target[at] != ignore_index:
            t = target[at]
            total += weight[t]
            loss[at] = -(1 - smoothing) * weight[t] * log_prob[t] - smoothing / classes * (weight * log_prob).sum()
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / total}[reduction]


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 2, 3)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(kernels, rng, shape, reduction, smoothing, weighted):
    logits = normal(rng, *shape) * 3
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    target.flat[1] = -100
    weight = normal(rng, shape[1]) ** 2 if weighted else None
    options = (weight, -100, reduction, smoothing)
    loss, saved = kernels.cross_entropy_forward(logits, target, *options)
    expected = np.asarray(cross_entropy(logits.astype(float), target, *options))
    assert_close(loss, expected)
    g = normal(rng, *expected.shape) if expected.ndim else np.asarray(np.float32(1.5))
    gradient = numeric_gradient(lambda v: cross_entropy(v, target, *options), logits.astype(float), g)
    assert_close(kernels.cross_entropy_backward(g, saved), gradient, 1e-3)


def test_ignored_targets_may_be_any_number(kernels, rng):
    logits, target = normal(rng, 3, 4), np.array([1, 255, 2])
    loss, saved = kernels.cross_entropy_forward(logits, target, None, 255)
    assert_close(loss, np.asarray(cross_entropy(logits.astype(float), target, None, 255, "mean", 0.0)))
    assert not kernels.cross_entropy_backward(np.asarray(np.float32(1)), saved)[1].any()


def test_mean_of_no_target_is_nan(kernels, rng):
    loss, _ = kernels.cross_entropy_forward(normal(rng, 2, 4), np.array([-100, -100]))
    assert np.isnan(loss)


def test_gradient_of_no_target_is_zero(kernels, rng):
    _, saved = kernels.cross_entropy_forward(normal(rng, 2, 4), np.array([-100, -100]))
    assert (kernels.cross_entropy_backward(np.asarray(np.float32(1)), saved) == 0).all()


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (2, 70, 9), (2, 5, 9000)])
@pytest.mark.parametrize("last", [False, True])
def test_planes_of_targets(kernels, rng, shape, last):
    """Ignored targets whose logarithms are infinite, a NaN and an infinity; channels last or not."""
    logits, target = normal(rng, *shape) * 3, rng.integers(0, shape[1], (shape[0], *shape[2:]))
    target[target == 1] = 255
    logits[:, 0][target == 255] = -np.inf
    rows, index = np.moveaxis(logits, 1, -1).reshape(-1, shape[1]), target.reshape(-1)
    if last:
        logits = channels_last(logits)
    loss, saved = kernels.cross_entropy_forward(logits, target, None, 255)
    wanted, kept = kernels.cross_entropy_forward(rows.astype(float), index, None, 255)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    g = np.asarray(np.float32(100))
    gradient = np.moveaxis(kernels.cross_entropy_backward(g, saved), 1, -1).reshape(rows.shape)
    np.testing.assert_allclose(gradient, kernels.cross_entropy_backward(g, kept), rtol=1e-4, atol=1e-6)
    logits[0, 2, 0], logits[1, 2, 1] = np.inf, np.nan
    loss, _ = kernels.cross_entropy_forward(logits, target % 5, None, None, "none")
    assert np.isnan(loss[0, 0]).all()
    assert np.isnan(loss[1, 1]).all()
    assert np.isnan(loss).sum() == loss[0, 0].size + loss[1, 1].size


@pytest.mark.parametrize("shape", [(6, 10), (300, 10), (40, 5000)])
def test_logarithms_are_exact(kernels, rng, shape):
    """A logarithm that is off by some 1e-6 in whole rows sets the losses of a network apart from its float64 self."""
    x = normal(rng, *shape) * 2
    wide = x.astype(np.float64)
    exact = wide - wide.max(1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(1, keepdims=True))
    assert np.abs((kernels.log_softmax_forward(x, 1) - exact).mean(1)).max() < 1e-6
    target = rng.integers(0, shape[1], shape[0])
    loss, _ = kernels.cross_entropy_forward(x, target, ignore_index=None, reduction="none")
    np.testing.assert_allclose(loss, -exact[np.arange(shape[0]), target], atol=2e-6)
    assert abs((loss + exact[np.arange(shape[0]), target]).mean()) < 3e-7


@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (70, 1000)])
@pytest.mark.parametrize("bound", [None, 0.75])
def test_difference_backward(kernels, rng, shape, bound):
    x, y = (np.asarray(normal(rng, *shape), np.float32) for _ in range(2))
    if x.size:
        x.flat[0], y.flat[-1] = np.inf, np.inf if bound is None and x.size > 1 else 0
    expected = x.astype(float) - y
    expected = (expected if bound is None else expected.clip(-bound, bound)) * 1.5
    for a, b, e in ((x, y, expected), (x.T, y.T, expected.T)):
        found = kernels.difference_backward(np.asarray(1.5, np.float32), a, b, bound)
        np.testing.assert_allclose(found, e, rtol=1e-6)
