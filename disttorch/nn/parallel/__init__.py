"""Data-parallel classes: DataParallel (a thread per device) and DistributedDataParallel (a process per device).

Names are loaded when first used, so that `import disttorch` does not load `disttorch.comm`.
"""

import sys
from importlib import import_module
from types import ModuleType

_HOMES = {
    "data_parallel": "DataParallel data_parallel",
    "parallel_apply": "parallel_apply",
    "replicate": "replicate",
    "scatter_gather": "gather scatter scatter_kwargs",
    "distributed": "DistributedDataParallel",
    "sync_batchnorm": "SyncBatchNorm",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


class _Package(ModuleType):
    def __setattr__(self, name, value):
        if name in _HOME_OF and isinstance(value, ModuleType):
            return  # a file that has just been imported does not hide the function of its name
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *__all__])
