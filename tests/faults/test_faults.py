"""A handful of faults of each kind; scripts/faults draws any number."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness's files are scripts, started by their paths
from plan import STEPS, Fault, draw
from strike import strike

SHORT = {"heartbeat": 2.0, "loader": "", "delay": 0.0}
FAULTS = [
    Fault(0, "kill", "shared memory", 3, True, 1, "backward", 5, **SHORT),
    Fault(1, "kill", "tcp", 3, True, 0, "forward", 5, **SHORT),
    Fault(2, "kill", "hierarchical", 4, False, 3, "checkpoint", 5, **SHORT),
    Fault(3, "stop", "shared memory", 2, False, 0, "backward", 5, **SHORT),
    Fault(4, "stop", "tcp", 3, True, 2, "start-up", 5, **SHORT),
    Fault(5, "cut", "network", 2, False, 1, "backward", 5, **SHORT),
    Fault(6, "kill", "shared memory", 2, False, 1, "checkpoint", STEPS - 1, **SHORT | {"delay": 0.5}),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.layout}".replace(" ", "-"))
def test_a_fault_is_reported_and_leaves_nothing(fault):
    if fault.layout == "network" and os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    outcome = strike(fault)
    assert outcome.struck, outcome
    late = [what for what in outcome.wrong if " needed " not in what]  # how soon is for scripts/faults to measure
    assert not late, f"{late}\n{outcome.output}"
    assert not outcome.leftovers, outcome.leftovers


def test_the_same_seed_draws_the_same_faults():
    assert draw(3, 20) == draw(3, 20)
    assert draw(3, 20) == draw(3, 40)[:20]
    assert draw(3, 20) != draw(4, 20)
    assert {(fault.kind, fault.layout) for fault in draw(0, 12)} >= {("cut", "network"), ("stop", "hierarchical")}
