"""Data-parallel classes: DataParallel (a thread per device) and DistributedDataParallel (a process per device).

Names are loaded when first used, so that `import disttorch` does not load `disttorch.comm`.
"""

from importlib import import_module

_HOMES = {
    "replicas": "DataParallel data_parallel gather parallel_apply replicate scatter scatter_kwargs",
    "distributed": "DistributedDataParallel",
    "sync_batchnorm": "SyncBatchNorm",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *__all__])
