"""The plan of gradient buckets: which parameters travel together, in which order. Pure: sizes in, indices out."""

from collections import Counter
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


def plan_buckets(
    items: Sequence[Item], caps: int | Sequence[int], first_bytes: int = FIRST_BUCKET_BYTES
) -> list[list[int]]:
    """Buckets of indices into `items`, in the order in which backward is expected to fill them.

    Parameters are taken in reverse, since gradients arrive so. A bucket is closed when it has reached its cap:
    `first_bytes` for the first one of a kind, then `caps`, or one of several caps after another; a larger parameter has
    a bucket to itself. Raises ValueError for a cap that is not positive.
    """
    return plan_in_order(items, range(len(items) - 1, -1, -1), caps, first_bytes)


def plan_in_order(
    items: Sequence[Item], order: Sequence[int], caps: int | Sequence[int], first_bytes: int = FIRST_BUCKET_BYTES
) -> list[list[int]]:
    """Buckets as `plan_buckets` makes them, but filled in `order`: every index once, as gradients really arrived."""
    limits = [min(first_bytes, caps), caps] if isinstance(caps, int) else list(caps)
    if not limits or min(limits) <= 0:
        raise ValueError(f"bucket sizes must be positive, got caps={caps}, first_bytes={first_bytes}")
    return [bucket for bucket, _ in fill_buckets(items, order, limits)]


def fill_buckets(items: Sequence[Item], order: Sequence[int], limits: Sequence[int]) -> list[tuple[list[int], int]]:
    """(bucket, its limit) in the order in which buckets are opened. Of `limits` the first is that of a kind's first
    bucket, and so on; the last is that of all others.
    """
    buckets: list[tuple[list[int], int]] = []
    opened: Counter[Hashable] = Counter()
    rooms: dict[Hashable, tuple[list[int], int]] = {}  # kind -> (the open bucket, bytes until it is closed)
    for index in order:
        nbytes, kind = items[index]
        if kind not in rooms:
            limit = limits[min(opened[kind], len(limits) - 1)]
            opened[kind] += 1
            rooms[kind] = [], limit
            buckets.append((rooms[kind][0], limit))
        bucket, room = rooms[kind]
        bucket.append(index)
        rooms[kind] = bucket, room - nbytes
        if room <= nbytes:
            del rooms[kind]
    return buckets


def offsets(sizes: Sequence[int], align: int) -> tuple[list[int], int]:
    """Where each of `sizes` elements begins in one buffer if all begin at multiples of `align`, and the buffer's
    length.
    """
    starts, at = [], 0
    for size in sizes:
        starts.append(at)
        at += -(-size // align) * align
    return starts, at
