"""torch.cuda.amp: the older names of `torch.amp`, for CUDA devices."""

from functools import partialmethod

from .. import amp, dtypes
from ..amp import custom_bwd, custom_fwd

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


class autocast(amp.autocast):
    """autocast("cuda", ...)."""

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.float16, cache_enabled: bool = True):
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """GradScaler("cuda", ...)."""

    __init__ = partialmethod(amp.GradScaler.__init__, "cuda")
