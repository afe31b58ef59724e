"""A step size of its own for every element: Adagrad, Adadelta, RMSprop, Rprop."""

import numpy as np

from .differentiable import kernels_for
from .elementwise import WAYS, Elementwise
from .optimizer import check, check_lr, check_ways, number


class Adagrad(Elementwise):
    """Adagrad (Duchi, Hazan and Singer, 2011): steps shrink with the root of the sum of all squared gradients.

    s = s + g²;   p = p - lr / (1 + (t - 1) · lr_decay) · g / (sqrt(s) + eps)
    """

    threads_inside = True

    later = WAYS | {"fused": None}

    def __init__(
        self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, foreach=None, *,
        maximize=False, differentiable=False, fused=None,
    ):  # fmt: skip
        check_lr(lr)
        check("lr_decay value", lr_decay, lr_decay >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        check("initial_accumulator_value value", initial_accumulator_value, initial_accumulator_value >= 0.0)
        check("epsilon value", eps, eps >= 0.0)
        check_ways(foreach, fused, differentiable)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:  # PyTorch's state is there from the beginning
            for p in group["params"]:
                self.prepare(p, group)

    def share_memory(self) -> None:
        """The state is ready to be shared with forked processes: nothing to do."""

    def slots(self, group):
        return {"sum": self.defaults["initial_accumulator_value"]}

    def rule(self, group, step, scalars, fresh):
        eps, size = group["eps"], number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])

        def update(p, g, total):
            total += g * g
            kernels_for(p).descend(p, g, total, eps, size)

        return update


class Adadelta(Elementwise):
    """Adadelta (Zeiler, 2012): steps of the size that past steps had, per root mean square of the gradient."""

    later = WAYS | {"capturable": False}

    def __init__(
        self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *, capturable=False, maximize=False,
        differentiable=False,
    ):  # fmt: skip
        check_lr(lr)
        check("rho value", rho, 0 <= rho <= 1)
        check("epsilon value", eps, eps >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        return {"square_avg": 0, "acc_delta": 0}

    def rule(self, group, step, scalars, fresh):
        rho, eps, lr = group["rho"], group["eps"], number(group["lr"])

        def update(p, g, square, past):
            kernels = kernels_for(p)
            kernels.average_square(square, g, rho)
            root = square + eps
            np.sqrt(root, out=root)
            change = past + eps
            np.sqrt(change, out=change)
            change /= root
            change *= g
            kernels.average_square(past, change, rho)
            change *= lr
            p -= change

        return update


class RMSprop(Elementwise):
    """RMSprop (Hinton, Coursera lecture 6e); centered: the variance in place of the mean square (Graves, 2013).

    v = alpha · v + (1 - alpha) · g²;   p = p - lr · g / (sqrt(v) + eps), through a momentum buffer if there is momentum
    """

    threads_inside = True

    later: dict = {"momentum": 0, "centered": False} | WAYS | {"capturable": False}

    def __init__(
        self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, capturable=False,
        foreach=None, maximize=False, differentiable=False,
    ):  # fmt: skip
        check_lr(lr)
        check("epsilon value", eps, eps >= 0.0)
        check("momentum value", momentum, momentum >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        check("alpha value", alpha, alpha >= 0.0)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        slots = {"square_avg": 0}
        if group["momentum"] > 0:
            slots["momentum_buffer"] = 0
        if group["centered"]:
            slots["grad_avg"] = 0
        return slots

    def rule(self, group, step, scalars, fresh):
        alpha, eps, lr, momentum = group["alpha"], group["eps"], number(group["lr"]), group["momentum"]
        centered = group["centered"]

        def update(p, g, square, *others):
            kernels = kernels_for(p)
            kernels.average_square(square, g, alpha)
            if centered:
                mean = others[-1]
                kernels.lerp(mean, g, 1 - alpha)
                square = square - mean * mean
            if momentum > 0:
                change = np.sqrt(square)
                change += eps
                np.divide(g, change, out=change)
                buffer = others[0]
                kernels.decay_and_add(buffer, momentum, change)
                p -= buffer * lr
            else:
                kernels.descend(p, g, square, eps, lr)

        return update


class Rprop(Elementwise):
    """Resilient backpropagation (Riedmiller and Braun, 1993): step sizes that follow the gradient's changes of sign."""

    later = WAYS | {"capturable": False}

    def __init__(
        self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, capturable=False, foreach=None,
        maximize=False, differentiable=False,
    ):  # fmt: skip
        check_lr(lr)
        check("eta values", f"{etas[0]}, {etas[1]}", 0 < etas[0] < 1 < etas[1])
        defaults = {
            "lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes), "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        return {"prev": 0, "step_size": number(group["lr"])}

    def rule(self, group, step, scalars, fresh):
        (minus, plus), (low, high) = group["etas"], group["step_sizes"]

        def update(p, g, previous, size):
            turn = previous * g
            back = turn < 0
            size *= np.where(back, minus, np.where(turn > 0, plus, 1)).astype(size.dtype)
            np.clip(size, low, high, out=size)
            previous[...] = g
            previous[back] = 0
            p -= (previous > 0) * size - (previous < 0) * size  # not sign(): that of NaN is to be 0

        return update
