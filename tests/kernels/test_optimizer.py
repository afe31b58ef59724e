"""Optimizer steps against their formulas in float64, over arrays of one and of many blocks."""

import numpy as np
import pytest

from .conftest import assert_close, normal

SIZES, STEPS, LR = [(3, 4), (40_000,)], 3, 0.1


def gradients(rng):
    return [[normal(rng, *size) for size in SIZES] for _ in range(STEPS)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1, "maximize": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.9, "dampening": 0.2, "maximize": True},
    ],
)
def test_sgd(kernels, rng, options):
    params, grads = [normal(rng, *size) for size in SIZES], gradients(rng)
    expected = [p.astype(float) for p in params]
    buffers = [np.empty_like(p) for p in params]
    momentum, dampening = options.get("momentum", 0), options.get("dampening", 0)
    velocity = [None] * len(params)
    for step in range(STEPS):
        before = [g.copy() for g in grads[step]]
        kernels.sgd_step(params, grads[step], buffers if momentum else None, LR, first=step == 0, **options)
        for i, g in enumerate(before):
            np.testing.assert_array_equal(grads[step][i], g)
            d = -g.astype(float) if options.get("maximize") else g.astype(float)
            d += options.get("weight_decay", 0) * expected[i]
            if momentum:
                velocity[i] = d if step == 0 else momentum * velocity[i] + (1 - dampening) * d
                d = d + momentum * velocity[i] if options.get("nesterov") else velocity[i]
            expected[i] -= LR * d
    for p, e in zip(params, expected, strict=True):
        assert_close(p, e, 1e-5)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_adam(kernels, rng, weight_decay, decoupled, amsgrad, maximize):
    params, grads = [normal(rng, *size) for size in SIZES], gradients(rng)
    expected = [p.astype(float) for p in params]
    first, second, largest = ([np.zeros_like(p) for p in params] for _ in range(3))
    m, v, top = ([np.zeros(size) for size in SIZES] for _ in range(3))
    beta1, beta2, eps = 0.9, 0.99, 1e-8
    for step in range(1, STEPS + 1):
        kernels.adam_step(
            params, grads[step - 1], first, second, step, LR, beta1, beta2, eps, weight_decay, decoupled,
            largest if amsgrad else None, maximize,
        )  # fmt: skip
        for i, g in enumerate(grads[step - 1]):
            d = -g.astype(float) if maximize else g.astype(float)
            if decoupled:
                expected[i] *= 1 - LR * weight_decay
            else:
                d += weight_decay * expected[i]
            m[i] = beta1 * m[i] + (1 - beta1) * d
            v[i] = beta2 * v[i] + (1 - beta2) * d * d
            top[i] = np.maximum(top[i], v[i])
            root = np.sqrt((top if amsgrad else v)[i] / (1 - beta2**step))
            expected[i] -= LR * m[i] / (1 - beta1**step) / (root + eps)
    for p, e in zip(params, expected, strict=True):
        assert_close(p, e, 1e-4)
