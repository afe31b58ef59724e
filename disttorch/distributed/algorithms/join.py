"""Join: ranks that have fewer batches than others answer the others' collectives until all have finished.

    with Join([model, optimizer]):
        for x, y in batches: ...

Before each step every rank that still has a batch says so; a rank that has left the block takes the step's collectives
in its hooks instead.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

from ...ops import full
from ..collectives import Work, all_reduce
from ..process_group import get_rank, get_world_size

__all__ = ["Join", "JoinHook", "Joinable"]

SKEW = 1000  # steps that one rank may be ahead before it is warned of


class JoinHook:
    """What a rank that has no batch left does in place of a step, and in the end; by default nothing."""

    def main_hook(self) -> None:
        """Called for each step of the ranks that still have batches: take part in that step's collectives."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Called once, on every rank, when none has a batch left; is_last_joiner: this rank was among the last."""


class _JoinConfig(NamedTuple):
    enable: bool = False
    throw_on_early_termination: bool = False
    is_first_joinable: bool = False


class Joinable(ABC):
    """Something whose steps use collectives and that can be handed to `Join`.

    It calls `Join.notify_join_context(self)` before the collectives of each step.
    """

    def __init__(self) -> None:
        super().__init__()
        self._join_config = _JoinConfig()

    @abstractmethod
    def join_hook(self, **kwargs: Any) -> JoinHook:
        """The hook for one `Join` block, which hands on its own further arguments to all its joinables."""

    @property
    @abstractmethod
    def join_device(self) -> Any:
        """The device on which ranks tell one another that they have a batch."""

    @property
    @abstractmethod
    def join_process_group(self) -> Any:
        """The group whose ranks join; the same for all joinables of a block."""


class Join:
    """A block in which the ranks of a group may have different numbers of batches.

    enable=False: do nothing, for inputs known to be even. throw_on_early_termination: no step is taken once a rank has
    no batch left; it and all others raise RuntimeError. Raises ValueError without joinables, or if their groups differ.
    """

    def __init__(
        self,
        joinables: Sequence[Joinable],
        enable: bool = True,
        throw_on_early_termination: bool = False,
        **kwargs: Any,
    ):
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables, self._enable, self._throw = list(joinables), enable, throw_on_early_termination
        self._hooks = [joinable.join_hook(**kwargs) for joinable in self._joinables]
        for joinable in self._joinables:
            first = joinable is self._joinables[0]
            joinable._join_config = _JoinConfig(enable, throw_on_early_termination, first)
        self._group, self._device = self._joinables[0].join_process_group, self._joinables[0].join_device
        if any(joinable.join_process_group != self._group for joinable in self._joinables):
            raise ValueError("Using join context manager with multiple process groups")

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._enable and kind is None:
                self._shadow()
        finally:
            for joinable in self._joinables:
                joinable._join_config = _JoinConfig()

    def _shadow(self) -> None:
        steps = 0
        while _active(self._group, self._device, 0)[0].item():
            if self._throw:
                raise RuntimeError(f"Rank {get_rank(self._group)} exhausted all inputs.")
            for hook in self._hooks:
                hook.main_hook()
            steps += 1
            if steps == SKEW:
                warnings.warn(
                    f"Detected uneven input skew of greater than {SKEW}. This means that rank "
                    f"{get_rank(self._group)} has at least {SKEW} fewer inputs than other currently-active ranks. "
                    "This level of skew could lead to performance degradation during training.",
                    stacklevel=3,
                )
        for hook in self._hooks:
            hook.post_hook(steps == 0)

    @staticmethod
    def notify_join_context(joinable: Joinable) -> Work | None:
        """Say that this rank has a batch; to be called before the collectives of a step.

        Returns the handle of that message for the first joinable of a block, None for others and outside of one. Raises
        RuntimeError if a rank has none left and the block is to end then.
        """
        if not hasattr(joinable, "_join_config"):
            raise AssertionError(f"Check that the {type(joinable)} constructor calls the ``Joinable`` constructor")
        config = joinable._join_config
        if not (config.enable and config.is_first_joinable):
            return None
        group = joinable.join_process_group
        count, work = _active(group, joinable.join_device, 1, async_op=config.throw_on_early_termination is False)
        if config.throw_on_early_termination and count.item() < get_world_size(group):
            raise RuntimeError("Detected at least one rank that exhausted inputs. Throwing across all ranks.")
        return work


def _active(group: Any, device: Any, mine: int, async_op: bool = False) -> tuple[Any, Work | None]:
    """How many ranks have a batch (with `async_op` once the handle is waited on); `mine`: whether this one does."""
    count = full((1,), float(mine), device=device)
    return count, all_reduce(count, group=group, async_op=async_op)
