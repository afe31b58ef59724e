"""torch.cuda.amp: the older names of `torch.amp`, for CUDA devices; its files autocast_mode, grad_scaler and common are
this one.
"""

import sys
from functools import partialmethod

from .. import amp, devices, dtypes
from ..amp import custom_bwd, custom_fwd

__all__ = ["GradScaler", "amp_definitely_not_available", "autocast", "custom_bwd", "custom_fwd"]


class autocast(amp.autocast):
    """autocast("cuda", ...)."""

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.float16, cache_enabled: bool = True):
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """GradScaler("cuda", ...)."""

    __init__ = partialmethod(amp.GradScaler.__init__, "cuda")


def amp_definitely_not_available() -> bool:
    """Whether there is no CUDA device."""
    return not devices.device_count()


for _name in ("autocast_mode", "common", "grad_scaler"):
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
