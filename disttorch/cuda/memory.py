"""Memory of CUDA devices: CuPy's pool; for simulated devices, which live in the host's memory, 0."""

import os
import pickle
from typing import Any

from .. import devices
from .properties import _index, get_device_properties


class OutOfMemoryError(RuntimeError):
    """A device has no memory left for an allocation."""


def _pool(device):
    with devices.cupy().cuda.Device(_index(device)):
        return devices.cupy().get_default_memory_pool()


def memory_allocated(device=None) -> int:
    """Bytes that tensors hold on the device (0 for a simulated one)."""
    return 0 if devices.is_simulated() or not devices.device_count() else _pool(device).used_bytes()


def memory_reserved(device=None) -> int:
    """Bytes that the pool holds on the device (0 for a simulated one)."""
    return 0 if devices.is_simulated() or not devices.device_count() else _pool(device).total_bytes()


max_memory_allocated, max_memory_reserved = memory_allocated, memory_reserved
memory_cached, max_memory_cached = memory_reserved, max_memory_reserved  # as of old


def mem_get_info(device=None) -> tuple[int, int]:
    """(free, total) bytes of the device."""
    if devices.is_simulated():
        total = get_device_properties(device).total_memory
        return total, total
    with devices.cupy().cuda.Device(_index(device)):
        return devices.cupy().cuda.runtime.memGetInfo()


def memory_stats(device=None) -> dict:
    """Bytes now in use and reserved, under PyTorch's keys (two of them)."""
    return {
        "allocated_bytes.all.current": memory_allocated(device),
        "reserved_bytes.all.current": memory_reserved(device),
    }


def memory_summary(device=None, abbreviated: bool = False) -> str:
    """One line of bytes in use and reserved."""
    return f"allocated {memory_allocated(device)} bytes, reserved {memory_reserved(device)} bytes"


def empty_cache() -> None:
    """Give unused memory of the pool back to the driver."""
    if devices.device_count() and not devices.is_simulated():
        devices.cupy().get_default_memory_pool().free_all_blocks()


def reset_peak_memory_stats(device=None) -> None:
    """CuPy's pool keeps no peaks: the maxima are the present values."""


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def _record_memory_history(*args: Any, **settings: Any) -> None:
    """Nothing: CuPy's pool does not tell of its allocations."""


def _snapshot(device=None) -> dict:
    """What was recorded: nothing."""
    return {"segments": [], "device_traces": []}


def _dump_snapshot(filename: str | os.PathLike = "dump_snapshot.pickle") -> None:
    """Write the snapshot, for pytorch.org/memory_viz."""
    with open(filename, "wb") as file:
        pickle.dump(_snapshot(), file)


def set_per_process_memory_fraction(fraction: float, device=None) -> None:
    """Limit the pool to a fraction (0 to 1) of the device's memory."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    if not devices.is_simulated():
        _pool(device).set_limit(fraction=fraction)
