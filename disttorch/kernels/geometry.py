"""Sizes of windows sliding over an axis: pure integer arithmetic shared by every backend."""

from functools import lru_cache
from itertools import product
from math import isqrt


def conv_out_size(size, kernel, stride, padding, dilation):
    """Output length of a convolution along one axis (PyTorch's formula for `Conv1d`)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def pool_out_size(size, kernel, stride, padding, dilation, ceil_mode):
    """Output length of a pooling along one axis; in `ceil_mode` the last window starts inside input or left padding."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    out = -(-span // stride) + 1
    if (out - 1) * stride >= size + padding:
        out -= 1
    return out


@lru_cache(1024)
def pool_out_shape(spatial, kernel, stride, padding, dilation, ceil_mode):
    return tuple(
        pool_out_size(*axis, ceil_mode) for axis in zip(spatial, kernel, stride, padding, dilation, strict=True)
    )


def adaptive_windows(size, out):
    """(start, end) of each of the `out` windows of an adaptive pooling over an axis of length `size`."""
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


@lru_cache(1024)
def window_slices(kernel, stride, dilation, out):
    """For each kernel offset, in row-major order, the slices of the padded input's spatial axes that it meets.

    All arguments are tuples.
    """
    axes = [
        [slice(i * d, i * d + (o - 1) * t + 1, t) for i in range(k)]
        for k, t, d, o in zip(kernel, stride, dilation, out, strict=True)
    ]
    return tuple(product(*axes))


@lru_cache(1024)
def divisor_near(count, wanted):
    """The divisor of `count` whose ratio to `wanted` is nearest to 1."""
    smaller = [k for k in range(1, isqrt(count) + 1) if count % k == 0]
    return min((*smaller, *(count // k for k in smaller)), key=lambda k: max(k / wanted, wanted / k))
