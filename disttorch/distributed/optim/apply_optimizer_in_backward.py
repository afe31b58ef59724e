"""Optimizers that take their step within backward."""

from collections.abc import Iterable
from typing import Any

from ...autograd.variable import Tensor
from ...nn.modules.module import Module
from ...optim import Optimizer

__all__: list[str] = []


def _apply_optimizer_in_backward(
    optimizer_class: type[Optimizer],
    params: Iterable[Tensor],
    optimizer_kwargs: dict[str, Any],
    register_hook: bool = True,
) -> None:
    """Give each parameter an optimizer of its own, which takes its step as soon as backward has the gradient, and drops
    it. A parameter of DistributedDataParallel has it take the step when the average is there, in the backwards that
    average.

    register_hook=False: nothing takes the step but DistributedDataParallel; the optimizers are there to be asked for.
    """
    for p in params:
        if not hasattr(p, "_in_backward_optimizers"):
            p._in_backward_optimizers, p._optimizer_classes, p._optimizer_kwargs = [], [], []  # type: ignore[attr-defined]
            if register_hook:
                p.register_post_accumulate_grad_hook(_step)
        p._in_backward_optimizers.append(optimizer_class([p], **optimizer_kwargs))  # type: ignore[attr-defined,call-arg]
        p._optimizer_classes.append(optimizer_class)  # type: ignore[attr-defined]
        p._optimizer_kwargs.append(optimizer_kwargs)  # type: ignore[attr-defined]


def _step(parameter: Any) -> None:
    if parameter._grad_home is not None:  # a reducer's, which has not averaged it yet
        return
    for optimizer in parameter._in_backward_optimizers:
        optimizer.step()
    parameter.grad = None


def _get_in_backward_optimizers(module: Module) -> list[Optimizer]:
    """The optimizers that the module's parameters have for backward."""
    return [optimizer for p in module.parameters() for optimizer in getattr(p, "_in_backward_optimizers", ())]
