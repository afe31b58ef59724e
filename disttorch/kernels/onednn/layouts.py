"""Shapes and strides as oneDNN wants them: in elements, without the arbitrary strides of axes of length 1."""

from functools import lru_cache
from math import prod

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.portable.precision import BFLOAT16, FLOAT


def are_floats(*arrays):
    """Whether all are float32; None stands for an array that is not given."""
    for a in arrays:  # noqa: SIM110 - a generator takes four times as long
        if a is not None and a.dtype is not FLOAT:
            return False
    return True


def kind_of(x):
    """The dnnl_data_type_t of a float32 or bfloat16 array."""
    return dnnl.BF16 if x.dtype is BFLOAT16 else dnnl.F32


def dense(x):
    """x itself if its strides can be described to oneDNN (none broadcast or negative), else a copy."""
    return x if x.flags.c_contiguous or (x.flags.aligned and min(x.strides) > 0) else np.ascontiguousarray(x)


def channels_last(shape):
    """Strides of (N, C, *S) stored as (N, *S, C)."""
    _, c, *spatial = shape
    strides, step = [], c
    for size in reversed(spatial):
        strides.append(step)
        step *= size
    return (step, 1, *reversed(strides))


def contiguous(shape):
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def strides_of(x_shape, x_strides, preferred, itemsize=4):
    """x's strides in elements; exactly `preferred` where they differ only in axes of length 1."""
    own = tuple(s // itemsize for s in x_strides)
    if all(n == 1 or s == p for n, s, p in zip(x_shape, own, preferred, strict=True)):
        return preferred
    return tuple(s if n > 1 else max(own) for n, s in zip(x_shape, own, strict=True))


# Axes for `transpose`, by the number of dimensions.
TO_CHANNELS_FIRST = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
TO_CHANNELS_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}


def is_packed(x):
    """Whether x is contiguous, or channels last, without gaps in memory."""
    return x.flags.c_contiguous or (
        x.ndim in TO_CHANNELS_LAST and x.transpose(TO_CHANNELS_LAST[x.ndim]).flags.c_contiguous
    )


def empty_channels_last(shape, dtype=FLOAT):
    """An empty array (N, C, *S), channels last in memory."""
    return np.ndarray(shape, dtype, strides=_bytes_channels_last(shape, dtype.itemsize))


@lru_cache(1024)
def _bytes_channels_last(shape, itemsize):
    return tuple([itemsize * step for step in channels_last(shape)])
