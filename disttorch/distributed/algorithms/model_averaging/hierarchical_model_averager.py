"""Averaging in a hierarchy of groups: small ones often, large ones seldom.

Lin et al., "Don't Use Large Mini-Batches, Use Local SGD" (2018), section on hierarchical local SGD.
"""

import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from ...groups import new_subgroups
from .averagers import NEEDLESS, ModelAverager
from .utils import average_parameters_or_parameter_groups

__all__ = ["HierarchicalModelAverager"]


class HierarchicalModelAverager(ModelAverager):
    """Averages over neighbouring ranks: at each step over the largest group whose period divides the step.

    period_group_size_dict: the size of the groups by period, both ascending; the last size is that of `process_group`.
    Nothing is averaged before step `warmup_steps`. Raises ValueError for sizes or periods that do not fit.
    """

    def __init__(
        self, period_group_size_dict: Mapping[int, int] | None = None, warmup_steps: int = 0, process_group: Any = None
    ):
        super().__init__(process_group)
        if not period_group_size_dict:
            raise ValueError("Arg ``period_group_size_dict`` must not be empty.")
        self._periods, sizes = list(period_group_size_dict), list(period_group_size_dict.values())
        if self._periods[0] <= 0:
            raise ValueError("The minimum period in arg ``period_group_size_dict`` must be a positive value.")
        if self._periods[-1] == 1:
            warnings.warn(f"When the maximum period in arg ``period_group_size_dict`` is 1, {NEEDLESS}", stacklevel=2)
        whole = self.process_group.size()
        if sizes[-1] != whole:
            raise ValueError(
                f"The last value in arg ``period_group_size_dict`` {sizes[-1]} must be equal to the size of arg "
                f"``process_group`` {whole}."
            )
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        self.warmup_steps = warmup_steps
        self.period_process_group_dict = OrderedDict(
            (period, self.process_group if size == whole else new_subgroups(size, self.process_group)[0])
            for period, size in period_group_size_dict.items()
        )

    def _find_process_group(self) -> Any:
        """The group of the largest period that divides the step; None if none does."""
        due = [period for period in self._periods if self.step % period == 0]
        return self.period_process_group_dict[due[-1]] if due else None

    def average_parameters(self, params: Iterable) -> None:
        """Average over the group whose turn it is at this step, if any, and count the step."""
        group = self._find_process_group() if self.step >= self.warmup_steps else None
        if group is not None:
            average_parameters_or_parameter_groups(params, group)
        self.step += 1
