"""torch.distributed.elastic: what scripts use of it. The launcher itself is `disttorch.launcher`."""

from importlib import import_module


def __getattr__(name: str):
    if name in ("metrics", "multiprocessing", "utils"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
