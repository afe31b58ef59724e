"""Averaging parameters over the ranks of a group."""

from collections.abc import Iterable
from typing import Any

from ....autograd.mode import no_grad
from ....nn import Parameter
from ....ops import cat
from ...collectives import all_reduce
from ...process_group import get_rank
from ...reduce_ops import ReduceOp

__all__ = ["average_parameters", "average_parameters_or_parameter_groups", "get_params_to_average"]


@no_grad()
def average_parameters(params: Iterable[Parameter], process_group: Any) -> None:
    """Every parameter becomes its average over the group (None: the default one), in one message for each dtype.

    Nothing happens on ranks outside the group.
    """
    if get_rank(process_group) < 0:
        return
    kinds: dict = {}
    for p in params:
        kinds.setdefault((p.dtype, p.device), []).append(p)
    for alike in kinds.values():
        flat = cat([p.detach().reshape(-1) for p in alike])
        all_reduce(flat, ReduceOp.AVG, process_group)
        for p, averaged in zip(alike, flat.split([p.numel() for p in alike]), strict=True):
            p.copy_(averaged.view_as(p))


def get_params_to_average(params: Iterable[Parameter | dict]) -> list[Parameter]:
    """The parameters that have a gradient, of a model's parameters or of an optimizer's groups.

    Raises NotImplementedError for items of other types.
    """
    found: list[Parameter] = []
    for item in params:
        if not isinstance(item, Parameter | dict):
            raise NotImplementedError(f"Parameter input of type {type(item)} is not supported")
        found += [p for p in (item["params"] if isinstance(item, dict) else [item]) if p.grad is not None]
    return found


def average_parameters_or_parameter_groups(params: Iterable[Parameter | dict], process_group: Any) -> None:
    """Average those parameters, of a model or of an optimizer's groups, that have a gradient."""
    average_parameters(get_params_to_average(params), process_group)
