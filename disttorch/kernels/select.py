"""Which backend serves which kind of device: chosen on first use, once per process."""

import functools
import os
import platform
import sys
import warnings

import numpy as np

from disttorch.kernels.memory import keep_freed_blocks
from disttorch.kernels.portable import Portable


@functools.cache
def for_device(kind):
    """The kernels for a kind of device, "cpu" or "cuda".

    On the CPU oneDNN where it can be loaded, else portable with one warning. `DISTTORCH_KERNELS=portable` in the
    environment asks for portable.
    """
    if kind == "cpu":
        return _cpu()
    if kind == "cuda":
        import cupy

        return Portable(cupy)
    raise ValueError(f"kind must be 'cpu' or 'cuda', got {kind!r}")


def _cpu():
    keep_freed_blocks()
    choice = os.environ.get("DISTTORCH_KERNELS", "onednn")
    if choice not in ("onednn", "portable"):
        raise ValueError(f"DISTTORCH_KERNELS must be 'onednn' or 'portable', got {choice!r}")
    if choice == "onednn":
        from disttorch.kernels.onednn import load

        kernels = load()
        if kernels is not None:
            return kernels
        warnings.warn(_advice(), RuntimeWarning, stacklevel=4)
    return Portable(np)


def _advice():
    start = (
        "oneDNN (libdnnl.so.3) could not be loaded: convolutions and other kernels run on NumPy, several times slower."
    )
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return f"{start} Install it with 'pip install onednn-cpu-gomp' and the system's libgomp (Debian: libgomp1)."
    if sys.platform == "linux":
        return f"{start} Install your system's oneDNN 3 (Debian: libdnnl3), or set DISTTORCH_KERNELS=portable."
    return f"{start} There is no package of it for this platform; DISTTORCH_KERNELS=portable silences this."
