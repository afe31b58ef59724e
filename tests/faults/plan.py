"""Random faults, the same for the same seed: which rank of which job dies, stops or is cut off, and when."""

import json
import random
from dataclasses import asdict, dataclass

HEARTBEAT = 5.0  # seconds: the default limit of silence
SOON = 1.0  # seconds in which a death is reported that the launcher, or the ranks of the same host, can see
MEETING = 8.0  # seconds that a job without a launcher waits for a rank that died before it was met

LAYOUTS = ("shared memory", "tcp", "hierarchical", "network")  # network: hosts are namespaces with a cable between
KINDS = ("kill", "stop", "cut")
MOMENTS = ("start-up", "forward", "backward", "checkpoint", "shutdown")
STEPS = 30


@dataclass(frozen=True)
class Fault:
    """One job and what happens to it. `victim` does it to itself, `delay` seconds after `moment` of `step`."""

    number: int
    kind: str
    layout: str
    ranks: int
    launcher: bool
    victim: int
    moment: str
    step: int
    delay: float
    loader: str  # how its data-loading worker starts; "": it has none
    heartbeat: float = HEARTBEAT

    def host(self, rank: int) -> int:
        """The host of a rank, as the job sees it."""
        if self.layout == "shared memory":
            return 0
        return rank if self.layout == "tcp" else rank // (self.ranks // 2)

    def lost_to(self, rank: int) -> set[int]:
        """The ranks that `rank` may name as lost."""
        if self.kind == "cut":
            return {other for other in range(self.ranks) if self.host(other) != self.host(rank)}
        return {self.victim}

    @property
    def survivors(self) -> list[int]:
        return [rank for rank in range(self.ranks) if rank != self.victim or self.kind == "cut"]

    def limit(self, rank: int) -> float:
        """Seconds in which `rank` must have reported it."""
        if self.kind == "kill" and (self.launcher or self.host(rank) == self.host(self.victim)):
            return SOON
        return self.heartbeat

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def draw(seed: int, count: int) -> list[Fault]:
    """`count` faults: every kind and layout in turn, all else by chance."""
    cases = [(kind, layout) for layout in LAYOUTS for kind in KINDS if kind != "cut" or layout == "network"]
    cases += [("cut", "network")] * 3  # so that links are cut about as often as ranks stop
    return [_one(random.Random(f"{seed}/{number}"), number, *cases[number % len(cases)]) for number in range(count)]


def _one(chance: random.Random, number: int, kind: str, layout: str) -> Fault:
    ranks = 4 if layout == "hierarchical" else chance.choice((2, 4) if layout == "network" else (2, 3, 4))
    moment = chance.choice(MOMENTS)
    return Fault(
        number=number,
        kind=kind,
        layout=layout,
        ranks=ranks,
        launcher=chance.random() < 0.5,
        victim=chance.randrange(ranks),
        moment=moment,
        step=chance.randrange(2, STEPS // 3) * 3 - 1,  # a step with a checkpoint
        delay=round(chance.choice((0.0, chance.uniform(0, 0.2 if moment == "start-up" else 0.01))), 4),
        loader=chance.choice(("", "", "fork", "spawn")),
    )
