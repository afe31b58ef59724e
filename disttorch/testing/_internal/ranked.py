"""What test cases on several ranks share: methods that wait where the test runner calls them, why a rank may skip, and
for how long it may run.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .common_utils import TestCase

DEFAULT_WORLD_SIZE = 4
TIMEOUT_DEFAULT = int(os.environ.get("DISTRIBUTED_TESTS_DEFAULT_TIMEOUT", "300"))
TIMEOUT_OVERRIDE: dict[str, int] = {}  # name of a test -> seconds


class TestSkip(NamedTuple):
    exit_code: int
    message: str


TEST_SKIPS = {
    "backend_unavailable": TestSkip(72, "Skipped because distributed backend is not available."),
    "small_worldsize": TestSkip(73, "Skipped due to small world size."),
    "no_cuda": TestSkip(74, "CUDA is not available."),
    "nccl": TestSkip(76, "c10d not compiled with NCCL support"),
    "odd_worldsize": TestSkip(87, "Skipped due to odd world size."),
    "skipIfRocm": TestSkip(78, "Test skipped for ROCm"),
    "no_peer_access": TestSkip(79, "Test skipped because no GPU peer access"),
    "generic": TestSkip(86, "Test skipped at subprocess level, look at subprocess log for skip reason"),
    **{f"multi-gpu-{n}": TestSkip(100 + n, f"Need at least {n} CUDA device{'s' * (n > 1)}") for n in range(1, 17)},
}
SKIPPED = {skip.exit_code: skip.message for skip in TEST_SKIPS.values()}


def get_timeout(test_id: str) -> int:
    """The seconds that a test may take, by its name."""
    return TIMEOUT_OVERRIDE.get(test_id.rpartition(".")[2], TIMEOUT_DEFAULT)


class RankedTestCase(TestCase):
    """A test case whose methods run on ranks; `rank` is MAIN_PROCESS_RANK where the test runner calls them."""

    MAIN_PROCESS_RANK = -1

    def __init__(self, method_name: str = "runTest", methodName: str | None = None):
        method_name = methodName or method_name
        super().__init__(method_name)
        self.rank = self.MAIN_PROCESS_RANK
        if hasattr(self, method_name):
            setattr(self, method_name, self.join_or_run(getattr(self, method_name)))

    @property
    def world_size(self) -> int:
        return DEFAULT_WORLD_SIZE

    def join_or_run(self, fn: Callable) -> Callable:
        """`fn` on a rank; for the test runner, the wait for the ranks."""

        @functools.wraps(fn)
        def wrapper(*_: Any) -> None:
            if self.rank == self.MAIN_PROCESS_RANK:
                self._join(fn)
            else:
                fn()

        return wrapper

    def _join(self, fn: Callable) -> None:
        raise NotImplementedError

    def _current_test_name(self) -> str:
        return self._testMethodName
