"""Mixed precision: `autocast` runs products in 16 bits, `GradScaler` keeps small gradients from vanishing."""

from .autocast import autocast, custom_bwd, custom_fwd, is_autocast_available
from .scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
