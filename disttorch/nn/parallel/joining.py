"""Ranks with fewer batches than others: what they do until the others have finished."""

from typing import Any

import numpy as np

from ...distributed.packing import broadcast_tensors

DONE, ACTIVE, SYNCING = (
    0,
    1,
    2,
)  # what a rank says before each forward: no batch left, a batch, one whose gradients are averaged


class Joining:
    """One rank's part in `DistributedDataParallel.join()`: it tells the others before each forward that it still has
    batches.
    """

    def __init__(self, model: Any, divide_by_initial_world_size: bool, throw: bool):
        self.model, self.comm = model, model._comm
        self.divide_by_all, self.throw = divide_by_initial_world_size, throw

    def announce(self, syncing: bool) -> int:
        """Say that this rank computes a batch; returns the rank whose buffers all take over."""
        active = self._agree(SYNCING if syncing else ACTIVE)
        self.model.reducer.scale = 1.0 if self.divide_by_all else self.comm.size / len(active)
        return active[0]

    def shadow(self) -> None:
        """This rank has no batch left: answer the others' collectives until they have none either."""
        model, last = self.model, self.comm.rank
        while True:
            active = self._agree(DONE)
            if not active:
                break
            last = active[0]
            if not self._syncing:
                continue
            if model.broadcast_buffers:
                broadcast_tensors(self.comm, list(model.module.buffers()), last)
            model.reducer.shadow()
        model.reducer.scale = 1.0
        votes = [np.empty(1, np.int64) for _ in range(self.comm.size)]
        self.comm.all_gather(votes, np.array([last], np.int64))
        # A rank that names itself computed one of the last batches.
        source = next(rank for rank, vote in enumerate(votes) if int(vote[0]) == rank)
        broadcast_tensors(self.comm, [*model.module.parameters(), *model.module.buffers()], source)

    def _agree(self, mine: int) -> list[int]:
        """Every rank's word; returns the ranks that are active. RuntimeError on all if one has left and that is not
        wanted.
        """
        words = [np.empty(1, np.uint8) for _ in range(self.comm.size)]
        self.comm.all_gather(words, np.array([mine], np.uint8))
        said = [int(w[0]) for w in words]
        active = [rank for rank, word in enumerate(said) if word != DONE]
        if self.throw and len(active) < len(said) and active:
            done = [rank for rank, word in enumerate(said) if word == DONE]
            raise RuntimeError(f"Detected at least one rank that exhausted inputs: {done}. Throwing across all ranks.")
        self._syncing = SYNCING in said
        return active
