"""torch.utils: data loading, checkpointing and the like, imported when first used."""

from importlib import import_module


def __getattr__(name: str):
    if name in ("checkpoint", "data", "dlpack", "hooks", "model_zoo"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
