"""Post-local SGD: gradients are averaged over all ranks at first, later over a few, while models are averaged now and
then.

Lin et al., "Don't Use Large Mini-Batches, Use Local SGD" (2018).
"""

import logging
from typing import Any

from ....futures import Future
from ...groups import new_subgroups
from .debugging_hooks import noop_hook
from .default_hooks import allreduce_hook

_log = logging.getLogger(__name__)


class PostLocalSGDState:
    """Settings and step of `post_localSGD_hook`.

    process_group: over which gradients are averaged before step `start_localSGD_iter` (None: the default group);
    subgroup: over which from then on (None: the ranks of one host), or not at all if `post_local_gradient_allreduce` is
    False.
    """

    __slots__ = ("iter", "post_local_gradient_allreduce", "process_group", "start_localSGD_iter", "subgroup")

    def __init__(
        self, process_group: Any, subgroup: Any, start_localSGD_iter: int, post_local_gradient_allreduce: bool = True
    ):
        self.process_group, self.subgroup, self.start_localSGD_iter = process_group, subgroup, start_localSGD_iter
        self.post_local_gradient_allreduce = post_local_gradient_allreduce
        self.iter = 0

    def maybe_increase_iter(self, bucket: Any) -> None:
        """Count a step at its last bucket."""
        if bucket.is_last():
            self.iter += 1
            if self.iter == self.start_localSGD_iter:
                _log.info("Start to apply local SGD after %s iterations.", self.iter)


def post_localSGD_hook(state: PostLocalSGDState, bucket: Any) -> Future:
    """The bucket averaged over all ranks, or after the warm-up over the subgroup.

    Models must then be averaged after the optimizer's step, by a ModelAverager or PostLocalSGDOptimizer.
    """
    if state.iter < state.start_localSGD_iter:
        state.maybe_increase_iter(bucket)
        return allreduce_hook(state.process_group, bucket)
    if not state.post_local_gradient_allreduce:
        return noop_hook(None, bucket)
    if state.subgroup is None:
        state.subgroup, _ = new_subgroups()
    return allreduce_hook(state.subgroup, bucket)
