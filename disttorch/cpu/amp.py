"""torch.cpu.amp: the older names of `torch.amp`, for the CPU."""

from functools import partialmethod

from .. import amp, dtypes

__all__ = ["GradScaler", "autocast"]


class autocast(amp.autocast):
    """autocast("cpu", ...)."""

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.bfloat16, cache_enabled: bool = True):
        super().__init__("cpu", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """GradScaler("cpu", ...)."""

    __init__ = partialmethod(amp.GradScaler.__init__, "cpu")
