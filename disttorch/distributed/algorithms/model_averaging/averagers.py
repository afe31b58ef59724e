"""When models are averaged: every few steps, after a warm-up.

Lin et al., "Don't Use Large Mini-Batches, Use Local SGD" (2018): post-local SGD.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from ...process_group import resolve
from .utils import average_parameters_or_parameter_groups

__all__ = ["ModelAverager", "PeriodicModelAverager"]

NEEDLESS = (
    "no need to use model averaging because the communication cost of all-reducing parameters will be no less than the "
    "cost of all-reducing gradients by DistributedDataParallel in the backward pass. Therefore, only "
    "DistributedDataParallel should be used for this case."
)


class ModelAverager(ABC):
    """Counts steps and averages parameters over `process_group` (None: the default group) at some of them."""

    def __init__(self, process_group: Any = None):
        self.process_group = resolve(process_group)
        self.step = 0

    @abstractmethod
    def average_parameters(self, params: Iterable) -> None:
        """To be called after each step of the optimizer, on every rank, with a model's parameters or an optimizer's
        groups.
        """
        raise NotImplementedError


class PeriodicModelAverager(ModelAverager):
    """Averages every `period` steps, from step `warmup_steps` on.

    Raises ValueError for a period below 1 or a negative warm-up.
    """

    def __init__(self, period: int, warmup_steps: int = 0, process_group: Any = None):
        super().__init__(process_group)
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        if period < 1:
            raise ValueError("Arg ``period`` must be a positive value.")
        if period == 1:
            warnings.warn(f"When period is 1, {NEEDLESS}", stacklevel=2)
        self.period, self.warmup_steps = period, warmup_steps

    def average_parameters(self, params: Iterable) -> None:
        """Average at this step if it is one of those, and count it."""
        after = self.step - self.warmup_steps
        if after >= 0 and after % self.period == 0:
            average_parameters_or_parameter_groups(params, self.process_group)
        self.step += 1
