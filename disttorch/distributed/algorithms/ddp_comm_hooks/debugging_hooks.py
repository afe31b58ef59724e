"""A hook that shows what communication costs."""

from typing import Any

from ....futures import Future


def noop_hook(_: Any, bucket: Any) -> Future:
    """The bucket as it is on each rank: no communication. The ranks drift apart."""
    unchanged: Future = Future()
    unchanged.set_result(bucket.buffer())
    return unchanged
