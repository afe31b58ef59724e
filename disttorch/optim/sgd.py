"""Gradient descent: SGD with momentum, and averaged SGD."""

from typing import ClassVar

from .differentiable import kernels_for
from .elementwise import WAYS, Elementwise
from .optimizer import check, check_lr, check_ways, number


class SGD(Elementwise):
    """Stochastic gradient descent, with momentum as Sutskever et al. (2013) write it but for the place of `lr`.

        v = momentum · v + (1 - dampening) · g        (at the first step v = g)
        p = p - lr · v                                (nesterov: p - lr · (g + momentum · v))

    ValueError for negative settings, and for nesterov without momentum or with dampening.
    """

    counted = False
    block = 1 << 18  # three arrays of 1 MB, for each thread
    threads_inside = True

    later: ClassVar[dict] = {
        "nesterov": False,
        "maximize": False,
        "foreach": None,
        "differentiable": False,
        "fused": False,
    }

    def __init__(
        self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *, maximize=False, foreach=None,
        differentiable=False, fused=None,
    ):  # fmt: skip
        check_lr(lr)
        check("momentum value", momentum, momentum >= 0)
        check("weight_decay value", weight_decay, number(weight_decay) >= 0)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_ways(foreach, fused, differentiable)
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        return {"momentum_buffer": 0} if group["momentum"] else {}

    def rule(self, group, step, scalars, fresh):
        lr, momentum = number(group["lr"]), number(group["momentum"])
        part, nesterov = 1 - group["dampening"], group["nesterov"]

        def update(p, g, v=None):
            kernels = kernels_for(p)
            if v is None:
                kernels.add_scaled(p, -lr, g)
                return
            if fresh:
                v[...] = g
            else:
                kernels.decay_and_add(v, momentum, g if part == 1 else part * g)
            kernels.add_scaled(p, -lr, g + momentum * v if nesterov else v)

        return update


class ASGD(Elementwise):
    """Averaged stochastic gradient descent (Polyak and Juditsky, 1992); `optimizer.state[p]["ax"]` is the average.

    eta = lr / (1 + lambd · lr · step)^alpha; averaging begins at step t0.
    """

    later = WAYS | {"capturable": False}

    def __init__(
        self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0, foreach=None, maximize=False,
        differentiable=False, capturable=False,
    ):  # fmt: skip
        check_lr(lr)
        check("weight_decay value", weight_decay, weight_decay >= 0)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        return {"ax": 0}

    def scalars(self, group):
        return {"eta": number(group["lr"]), "mu": 1.0}

    def rule(self, group, step, scalars, fresh):
        lr, lambd = number(group["lr"]), group["lambd"]
        eta, mu = scalars["eta"], scalars["mu"]
        scalars["eta"] = lr / (1 + lambd * lr * step) ** group["alpha"]
        scalars["mu"] = 1 / max(1, step - group["t0"])

        def update(p, g, average):
            p *= 1 - lambd * eta
            p -= eta * g
            if mu == 1:
                average[...] = p
            else:
                average += (p - average) * mu

        return update
