"""L-BFGS: quasi-Newton steps from the last gradients (Nocedal and Wright, Numerical Optimization, 2006, chapters 3 and
7).
"""

from math import sqrt

import numpy as np

from ..autograd.mode import no_grad
from ..autograd.variable import counter, wrap
from ..devices import namespace, scope
from .optimizer import Optimizer, check_lr, evaluate, number

CURVATURE = 1e-10  # smallest y·s with which a pair is remembered
NARROW = 1e-9  # no parameter changes by more between two steps that are not worth telling apart


class LBFGS(Optimizer):
    """Limited-memory BFGS over all parameters as one vector. One group only (ValueError otherwise).

    `step(closure)` makes up to `max_iter` iterations and calls the closure, which computes loss and gradients, up to
    `max_eval` times (5/4 max_iter). It ends early when no gradient exceeds `tolerance_grad`, or parameters and loss
    change by less than `tolerance_change`. `line_search_fn`: None (steps of `lr`) or "strong_wolfe".
    """

    def __init__(
        self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7, tolerance_change=1e-9, history_size=100,
        line_search_fn=None,
    ):  # fmt: skip
        check_lr(lr)
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @no_grad()
    def step(self, closure):
        """Iterate as the class says. Returns the loss before the first change."""
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        with scope(group["params"][0].device):
            return self._iterate(closure, group)

    def _iterate(self, closure, group):
        lr, tolerance = number(group["lr"]), group["tolerance_change"]
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate(closure)
        loss, grad, evaluations = float(first_loss), self._gradient(), 1
        state["func_evals"] += 1
        if np.abs(grad).max() <= group["tolerance_grad"]:
            return first_loss
        memory = _Memory(state, group["history_size"], group["params"][0].device)
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = memory.direction(grad, state["n_iter"] == 1)
            memory.grad, memory.loss = grad.copy(), loss
            t = min(1.0, 1.0 / float(np.abs(grad).sum())) * lr if state["n_iter"] == 1 else lr
            slope = float(grad @ direction)
            memory.step_size = t
            if slope > -tolerance:
                break
            used = 0
            if group["line_search_fn"] is not None:
                start = self._vector()
                left = group["max_eval"] - evaluations

                def along(t, start=start, direction=direction):
                    self._set(start + t * direction)
                    value = float(evaluate(closure))
                    return value, self._gradient()

                loss, grad, t, used = _strong_wolfe(along, t, direction, loss, grad, slope, left)
                self._set(start + t * direction)
                memory.step_size = t
            else:
                self._set(self._vector() + t * direction)
                if iteration != group["max_iter"]:
                    loss, grad, used = float(evaluate(closure)), self._gradient(), 1
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or np.abs(grad).max() <= group["tolerance_grad"]
                or np.abs(direction * t).max() <= tolerance
                or abs(loss - memory.loss) < tolerance
            ):
                break
        memory.save(state)
        return first_loss

    # -- the parameters as one real vector ----------------------------------------------------------------------------
    def _params(self):
        return self.param_groups[0]["params"]

    def _joined(self, arrays):
        flat = [np.ascontiguousarray(a).reshape(-1) if isinstance(a, np.ndarray) else a.ravel() for a in arrays]
        flat = [a.view(a.real.dtype) if a.dtype.kind == "c" else a for a in flat]
        return namespace(self._params()[0].device).concatenate(flat)

    def _vector(self):
        return self._joined([p._data for p in self._params()])

    def _gradient(self):
        return self._joined([p._data * 0 if p._grad is None else p._grad._data for p in self._params()])

    def _set(self, vector) -> None:
        begin = 0
        for p in self._params():
            data = p._data
            size = data.size * (2 if data.dtype.kind == "c" else 1)
            part = vector[begin : begin + size].astype(data.real.dtype)
            data[...] = (part.view(data.dtype) if data.dtype.kind == "c" else part).reshape(data.shape)
            counter(p)[0] += 1
            begin += size


