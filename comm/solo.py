"""A world of one: every collective at no cost, without threads, memory or sockets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .reduction import reduce_into


class SoloEngine:
    """The same operations as the other engines, for one rank."""

    moved = 0

    def barrier(self, call, deadline, patient) -> None:
        pass

    monitored_barrier = barrier

    def all_reduce(self, call, deadline, patient, array: np.ndarray, op: str) -> None:
        pass  # every reduction of one operand is that operand

    def broadcast(self, call, deadline, patient, array: np.ndarray, src: int) -> None:
        pass

    def reduce(self, call, deadline, patient, array: np.ndarray, dst: int, op: str) -> None:
        pass

    def all_gather(self, call, deadline, patient, outputs: Sequence[np.ndarray], array: np.ndarray) -> None:
        outputs[0][...] = array

    def gather(self, call, deadline, patient, array: np.ndarray, outputs: Sequence[np.ndarray], dst: int) -> None:
        outputs[0][...] = array

    def scatter(self, call, deadline, patient, output: np.ndarray, inputs: Sequence[np.ndarray], src: int) -> None:
        output[...] = inputs[0]

    def reduce_scatter(
        self, call, deadline, patient, output: np.ndarray, inputs: Sequence[np.ndarray], op: str
    ) -> None:
        reduce_into([output], inputs, op)

    def all_to_all(self, call, deadline, patient, outputs: Sequence, inputs: Sequence) -> None:
        outputs[0][...] = inputs[0]

    def last_operation(self, peer: int) -> str:
        return ""

    def leave(self, words: str = "") -> None:
        pass

    def close(self) -> None:
        pass
