"""PyTorch's own sample inputs, replayed: the operations listed in wholly_equal.txt agree with PyTorch in everything.

The list is written by `scripts/oracle_report.py --update`; `scripts/oracle_report.py` shows the whole table.
"""

from pathlib import Path

import pytest

pytest.importorskip("torch")

SAMPLES = 6  # of each operation and dtype; the report replays all
FEW = {"grid_sampler_3d": 2}  # samples of millions of elements
EQUAL = Path(__file__).with_name("wholly_equal.txt").read_text().split()

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="session")
def ops() -> dict:
    from oracle.replay import all_ops

    return all_ops()


@pytest.mark.parametrize("name", EQUAL)
def test_operation_equals_pytorchs(name: str, ops: dict) -> None:
    from oracle.replay import replay

    result = replay(ops[name], limit=FEW.get(name, SAMPLES))
    assert result.samples
    assert result.failures == []


def test_the_list_is_long() -> None:
    assert len(EQUAL) == len(set(EQUAL)) >= 350
