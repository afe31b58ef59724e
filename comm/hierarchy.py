"""Collectives of several hosts with several ranks each: within each host in shared memory, across hosts by messages.

The first rank of a host is its leader. Sums and broadcasts pass between leaders only, so each array crosses the network
once per host instead of once per rank. The other collectives carry different data for every pair of ranks, and go by
messages between all ranks, after all have met as above, so that a mismatch is noticed wherever it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .call import Call
from .clock import Deadline
from .direct import DirectEngine
from .errors import CollectiveMismatch, last_words
from .exchange import MessageEngine
from .reduction import divide, is_half
from .solo import SoloEngine


def _naming_all(run: Callable[..., None]) -> Callable[..., None]:
    """Let an operation's mismatch, which one host or the leaders have noticed, name the calls of all ranks."""

    @functools.wraps(run)
    def named(self: HierarchicalEngine, call: Call, *arguments: Any) -> None:
        try:
            run(self, call, *arguments)
        except CollectiveMismatch as error:
            words = last_words(error)
            self.local.leave(words)  # who waits there for this rank shall tell its call now
            if self.leaders is not None:
                self.leaders.leave(words)
            raise self.everyone.collect(call, error.calls) from None

    return named


class HierarchicalEngine:
    """The same operations as the other engines.

    hosts: the ranks of each host; local: the engine of this host's ranks; leaders: that of the leaders (None on other
    ranks); everyone: that of all ranks.
    """

    def __init__(
        self,
        rank: int,
        hosts: list[list[int]],
        local: DirectEngine | SoloEngine,
        leaders: MessageEngine | None,
        everyone: MessageEngine,
    ):
        self.rank, self.hosts, self.local, self.leaders, self.everyone = rank, hosts, local, leaders, everyone
        self.size = sum(len(ranks) for ranks in hosts)
        self._host = next(index for index, ranks in enumerate(hosts) if rank in ranks)
        for name in ("all_gather", "gather", "scatter", "reduce_scatter", "all_to_all", "reduce"):
            setattr(self, name, self._after_meeting(getattr(everyone, name)))

    @property
    def moved(self) -> int:
        """Messages and parts of streams that have come."""
        return self.everyone.moved + (self.leaders.moved if self.leaders is not None else 0)

    @_naming_all
    def barrier(self, call: Call, deadline: Deadline, patient: bool) -> None:
        self.local.barrier(call, deadline, patient)
        if self.leaders is not None:
            self.leaders.barrier(call, deadline, patient)
        self.local.barrier(call, deadline, patient)

    @_naming_all
    def monitored_barrier(self, call: Call, deadline: Deadline, patient: bool) -> None:
        self.everyone.monitored_barrier(call, deadline, patient)

    @_naming_all
    def all_reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, op: str) -> None:
        """Sums of half types stay in float32 until the end; the order is by rank within a host, then by host."""
        total = array.astype(np.float32) if is_half(array.dtype) else array
        plain = "sum" if op == "avg" else op
        self.local.reduce(call, deadline, patient, total, 0, plain)
        if self.leaders is not None:
            self.leaders.all_reduce(call, deadline, patient, total, plain)
            if op == "avg":
                divide(total, self.size)
        self.local.broadcast(call, deadline, patient, total, 0)
        if total is not array:
            array[...] = total

    @_naming_all
    def broadcast(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, src: int) -> None:
        source = next(index for index, ranks in enumerate(self.hosts) if src in ranks)
        if self._host == source:
            self.local.broadcast(call, deadline, patient, array, self.hosts[source].index(src))
        else:
            self.local.barrier(call, deadline, patient)
        if self.leaders is not None:
            self.leaders.broadcast(call, deadline, patient, array, source)
        if self._host == source:
            self.local.barrier(call, deadline, patient)
        else:
            self.local.broadcast(call, deadline, patient, array, 0)

    def _after_meeting(self, run):
        def meet_and_run(call: Call, deadline: Deadline, patient: bool, *arguments) -> None:
            self.barrier(call, deadline, patient)
            run(call, deadline, patient, *arguments)

        return meet_and_run

    def last_operation(self, peer: int) -> str:
        """What `peer` is last known to have called; "" on another host, of whose sums leaders alone hear."""
        if peer in self.hosts[self._host]:
            return self.local.last_operation(self.hosts[self._host].index(peer))
        return ""

    def leave(self, words: str = "") -> None:
        """Tell the others that this rank will not take part again; `words` say why, if something failed."""
        self.local.leave(words)
        if self.leaders is not None:
            self.leaders.leave(words)
        self.everyone.leave(words)

    def close(self) -> None:
        """Close all three."""
        self.local.close()
        if self.leaders is not None:
            self.leaders.close()
        self.everyone.close()
