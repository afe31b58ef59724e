"""Averaging a bucket, as it is or in 16 bits. `state` is a process group (None: the default one)."""

from collections.abc import Callable
from typing import Any

from .... import dtypes
from ....futures import Future
from ...collectives import ReduceOp, all_reduce


def allreduce_hook(process_group: Any, bucket: Any) -> Future:
    """The bucket averaged over the ranks."""
    buffer = bucket.buffer()
    work = all_reduce(buffer, ReduceOp.AVG, process_group, async_op=True)
    return work.get_future().then(lambda _: buffer)


def averaged_in(dtype: dtypes.dtype, process_group: Any, bucket: Any) -> Future:
    """The bucket averaged in another dtype."""
    buffer = bucket.buffer()
    small = buffer.to(dtype)
    work = all_reduce(small, ReduceOp.AVG, process_group, async_op=True)
    return work.get_future().then(lambda _: buffer.copy_(small))


def fp16_compress_hook(process_group: Any, bucket: Any) -> Future:
    """The bucket averaged in float16 (summed in float32): half the bytes travel."""
    return averaged_in(dtypes.float16, process_group, bucket)


def bf16_compress_hook(process_group: Any, bucket: Any) -> Future:
    """The bucket averaged in bfloat16 (summed in float32): half the bytes travel."""
    return averaged_in(dtypes.bfloat16, process_group, bucket)


def _wrapper(hook: Callable, dtype: dtypes.dtype) -> Callable:
    def wrapped(state: Any, bucket: Any) -> Future:
        bucket.set_buffer(bucket.buffer().to(dtype))
        return hook(state, bucket).then(lambda done: bucket.buffer().copy_(done.value()))

    return wrapped


def fp16_compress_wrapper(hook: Callable) -> Callable:
    """`hook` given the bucket, and the gradients in it, in float16; its result is cast back by who asked for it."""
    return _wrapper(hook, dtypes.float16)


def bf16_compress_wrapper(hook: Callable) -> Callable:
    """`hook` given the bucket, and the gradients in it, in bfloat16; its result is cast back by who asked for it."""
    return _wrapper(hook, dtypes.bfloat16)
