"""Around every test: a hard deadline, fresh seeds, and a check that nothing is left behind."""

import faulthandler
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from leaks import check_leaks

DEADLINE = 60.0  # seconds; a test says @pytest.mark.deadline(seconds) when it needs more
GRACE = 10.0  # seconds between the failure that a late test is given and the end of a process that ignores it

# What processes that tests start are to do upon these signals, which nohup and a script's `&` leave ignored.
USUAL = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGQUIT: signal.SIG_DFL,
}

real_stderr = sys.__stderr__


def pytest_configure(config: pytest.Config) -> None:
    global real_stderr
    real_stderr = os.fdopen(os.dup(2), "w")  # pytest captures fd 2 while a test runs; the last words go past it
    for number, usual in USUAL.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    real_stderr.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Set-up, test and tear-down together have one deadline."""
    marker = item.get_closest_marker("deadline")
    seconds = float(marker.args[0]) if marker else DEADLINE

    def expire(signum: int, frame: object) -> None:
        faulthandler.dump_traceback(file=2, all_threads=True)
        pytest.fail(f"deadline of {seconds:g} s passed; the stacks of all threads are in the captured stderr")

    before = signal.signal(signal.SIGALRM, expire)
    faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=real_stderr)
    signal.setitimer(signal.ITIMER_REAL, seconds, GRACE / 2)  # again and again, lest the tear-down hang as well
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    with check_leaks():
        yield


@pytest.fixture(autouse=True)
def seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    if "disttorch.random" in sys.modules:
        sys.modules["disttorch.random"].manual_seed(0)


@pytest.fixture
def simulated_devices() -> Iterator[Callable[[int | None], None]]:
    """`simulated_devices(4)`: four simulated CUDA devices until the end of the test."""
    from disttorch import cuda

    yield cuda.simulate
    cuda.simulate(None)
