"""Plans of collectives over messages: who sends which part to whom, in rounds. Pure, so that tests read them as tables.

An array of a plan is cut into n parts (or is one part). In a round a rank first sends parts, then receives; received
parts are copied over its own, or combined with it where `combine` is set. n is the number of ranks.
"""

from __future__ import annotations

from typing import NamedTuple


class Round(NamedTuple):
    """One round of one rank: (peer, part) pairs."""

    sends: tuple[tuple[int, int], ...] = ()
    receives: tuple[tuple[int, int], ...] = ()
    combine: bool = False


Plan = list[Round]


def ring_reduce_scatter(rank: int, n: int) -> Plan:
    """n - 1 rounds; afterwards part `rank` holds the reduction (Patarasuk & Yuan 2009)."""
    after, before = (rank + 1) % n, (rank - 1) % n
    return [
        Round(((after, (rank - step - 1) % n),), ((before, (rank - step - 2) % n),), combine=True)
        for step in range(n - 1)
    ]


def ring_all_gather(rank: int, n: int) -> Plan:
    """n - 1 rounds; spreads part `rank` of every rank to all."""
    after, before = (rank + 1) % n, (rank - 1) % n
    return [Round(((after, (rank - step) % n),), ((before, (rank - step - 1) % n),)) for step in range(n - 1)]


def direct_reduce_scatter(rank: int, n: int) -> Plan:
    """One round; every rank sends each other rank its part, and combines its own in rank order."""
    others = [peer for peer in range(n) if peer != rank]
    return [Round(tuple((p, p) for p in _from(rank, others)), tuple((p, rank) for p in others), combine=True)]


def direct_all_gather(rank: int, n: int) -> Plan:
    """One round; every rank sends its part to each other rank."""
    others = [peer for peer in range(n) if peer != rank]
    return [Round(tuple((p, rank) for p in _from(rank, others)), tuple((p, p) for p in others))]


def direct_exchange(rank: int, n: int) -> Plan:
    """One round, for short arrays of one part: everybody sends everything to everybody and combines in rank order."""
    others = [peer for peer in range(n) if peer != rank]
    return [Round(tuple((p, 0) for p in _from(rank, others)), tuple((p, 0) for p in others), combine=True)]


def _from(rank: int, others: list[int]) -> list[int]:
    """The others, starting behind `rank`, so that not everyone writes to rank 0 first."""
    return sorted(others, key=lambda peer: (peer < rank, peer))


def tree_broadcast(rank: int, n: int, root: int) -> Plan:
    """A binomial tree; about log2(n) rounds, n - 1 messages in all."""
    place = (rank - root) % n
    plan = [Round(receives=((((place & (place - 1)) + root) % n, 0),))] if place else []
    span = 1
    while span < n and not place & span:
        span <<= 1
    sends = []
    while span > 1:
        span >>= 1
        if place + span < n:
            sends.append(((place + span + root) % n, 0))
    return [*plan, Round(tuple(sends))] if sends else plan


def tree_reduce(rank: int, n: int, root: int) -> Plan:
    """The tree of `tree_broadcast` upwards: children are combined, then the sum goes to the parent."""
    rounds: Plan = []
    for sends, receives, _ in reversed(tree_broadcast(rank, n, root)):
        if sends:
            rounds.extend(Round(receives=(child,), combine=True) for child in reversed(sends))
        else:
            rounds.append(Round(sends=receives))
    return rounds


def dissemination(rank: int, n: int) -> Plan:
    """ceil(log2 n) rounds of empty messages, after which everyone has heard from everyone, if indirectly
    (Hensgen, Finkel & Manber 1988)."""
    plan, span = [], 1
    while span < n:
        plan.append(Round((((rank + span) % n, 0),), (((rank - span) % n, 0),)))
        span *= 2
    return plan
