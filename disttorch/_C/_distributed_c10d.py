"""torch._C._distributed_c10d: the names of `disttorch.distributed`, at the place where some programs look for them."""

from .. import distributed


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(distributed, name)
