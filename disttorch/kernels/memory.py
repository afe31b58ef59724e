"""Large blocks of memory are kept for reuse instead of going back to the system.

A training step frees and asks for the same large arrays again and again. glibc hands blocks above a threshold back to
the system, and every page of a fresh one costs a fault when it is first written: up to half the time of a simple
operation on an array of 64 MB.
"""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # <malloc.h>
GROWTH = 64 << 20  # bytes by which the heap grows at a time; untouched pages take no memory


def keep_freed_blocks():
    """Tell glibc's allocator to serve every size from the heap and not to shrink it; elsewhere do nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, GROWTH)
