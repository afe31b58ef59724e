"""Optimizers that look at a parameter as a matrix: Adafactor and Muon."""

from math import sqrt
from typing import ClassVar

import numpy as np

from .. import dtypes
from ..autograd.mode import no_grad
from ..autograd.variable import Tensor, counter, wrap
from ..devices import namespace, scope
from ..ops.matmul import kernels_of
from .optimizer import Optimizer, check, evaluate, number


class _PerMatrix(Optimizer):
    """Steps one parameter after the other; a subclass gives `update(p, g, state, group)` on tensors' arrays."""

    @no_grad()
    @np.errstate(all="ignore")
    def step(self, closure=None):
        """Change the parameters that have gradients, once. Returns the closure's value."""
        loss = evaluate(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is None:
                    continue
                if p.dtype.is_complex:
                    raise RuntimeError(f"{type(self).__name__} does not support complex parameters")
                with scope(p.device):
                    g = -p._grad._data if group.get("maximize") else p._grad._data
                    self.update(p, g, self.state[p], group)
                counter(p)[0] += 1
        return loss

    def update(self, p: Tensor, g, state: dict, group: dict) -> None:
        raise NotImplementedError


def _zeros(p: Tensor, shape) -> Tensor:
    return wrap(namespace(p.device).zeros(shape, p._data.dtype), p.device)


class Adafactor(_PerMatrix):
    """Adafactor (Shazeer and Stern, 2018): a matrix's second moments are kept as row and column means.

    d: largest root mean square of an update; eps: (for the second moments, None: the dtype's; for the parameters'
    scale)
    """

    later: ClassVar[dict] = {"foreach": None}

    def __init__(
        self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, *, foreach=None,
        maximize=False,
    ):  # fmt: skip
        if isinstance(lr, Tensor) and lr._data.size != 1:
            raise ValueError("Tensor lr must be 1-element")
        check("lr", lr, number(lr) >= 0.0, f"Learning rate should be >= 0 but is: {lr}")
        check("beta2_decay", beta2_decay, beta2_decay <= 0, f"beta2_decay should be <= 0 but is: {beta2_decay}")
        check("eps", eps, eps[0] is None or eps[0] >= 0.0, f"epsilon1 should be >= 0 but is: {eps[0]}")
        check("eps", eps, eps[1] >= 0.0, f"epsilon2 should be >= 0 but is: {eps[1]}")
        check("d", d, d >= 1, f"Clipping threshold d should be >= 1 but is: {d}")
        check("weight_decay", weight_decay, weight_decay >= 0.0, f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, p, g, state, group):
        lr, d, decay = number(group["lr"]), group["d"], group["weight_decay"]
        eps1, eps2 = group["eps"]
        eps1 = dtypes.finfo(p.dtype).eps if eps1 is None else eps1
        shape = g.shape
        if not state:
            state["step"] = wrap(np.asarray(0.0, np.float32))
            if g.ndim > 1:
                state["row_var"] = _zeros(p, (*shape[:-1], 1))
                state["col_var"] = _zeros(p, (*shape[:-2], 1, shape[-1]))
            else:
                state["variance"] = _zeros(p, shape)
        state["step"]._data += 1
        step = float(state["step"]._data)
        weight = step ** group["beta2_decay"]
        scale = max(eps2, float(_rms(p._data))) * min(lr, 1 / sqrt(step))
        if decay:
            p._data *= 1 - lr * decay
        square, lerp = g * g, kernels_of(g).lerp
        if g.ndim > 1:
            rows, columns = state["row_var"]._data, state["col_var"]._data
            lerp(rows, square.mean(-1, keepdims=True), weight)
            lerp(columns, square.mean(-2, keepdims=True), weight)
            variance = rows @ columns
            variance /= np.maximum(rows.mean(-2, keepdims=True), eps1)
        else:
            lerp(state["variance"]._data, square, weight)
            variance = state["variance"]._data.copy()
        update = g / np.sqrt(np.maximum(variance, eps1 * eps1))
        update *= scale / max(1.0, float(_rms(update)) / d)
        p._data -= update


def _rms(x):
    return np.sqrt(np.square(x, dtype=np.float64).mean()) if x.size else 0.0


class Muon(_PerMatrix):
    """Muon (Jordan et al., 2024): momentum whose singular values are all brought to about 1. Matrices only
    (ValueError).

    ns_coefficients, ns_steps: of the Newton-Schulz iteration x = a x + (b A + c A²) x, A = x xᵀ, taken in bfloat16;
    adjust_lr_fn: "original" (None; sqrt(max(1, rows / columns))) or "match_rms_adamw" (0.2 sqrt(max(rows, columns)))
    """

    def __init__(
        self, params, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
        ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn=None,
    ):  # fmt: skip
        if isinstance(lr, Tensor) and lr._data.size != 1:
            raise ValueError("Tensor lr must be 1-element")
        check("lr", lr, number(lr) >= 0.0, f"Learning rate should be >= 0 but is: {lr}")
        check("momentum", momentum, momentum >= 0.0, f"momentum should be >= 0 but is: {momentum}")
        check("weight_decay", weight_decay, weight_decay >= 0.0, f"weight decay should be >= 0 but is: {weight_decay}")
        check(
            "adjust_lr_fn", adjust_lr_fn, adjust_lr_fn in (None, "original", "match_rms_adamw"),
            f"Adjust learning rate function {adjust_lr_fn} is not supported",
        )  # fmt: skip
        check(
            "ns_steps", ns_steps, ns_steps < 100, "Number of steps must be less than 100 for computational efficiency"
        )
        check(
            "ns_coefficients", ns_coefficients, len(ns_coefficients) == 3,
            "Coefficients must be a tuple of exactly 3 values",
        )  # fmt: skip
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p._data.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}"
                    )

    def update(self, p, g, state, group):
        lr, momentum = number(group["lr"]), group["momentum"]
        if g.ndim != 2:
            raise ValueError("Param gradient must be a 2D matrix")
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = _zeros(p, g.shape)
        buffer, lerp = state["momentum_buffer"]._data, kernels_of(g).lerp
        lerp(buffer, g, 1 - momentum)
        if group["nesterov"]:
            g = g.copy()
            lerp(g, buffer, momentum)
        else:
            g = buffer
        update = _orthogonal(g, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p._data.shape
        matched = group["adjust_lr_fn"] == "match_rms_adamw"
        ratio = 0.2 * sqrt(max(rows, columns)) if matched else sqrt(max(1, rows / columns))
        p._data *= 1 - lr * group["weight_decay"]
        p._data -= (lr * ratio * update).astype(p._data.dtype)


def _orthogonal(g, coefficients, steps: int, eps: float):
    """About the nearest matrix with orthonormal rows or columns, by Newton-Schulz in bfloat16."""
    a, b, c = coefficients
    rounded = lambda x: x.astype(dtypes.bfloat16.np).astype(np.float32)  # noqa: E731
    x = rounded(g.T if g.shape[0] > g.shape[1] else g)
    x = rounded(x / max(float(rounded(np.sqrt(np.square(x).sum()))), eps))
    for _ in range(steps):
        gram = rounded(x @ x.T)
        polynomial = rounded(b * gram + c * (gram @ gram))
        x = rounded(a * x + polynomial @ x)
    return x.T if g.shape[0] > g.shape[1] else x
