"""Time: the one file of the package that reads the machine's clock (`comm` and `launcher` have their own)."""

import time

now = time.monotonic  # seconds
nanoseconds = time.perf_counter_ns
wall = time.time  # seconds since 1970
