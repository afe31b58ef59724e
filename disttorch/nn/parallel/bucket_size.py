"""The size of gradient buckets, from a short measurement of the group that averages them."""

import math
from typing import Any

import numpy as np

from ... import clock, cores
from ...comm.exchange import FEW
from ...kernels.threads import get_num_threads
from .buckets import DEFAULT_BUCKET_MB, FIRST_BUCKET_BYTES

LARGE = 1 << 20  # bytes of the all-reduce that bandwidth is measured with: some 10 ms on a link of 1 Gbit/s
REPEATS = 3  # of which the fastest counts, after one that maps memory and opens connections


def measured_cap(comm: Any, memory: np.ndarray, total: int, crowded: bool) -> int:
    """Bytes of a bucket, for gradients of `total` bytes; the same on all ranks, which call it alike.

    memory: from `comm.allocate`, all zeros, which it stays; crowded: see `is_crowded`. Nothing is measured, and the
    default size returned, where it would change nothing (one rank, or one bucket anyway), or let the gradients' bits
    depend on the measurement; nor where ranks are crowded: an all-reduce then takes as much from backward as it would
    take after it, and the fewer interruptions the better.
    """
    if comm.size == 1 or total <= FIRST_BUCKET_BYTES or not _in_rank_order(comm) or crowded:
        return DEFAULT_BUCKET_MB << 20
    short, long = memory[:1], memory[: LARGE // memory.itemsize]
    seconds = np.array([_seconds(comm, short), _seconds(comm, long)])
    comm.all_reduce(seconds, "max")  # all ranks choose by the same figures
    return best_cap(total, float(seconds[0]), long.nbytes / float(seconds[1]))


def best_cap(total: int, latency: float, bandwidth: float) -> int:
    """Bytes of a bucket with which averaging `total` bytes delays a step least.

    latency: seconds that each all-reduce takes however short it is; bandwidth: bytes per second. With buckets of c
    bytes the step waits for c / bandwidth after backward, where nothing is left to hide the last bucket behind, and
    pays latency * total / c for their number: the sum is least for c = sqrt(total * latency * bandwidth). Between the
    sizes of the first bucket and of the default ones.
    """
    best = math.sqrt(total * latency * bandwidth)
    return int(min(max(best, FIRST_BUCKET_BYTES), DEFAULT_BUCKET_MB << 20))


def _in_rank_order(comm: Any) -> bool:
    """Whether sums over the ranks have the same bits however arrays are cut. A ring's begins elsewhere in each part."""
    return on_one_host(comm) or (comm.kind == "tcp" and comm.size <= FEW)


def on_one_host(comm: Any) -> bool:
    """Whether the ranks see one another's memory."""
    return comm.kind in ("inproc", "ipc")


def is_crowded(comm: Any) -> bool:
    """Whether the ranks of some host leave no core to communication: a collective, where it matters."""
    if comm.size == 1 or not _in_rank_order(comm):
        return False
    crowded = np.array([_crowded(comm)])
    comm.all_reduce(crowded, "max")
    return bool(crowded.any())


def _crowded(comm: Any) -> bool:
    """Whether the ranks of this host leave no core to communication."""
    ranks = comm.hosts.count(comm.hosts[comm.rank])
    return ranks * get_num_threads() >= min(cores.on_machine(), ranks * cores.bound())


def _seconds(comm: Any, array: np.ndarray) -> float:
    """What an all-reduce of `array` takes, carried out as a bucket's is."""
    times = []
    for _ in range(1 + REPEATS):
        start = clock.now()
        comm.all_reduce(array, "avg", async_op=True).wait()
        times.append(clock.now() - start)
    return min(times[1:])