class _Memory:
    """The last changes of gradient (`dirs`) and parameters (`steps`), which stand for the inverse Hessian."""

    def __init__(self, state: dict, size: int, device):
        self.size, self.device = size, device
        self.dirs = [t._data for t in state.get("old_dirs") or []]
        self.steps = [t._data for t in state.get("old_stps") or []]
        self.ro = [float(r) for r in state.get("ro") or []]
        self.diagonal = float(state["H_diag"]) if state.get("H_diag") is not None else 1.0
        self.d = state["d"]._data if state.get("d") is not None else None
        self.step_size = float(state["t"]) if state.get("t") is not None else None
        self.grad = state["prev_flat_grad"]._data if state.get("prev_flat_grad") is not None else None
        self.loss = state.get("prev_loss")

    def direction(self, grad, first: bool):
        """Where to go from the gradient: the two-loop recursion (algorithm 7.4)."""
        if first:
            self.d = -grad
            return self.d
        y, s = grad - self.grad, self.d * self.step_size
        ys = float(y @ s)
        if ys > CURVATURE:
            if len(self.dirs) == self.size:
                for old in (self.dirs, self.steps, self.ro):
                    old.pop(0)
            self.dirs.append(y)
            self.steps.append(s)
            self.ro.append(1.0 / ys)
            self.diagonal = ys / float(y @ y)
        q, alphas = -grad, []
        for y, s, r in zip(reversed(self.dirs), reversed(self.steps), reversed(self.ro), strict=True):
            alphas.append(float(s @ q) * r)
            q -= alphas[-1] * y
        q *= self.diagonal
        for y, s, r, alpha in zip(self.dirs, self.steps, self.ro, reversed(alphas), strict=True):
            q += (alpha - float(y @ q) * r) * s
        self.d = q
        return q

    def save(self, state: dict) -> None:
        if self.d is None:  # max_iter is 0
            return
        tensors = lambda arrays: [wrap(a, self.device) for a in arrays]  # noqa: E731
        state.update(
            d=wrap(self.d, self.device), t=self.step_size, old_dirs=tensors(self.dirs), old_stps=tensors(self.steps),
            ro=list(self.ro), H_diag=self.diagonal, prev_flat_grad=wrap(self.grad, self.device), prev_loss=self.loss,
        )  # fmt: skip


def _cubic_minimum(a: tuple, b: tuple, bounds: tuple | None = None) -> float:
    """Where the cubic through two points (t, value, slope) is least, within `bounds` (equation 3.59)."""
    (x1, f1, g1), (x2, f2, g2) = sorted((a, b), key=lambda point: point[0])
    low, high = bounds or (x1, x2)
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:
        return (low + high) / 2
    d2 = sqrt(square)
    return min(max(x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)), low), high)


class _Line:
    """A direction: its points (t, value, slope), and the strong Wolfe conditions on them (equation 3.7)."""

    C1, C2 = 1e-4, 0.9

    def __init__(self, along, direction, value: float, slope: float):
        self.along, self.direction, self.value, self.slope = along, direction, value, slope
        self.count = 0  # points that were evaluated

    def look(self, t: float) -> tuple:
        """The point at `t`, and the gradient there."""
        self.count += 1
        value, grad = self.along(t)
        return (t, value, float(grad @ self.direction)), grad

    def too_high(self, point: tuple) -> bool:
        return point[1] > self.value + self.C1 * point[0] * self.slope

    def flat_enough(self, point: tuple) -> bool:
        return abs(point[2]) <= -self.C2 * self.slope


def _strong_wolfe(along, t, direction, value, grad, slope, limit):
    """A step along `direction` that satisfies the strong Wolfe conditions.

    along(t) -> (value, gradient) there. Returns (value, gradient, t, number of evaluations), at most about `limit` of
    these.
    """
    line = _Line(along, direction, value, slope)
    ends = _bracket(line, t, grad, limit)
    if len(ends) == 2:
        _zoom(line, ends, limit)
    (t, value, _), grad = ends[0]
    return value, grad, t, line.count


def _bracket(line: _Line, t: float, grad, limit: int) -> list[tuple]:
    """Two points, with their gradients, between which a step will do, or one that will do itself (algorithm 3.5)."""
    start = previous = (0.0, line.value, line.slope), grad
    end = line.look(t)
    while line.count <= limit:
        before, point = previous[0], end[0]
        if line.too_high(point) or (line.count > 2 and point[1] >= before[1]):
            return [previous, end]
        if line.flat_enough(point):
            return [end]
        if point[2] >= 0:
            return [previous, end]
        t = point[0]
        t_next = _cubic_minimum(before, point, (t + 0.01 * (t - before[0]), t * 10))
        previous, end = end, line.look(t_next)
    return [start, end]


def _zoom(line: _Line, ends: list[tuple], limit: int) -> None:
    """Bring the two ends together until the lower one, which is put first, will do (algorithm 3.6)."""
    reach = float(np.abs(line.direction).max())
    stuck = False
    ends.sort(key=lambda end: end[0][1])
    while line.count <= limit:
        (low, _), (high, _) = ends
        left, right = sorted((low[0], high[0]))
        if (right - left) * reach < NARROW:
            break
        t = _cubic_minimum(low, high)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # too near to an end: twice in a row is too often
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        end = line.look(t)
        point = end[0]
        if line.too_high(point) or point[1] >= low[1]:
            ends[1] = end
            ends.sort(key=lambda end: end[0][1])
        elif line.flat_enough(point):
            ends[0] = end
            break
        else:
            if point[2] * (high[0] - low[0]) >= 0:
                ends[1] = ends[0]
            ends[0] = end
