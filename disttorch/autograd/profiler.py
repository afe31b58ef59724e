"""torch.autograd.profiler: the older names of torch.profiler's classes."""

from importlib import import_module


def __getattr__(name: str):
    if name in ("profile", "record_function"):
        return getattr(import_module("disttorch.profiler"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
