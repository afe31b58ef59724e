"""What a DistributedDataParallel model does on ranks that have fewer batches than others."""

from typing import Any

import numpy as np

from ...distributed.algorithms.join import JoinHook
from ...distributed.packing import broadcast_tensors

DONE, ACTIVE, SYNCING = 0, 1, 2  # said before each forward: no batch left, one, one whose gradients are averaged


class ModelJoinHook(JoinHook):
    """One rank's part: the ranks agree before each forward on who computes a batch, and on whose buffers count."""

    def __init__(self, model: Any, divide_by_initial_world_size: bool):
        self.model, self.comm, self.divide_by_all = model, model._comm, divide_by_initial_world_size
        self._own: list[Any] | None = None  # the gradients that this rank had when it ran out of batches

    def announce(self, syncing: bool) -> int:
        """Say that this rank computes a batch; returns the rank whose buffers all take over."""
        return self._agree(SYNCING if syncing else ACTIVE)

    def main_hook(self) -> None:
        """Take part in the others' step: their buffers and the average of their gradients become this rank's too, for
        an optimizer that joins; in the end it has its own gradients again.
        """
        if self._own is None:
            gradients = [p.grad for p in self.model.reducer.parameters]
            self._own = [None if g is None else g.clone() for g in gradients]
        source = self._agree(DONE)
        if self.model.broadcast_buffers and self.model.require_forward_param_sync:
            self.model.share_buffers(source)
        self.model.require_forward_param_sync = self._syncing
        if self._syncing:
            self.model.reducer.shadow()

    def post_hook(self, is_last_joiner: bool) -> None:
        """All take over the parameters of the highest rank among those that computed the last batch, and its buffers
        if buffers are shared before each forward.
        """
        self.model.reducer.scale = 1.0
        for parameter, gradient in zip(self.model.reducer.parameters, self._own or (), strict=False):
            parameter.grad = gradient
        votes = [np.empty(1, np.uint8) for _ in range(self.comm.size)]
        self.comm.all_gather(votes, np.array([is_last_joiner], np.uint8))
        source = max(rank for rank, vote in enumerate(votes) if vote[0])
        buffers = self.model.shared_buffers() if self.model.broadcast_buffers else []
        broadcast_tensors(self.comm, [*self.model.shared_parameters(), *buffers], source)

    def _agree(self, mine: int) -> int:
        """Hear every rank's word; returns the last rank that computes a batch."""
        words = [np.empty(1, np.uint8) for _ in range(self.comm.size)]
        self.comm.all_gather(words, np.array([mine], np.uint8))
        active = [rank for rank, word in enumerate(words) if word[0] != DONE]
        self._syncing = any(word[0] == SYNCING for word in words)
        self.model.reducer.scale = 1.0 if self.divide_by_all else self.comm.size / len(active)
        return active[-1]
