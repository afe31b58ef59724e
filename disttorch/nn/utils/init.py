"""Modules without the work of drawing initial values."""

import inspect

from ...random import fork_rng
from ..modules.module import Module


def skip_init(module_cls: type, *args, **kwargs):
    """`module_cls(*args, **kwargs)`, whose parameters' values are not to be relied on; no random number is used up.

    RuntimeError for a class that is no module's, or that takes no `device`.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    with fork_rng(devices=[]):
        return module_cls(*args, device="cpu", **kwargs).to_empty(device=device)
