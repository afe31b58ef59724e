"""Neural networks: modules, their parameters, functions, initial values."""

from . import functional, init, modules, parameter, utils
from .modules import *
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter


def __getattr__(name: str):  # the parallel classes bring in `disttorch.comm`, so they are imported when first used
    from importlib import import_module

    if name in ("attention", "parallel"):
        return import_module(f".{name}", __name__)
    if name in ("DataParallel", "SyncBatchNorm"):
        return getattr(import_module(".parallel", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
