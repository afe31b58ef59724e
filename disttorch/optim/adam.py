"""Adam and its relatives: a running mean of the gradient over the root of a running mean of its square."""

import numpy as np

from ..autograd.variable import Tensor
from .differentiable import kernels_for
from .elementwise import WAYS, Elementwise
from .optimizer import check, check_lr, check_ways, number


def _check(lr, betas, eps, weight_decay):
    check_lr(lr)
    check("epsilon value", eps, eps >= 0.0)
    for i, beta in enumerate(betas):
        check(f"beta parameter at index {i}", beta, 0 <= number(beta) < 1)
    check("weight_decay value", weight_decay, number(weight_decay) >= 0.0)


def _check_tensors(lr, betas, foreach: bool):
    """ValueError (PyTorch's texts) for rates and betas that may not be tensors, or not such."""
    if foreach and isinstance(lr, Tensor):
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
    if len({isinstance(b, Tensor) for b in betas}) > 1:
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor):
            if foreach:
                raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True")
            check(f"betas[{i}]", beta, beta._data.size == 1, f"Tensor betas[{i}] must be 1-element")


class Adam(Elementwise):
    """Adam (Kingma and Ba, 2015); amsgrad: Reddi, Kale and Kumar (2018).

        m = beta1 · m + (1 - beta1) · g;   v = beta2 · v + (1 - beta2) · g²
        p = p - lr · (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    With `decoupled_weight_decay` weights shrink by lr · weight_decay instead of adding to the gradient (AdamW).
    """

    threads_inside = True

    later: dict = {"amsgrad": False} | WAYS | {"capturable": False, "decoupled_weight_decay": False, "fused": None}

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *, foreach=None,
        maximize=False, capturable=False, differentiable=False, fused=None, decoupled_weight_decay=False,
    ):  # fmt: skip
        _check(lr, betas, eps, weight_decay)
        _check_tensors(lr, betas, foreach and not capturable)
        check_ways(foreach, fused, differentiable)
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        slots = {"exp_avg": 0, "exp_avg_sq": 0}
        return {**slots, "max_exp_avg_sq": 0} if group["amsgrad"] else slots

    def rule(self, group, step, scalars, fresh):
        beta1, beta2 = map(number, group["betas"])
        root = (1 - beta2**step) ** 0.5
        eps, size = group["eps"] * root, number(group["lr"]) / (1 - beta1**step) * root

        def update(p, g, m, v, top=None):
            kernels = kernels_for(p)
            kernels.lerp(m, g, 1 - beta1)
            kernels.average_square(v, g, beta2)
            if top is not None:
                np.maximum(top, v, out=top)
            kernels.descend(p, m, v if top is None else top, eps, size)

        return update


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, *, maximize=False,
        foreach=None, capturable=False, differentiable=False, fused=None,
    ):  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


class Adamax(Elementwise):
    """Adamax (Kingma and Ba, 2015, section 7): the greatest magnitude, decaying, in place of the root mean square.

    u = max(beta2 · u, |g| + eps);   p = p - lr / (1 - beta1^t) · m / u
    """

    later = WAYS | {"capturable": False}

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None, *, maximize=False,
        differentiable=False, capturable=False,
    ):  # fmt: skip
        _check(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        return {"exp_avg": 0, "exp_inf": 0}

    def rule(self, group, step, scalars, fresh):
        beta1, beta2 = group["betas"]
        eps, size = group["eps"], number(group["lr"]) / (1 - beta1**step)

        def update(p, g, m, u):
            kernels_for(p).lerp(m, g, 1 - beta1)
            u *= beta2
            change = np.abs(g)
            change += eps
            np.maximum(u, change, out=u)
            np.divide(m, u, out=change)
            change *= size
            p -= change

        return update


class NAdam(Elementwise):
    """Adam with Nesterov's momentum (Dozat, 2016): the step already looks along the next one's momentum.

    mu_t = beta1 · (1 - 0.96^(t · momentum_decay) / 2)
    """

    later = WAYS | {"capturable": False, "decoupled_weight_decay": False}

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
        decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False, differentiable=False,
    ):  # fmt: skip
        _check(lr, betas, eps, weight_decay)
        check("momentum_decay value", momentum_decay, momentum_decay >= 0.0)
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        return {"exp_avg": 0, "exp_avg_sq": 0}

    def scalars(self, group):
        return {"mu_product": 1.0}

    def rule(self, group, step, scalars, fresh):
        (beta1, beta2), decay, eps, lr = group["betas"], group["momentum_decay"], group["eps"], number(group["lr"])
        correction = 1 - beta2**step
        mu = beta1 * (1 - 0.5 * 0.96 ** (step * decay))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * decay))
        scalars["mu_product"] *= mu
        product = scalars["mu_product"]
        of_gradient, of_mean = lr * (1 - mu) / (1 - product), lr * mu_next / (1 - product * mu_next)

        def update(p, g, m, v):
            kernels = kernels_for(p)
            kernels.lerp(m, g, 1 - beta1)
            kernels.average_square(v, g, beta2)
            root = v / correction
            np.sqrt(root, out=root)
            root += eps
            change = of_gradient * g
            change /= root
            p -= change
            np.divide(m, root, out=change)
            change *= of_mean
            p -= change

        return update


class RAdam(Elementwise):
    """Rectified Adam (Liu et al., 2020): plain momentum until the running mean of squares can be trusted."""

    later = WAYS | {"capturable": False, "decoupled_weight_decay": False}

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False, *,
        foreach=None, maximize=False, capturable=False, differentiable=False,
    ):  # fmt: skip
        _check(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group):
        return {"exp_avg": 0, "exp_avg_sq": 0}

    def rule(self, group, step, scalars, fresh):
        (beta1, beta2), eps, lr = group["betas"], group["eps"], number(group["lr"])
        correction1, correction2 = 1 - beta1**step, 1 - beta2**step
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * beta2**step / correction2
        rectify = rho > 5
        if rectify:
            r = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
            r *= correction2**0.5

        def update(p, g, m, v):
            kernels = kernels_for(p)
            kernels.lerp(m, g, 1 - beta1)
            kernels.average_square(v, g, beta2)
            change = m / correction1
            change *= lr
            if rectify:
                root = np.sqrt(v)
                root += eps
                np.divide(r, root, out=root)
                change *= root
            p -= change

        return update
