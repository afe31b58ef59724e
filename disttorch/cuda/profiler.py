"""What an outside profiler (Nsight Systems) records (torch.cuda.profiler), and the CUDA runtime's functions for it."""

import contextlib
from collections.abc import Iterator
from typing import Any

from .. import devices
from .properties import init

__all__ = ["profile", "start", "stop"]


class _Runtime:
    """Functions of the CUDA runtime that start and stop recording, through CuPy; on simulated devices nobody records.

    Each returns cudaSuccess, 0.
    """

    def cudaProfilerStart(self) -> int:
        if not devices.is_simulated():
            devices.cupy().cuda.profiler.start()
        return 0

    def cudaProfilerStop(self) -> int:
        if not devices.is_simulated():
            devices.cupy().cuda.profiler.stop()
        return 0


def cudart() -> Any:
    """The CUDA runtime: cudaProfilerStart and cudaProfilerStop. RuntimeError without CUDA devices."""
    init()
    return _Runtime()


def start() -> None:
    """Start recording."""
    cudart().cudaProfilerStart()


def stop() -> None:
    """Stop recording."""
    cudart().cudaProfilerStop()


@contextlib.contextmanager
def profile() -> Iterator[None]:
    """Record what is run inside."""
    start()
    try:
        yield
    finally:
        stop()
