"""The launcher's only clocks, in one place so that a simulation can replace them."""

from time import monotonic, sleep  # seconds that only grow, for deadlines
from time import time as now  # seconds since the epoch, for reports

__all__ = ["monotonic", "now", "sleep"]
