"""Waits that take long: who is waited for, and where in its program that rank is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import clock
from .deadlock import State

FIRST = 60.0  # seconds until people are told; then after twice as long, and so on
NAMED = 8  # ranks that are named at most


class Patience:
    """That of one rank of those on `hosts`."""

    def __init__(self, rank: int, hosts: Sequence[str]):
        self.rank, self.hosts = rank, hosts
        self._state: State | None = None
        self._since, self._next = 0.0, FIRST

    def word(self, ranks: Mapping[int, tuple[str, State | str]]) -> str | None:
        """What people should be told now, if this rank is the first of those that wait.

        ranks: of all that have not left, their last operation, and what they wait for or where they are instead.
        """
        _, mine = ranks[self.rank]
        assert isinstance(mine, State)
        now = clock.now()
        if mine != self._state:
            self._state, self._since, self._next = mine, now, FIRST
        waited = now - self._since
        if waited < self._next:
            return None
        self._next *= 2
        waiting = [rank for rank, (_, said) in ranks.items() if isinstance(said, State)]
        busy = [(rank, last, said) for rank, (last, said) in sorted(ranks.items()) if isinstance(said, str)]
        if self.rank != min(waiting) or not busy:
            return None
        others = f" (like {len(waiting) - 1} others)" if len(waiting) > 1 else ""
        lines = [f"rank {self.rank} has waited for {waited:.0f} s{others}: {mine.texts}"]
        for rank, last, place in busy[:NAMED]:
            lines.append(f"  rank {rank} on host {self.hosts[rank]} is at {place or '?'}; its last operation: {last}")
        if len(busy) > NAMED:
            lines.append(f"  and {len(busy) - NAMED} more do not wait")
        return "\n".join(lines)
