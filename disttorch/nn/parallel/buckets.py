"""The plan of gradient buckets: which parameters travel together, in which order. Pure: sizes in, indices out."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

FIRST_BUCKET_BYTES = 1 << 20  # small, so that the first all-reduce starts early in backward
DEFAULT_BUCKET_MB = 25  # PyTorch's default


class Item(NamedTuple):
    """A parameter as the plan sees it: its size in bytes, and what may not be mixed in one bucket (dtype and
    device).
    """

    nbytes: int
    kind: Hashable


def plan_buckets(items: Sequence[Item], cap_bytes: int, first_bytes: int = FIRST_BUCKET_BYTES) -> list[list[int]]:
    """Buckets of indices into `items`, in the order in which backward is expected to fill them.

    Parameters are taken in reverse, since gradients arrive so. A bucket is closed when it has reached its cap:
    `first_bytes` for the first one of a kind, then `cap_bytes`; a larger parameter has a bucket to itself. Raises
    ValueError for a cap that is not positive.
    """
    if cap_bytes <= 0 or first_bytes <= 0:
        raise ValueError(f"bucket sizes must be positive, got cap_bytes={cap_bytes}, first_bytes={first_bytes}")
    buckets: list[list[int]] = []
    open_ones: dict[Hashable, tuple[list[int], int]] = {}  # kind -> (bucket, bytes in it)
    limits: dict[Hashable, int] = {}
    for index in range(len(items) - 1, -1, -1):
        nbytes, kind = items[index]
        limit = limits.setdefault(kind, min(first_bytes, cap_bytes))
        if kind not in open_ones:
            open_ones[kind] = ([], 0)
            buckets.append(open_ones[kind][0])
        bucket, size = open_ones[kind]
        bucket.append(index)
        open_ones[kind] = (bucket, size + nbytes)
        if size + nbytes >= limit:
            del open_ones[kind]
            limits[kind] = cap_bytes
    return buckets


def plan_in_order(items: Sequence[Item], order: Sequence[int], cap_bytes: int) -> list[list[int]]:
    """Buckets as `plan_buckets` makes them, but filled in `order`: every index once, as gradients really arrived."""
    last_first = list(reversed(order))
    return [[last_first[j] for j in bucket] for bucket in plan_buckets([items[i] for i in last_first], cap_bytes)]


def offsets(sizes: Sequence[int], align: int) -> tuple[list[int], int]:
    """Where each of `sizes` elements begins in one buffer if all begin at multiples of `align`, and the buffer's
    length.
    """
    starts, at = [], 0
    for size in sizes:
        starts.append(at)
        at += -(-size // align) * align
    return starts, at
