"""How many threads the CPU kernels use."""

import os


def get_num_threads():
    return _count


def set_num_threads(count):
    global _count
    if not isinstance(count, int) or count < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, got {count!r}")
    _count = count


_count = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
