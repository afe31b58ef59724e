"""Attention: heads however they lie in memory, masks, queries that see nothing, values that are not finite."""

import numpy as np
import pytest

from .conftest import assert_close, normal


def heads(rng, batch, count, length, features, how):
    """(N, H, L, D), in memory as named."""
    if how == "packed":  # a third of what one projection gave
        whole = normal(rng, batch, length, 3 * count * features)
        return whole[..., : count * features].reshape(batch, length, count, features).transpose(0, 2, 1, 3)
    order = {"nhld": (0, 1, 2, 3), "nlhd": (0, 2, 1, 3), "lnhd": (2, 0, 1, 3)}[how]
    sizes = (batch, count, length, features)
    return normal(rng, *[sizes[a] for a in order]).transpose(np.argsort(order))


def by_formula(q, k, v, bias, scale):
    scores = np.einsum("nhle,nhse->nhls", q, k).astype(np.float64) * scale + (0 if bias is None else bias)
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights = np.nan_to_num(weights / weights.sum(-1, keepdims=True))
    return np.einsum("nhls,nhsf->nhlf", weights, v), weights


@pytest.mark.parametrize("how", ["nhld", "nlhd", "lnhd", "packed"])
@pytest.mark.parametrize("sizes", [(2, 3, 5, 7, 4), (2, 4, 40, 33, 16)])
@pytest.mark.parametrize("masked", ["no", "causal", "blind"])
def test_attention(kernels, rng, how, sizes, masked):
    n, h, length, keys, features = sizes
    q, g = heads(rng, n, h, length, features, how), heads(rng, n, h, length, features, how)
    k, v = heads(rng, n, h, keys, features, how), heads(rng, n, h, keys, features, how)
    bias = None
    if masked != "no":
        bias = np.where(np.tri(length, keys, dtype=bool), np.float32(0), np.float32(-np.inf))
    if masked == "blind":
        bias[1] = -np.inf
    y, weights = kernels.attention_forward(q, k, v, bias, None, 0.3)
    expected, expected_weights = by_formula(q, k, v, bias, 0.3)
    assert_close(y, expected, 1e-4)
    assert_close(weights, expected_weights, 1e-5)
    gq, gk, gv, _ = kernels.attention_backward(g, q, k, v, None, weights, 0.3, (True, True, True, False))
    by_weights = np.einsum("nhlf,nhsf->nhls", g, v).astype(np.float64)
    slope = expected_weights * (by_weights - (by_weights * expected_weights).sum(-1, keepdims=True))
    assert_close(gv, np.einsum("nhls,nhlf->nhsf", expected_weights, g), 1e-3)
    assert_close(gq, 0.3 * np.einsum("nhls,nhse->nhle", slope, k), 1e-3)
    assert_close(gk, 0.3 * np.einsum("nhls,nhle->nhse", slope, q), 1e-3)


def test_a_nan_among_the_keys_reaches_every_query(kernels, rng):
    q, k, v = (normal(rng, 1, 2, 40, 16) for _ in range(3))
    k[0, 1, 3, 5] = np.nan
    y, _ = kernels.attention_forward(q, k, v, None, None, 0.25)
    assert np.isnan(y[0, 1]).all()
    assert np.isfinite(y[0, 0]).all()
