"""What one rank knows of another, all hear: also those that cannot see it themselves."""

import subprocess
import sys
import time

import pytest
from disttorch.comm.liveness import ANSWER, HEARD, HEARTBEAT_LIMIT, Monitor, quick_store

from disttorch import comm

LIMIT = 10.0  # seconds


def until(ready):
    end = time.monotonic() + LIMIT
    while not ready() and time.monotonic() < end:
        time.sleep(0.01)
    return ready()


@pytest.fixture
def watch():
    """Makes the monitors of one world: rank 0 knows the processes of `pids`, the others none."""
    store, monitors = comm.HashStore(), []

    def start(pids):
        hosts = [f"host{rank}" for rank in range(len(pids))]
        for rank in range(len(pids)):
            known = [0] * len(pids) if rank else pids
            monitors.append(Monitor(store, store, rank, hosts, known, limit=60.0))
        return monitors

    yield start
    for monitor in monitors:
        monitor.close()


def test_a_process_that_ends_is_known_on_other_hosts(watch):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        monitors = watch([0, child.pid, 0])
    finally:
        child.kill()
        child.communicate()
    for monitor in (monitors[0], monitors[2]):
        assert until(lambda monitor=monitor: monitor.lost is not None)
        assert (monitor.lost.rank, monitor.lost.host, monitor.lost.reason) == (1, "host1", "its process ended")


def test_a_cut_connection_is_known_at_both_ends_and_elsewhere(watch):
    monitors = watch([0, 0, 0])
    monitors[1].lose(2, "for arrays ended")
    assert until(lambda: all(monitor.lost for monitor in monitors))
    assert [monitor.lost.rank for monitor in monitors] == [2, 2, 1]
    between = "the connection between rank 1 on host host1 and rank 2 on host host2 "
    assert {monitor.lost.reason for monitor in monitors} == {between + "for arrays ended"}


def test_who_serves_the_store_stays_until_the_others_have_heard(watch):
    """Of a rank that is lost, which will not leave."""
    monitors = watch([0, 0, 0])
    monitors[0].lose(2, "ended")
    assert until(lambda: monitors[0].lost is not None)
    began = time.monotonic()
    monitors[0].close(patience=60.0)
    assert HEARD / 2 < time.monotonic() - began < 10
    assert monitors[1].lost.rank == 2


def test_connections_are_looked_at_until_they_are_closed(watch):
    (monitor, _), closing, open_still = watch([0, 0]), [], []
    monitor.inspect(lambda: closing.append(1) or len(closing) < 2)
    monitor.inspect(lambda: open_still.append(1) or True)
    assert until(lambda: len(open_still) > 4)
    assert len(closing) == 2


class SlowStore(comm.HashStore):
    """One to which a new connection takes as long as it is given."""

    def fresh(self, timeout):
        other = comm.HashStore(timeout)
        other.given = timeout
        return other


def test_a_connection_to_the_store_may_take_a_second_try():
    """One whose first packet is lost takes more than a second, on a busy machine too; a beat must not."""
    quick = quick_store(comm.PrefixStore("world", SlowStore()))
    assert quick.given == HEARTBEAT_LIMIT > 2 * ANSWER
    assert quick.patience == ANSWER
