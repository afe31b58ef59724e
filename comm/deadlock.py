"""Deadlocks: every rank waits for others that wait as well, and nothing is on its way to any of them.

A rank tells what it waits for (`attendance`), and whoever sees that of all looks here. All ranks are numbered as in
the first group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import clock

COLLECTIVE, RECEIVE, SEND, JOIN = "collective", "receive", "send", "join"


class Wait(NamedTuple):
    """Something that a rank waits for in a group, which `text` tells people."""

    kind: str
    group: str  # its name; of JOIN, that of the group that is being made
    ranks: list[int]  # the other members; of RECEIVE, who may send; of SEND, who receives
    text: str
    number: int = 0  # of COLLECTIVE: which one of its group
    heard: tuple[int, ...] = ()  # of RECEIVE: the number of the last message that has come from each of `ranks`


class State(NamedTuple):
    """What a rank whose threads all wait tells of itself."""

    waits: list[Wait]
    began: dict[str, int]  # collectives so far, by group
    sent: dict[str, dict[int, int]]  # number of the last message to each rank, by group
    takes: list[str]  # groups whose messages it takes in meanwhile
    moved: int  # how much has come in collectives that are messages

    @property
    def texts(self) -> str:
        """What people are told of all that it waits for."""
        return "; ".join(wait.text for wait in self.waits)

    @classmethod
    def unpacked(cls, fields: Any) -> State:
        """From what msgpack makes of a state."""
        waits, *others = fields
        return cls([Wait(*wait)._replace(heard=tuple(wait[-1])) for wait in waits], *others)


def deadlocked(states: Mapping[int, State]) -> bool:
    """Whether ranks in these states, all that there are, will wait forever."""
    return all(state.waits for state in states.values()) and all(
        _blocked(rank, wait, states) for rank, state in states.items() for wait in state.waits
    )


def _blocked(rank: int, wait: Wait, states: Mapping[int, State]) -> bool:
    """Whether nothing that has been done can end this wait of `rank`."""
    others = {peer: states[peer] for peer in wait.ranks if peer in states}
    if wait.kind == COLLECTIVE:
        return any(state.began.get(wait.group, 0) < wait.number for state in others.values())
    if wait.kind == RECEIVE:
        heard = dict(zip(wait.ranks, wait.heard, strict=True))
        return bool(others) and all(
            state.sent.get(wait.group, {}).get(rank, 0) <= heard[peer] for peer, state in others.items()
        )
    if wait.kind == SEND:
        return any(wait.group not in state.takes for state in others.values())
    return any(
        wait.group not in state.began and all((JOIN, wait.group) != one[:2] for one in state.waits)
        for state in others.values()
    )


class Detector:
    """Looks at all ranks from time to time: what two looks find alike was so at one moment between them."""

    def __init__(self, pause: float = 0.0):
        """pause: seconds at least between two looks that count."""
        self._pause = pause
        self._when, self._before = 0.0, dict[int, tuple[int, State]]()

    def look(self, ranks: Mapping[int, tuple[int, State | str]]) -> dict[int, str] | None:
        """What each rank waits for, once they are known to wait forever.

        ranks: all that have not left: a number, larger whenever the rank tells of itself anew, and its state, or where
        it is if not all of its threads wait.
        """
        now = clock.now()
        states = {rank: state for rank, (_, state) in ranks.items() if isinstance(state, State)}
        if len(states) < len(ranks) or not deadlocked(states):
            self._before = {}
            return None
        if {rank: state for rank, (_, state) in self._before.items()} != states:
            self._when = now
            self._before = {rank: (ranks[rank][0], state) for rank, state in states.items()}
            return None
        if now - self._when < self._pause or any(ranks[rank][0] <= self._before[rank][0] for rank in states):
            return None
        return {rank: state.texts for rank, state in states.items()}
