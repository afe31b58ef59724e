"""torch.autograd.profiler: the older names of torch.profiler's classes."""

from importlib import import_module
from typing import Any


def __getattr__(name: str):
    if name in ("profile", "record_function"):
        return getattr(import_module("disttorch.profiler"), name)
    if name == "EventList":
        return import_module("disttorch.profiler.table").EventList
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class emit_nvtx:
    """Ranges for NVIDIA's profilers, which cannot hear programs here: RuntimeError where it is entered, if enabled."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        self.enabled = enabled

    def __enter__(self) -> "emit_nvtx":
        if self.enabled:
            raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")
        return self

    def __exit__(self, *error: Any) -> None:
        pass
