"""The launcher's only clocks, in one place so that a simulation can replace them."""

from time import monotonic, sleep  # seconds that only grow, for deadlines
from time import perf_counter_ns as nanoseconds  # the same clock as `monotonic`, and the workers', for traces
from time import time as now  # seconds since the epoch, for reports

__all__ = ["monotonic", "nanoseconds", "now", "sleep"]
