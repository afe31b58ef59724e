"""What a GradScaler does to gradients and its scale, in place: private in PyTorch, called by those who subclass it."""

from collections.abc import Sequence

import numpy as np

from ..autograd.mode import no_grad
from ..autograd.variable import Tensor


@no_grad()
def _amp_foreach_non_finite_check_and_unscale_(self: Sequence[Tensor], found_inf: Tensor, inv_scale: Tensor) -> None:
    """Multiply gradients by `inv_scale`; `found_inf` becomes 1 if any of them is not finite."""
    if not all(map(_is_finite, self)):
        found_inf.fill_(1.0)
    for grad in self:
        grad.mul_(inv_scale)


@no_grad()
def _amp_update_scale_(
    self: Tensor,
    growth_tracker: Tensor,
    found_inf: Tensor,
    scale_growth_factor: float,
    scale_backoff_factor: float,
    growth_interval: int,
) -> Tensor:
    """The scale, smaller after a step with infinite gradients, larger after `growth_interval` steps without, unless it
    would then be infinite; growth_tracker: how many of these there have been.
    """
    scale, good = self.item(), growth_tracker.item() + 1
    if found_inf.item():
        scale, good = scale * scale_backoff_factor, 0
    elif good == growth_interval:
        with np.errstate(over="ignore"):
            grown = float(np.float32(scale * scale_growth_factor))
        scale, good = grown if np.isfinite(grown) else scale, 0
    self.fill_(scale)
    growth_tracker.fill_(good)
    return self


def _is_finite(grad: Tensor) -> bool:
    data = grad._data
    return bool(np.isfinite(data.astype(np.float32) if data.dtype.itemsize == 2 else data).all())
