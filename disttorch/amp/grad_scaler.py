"""GradScaler: the loss is multiplied so that float16 gradients do not vanish, and the step is skipped when they
overflow.

Micikevicius et al., "Mixed Precision Training" (2018), section 3.2.
"""

from typing import Any

import numpy as np

from ..autograd.mode import no_grad
from ..autograd.variable import Tensor


class GradScaler:
    """scale(loss).backward(); unscale_(optimizer) if gradients are looked at; step(optimizer); update().

    The scale grows by `growth_factor` after `growth_interval` good steps in a row, and shrinks by `backoff_factor`
    after one with an infinite or NaN gradient, which is skipped.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        if enabled and not growth_factor > 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if enabled and not backoff_factor < 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._device, self._enabled, self._scale = device, enabled, init_scale
        self._growth, self._backoff, self._interval = growth_factor, backoff_factor, growth_interval
        self._good = 0
        self._used = False  # whether anything was scaled since it was made
        self._found: dict[int, bool] = {}  # optimizers whose gradients are unscaled -> whether one overflowed

    def scale(self, outputs: Any) -> Any:
        """A loss, or losses nested in lists and tuples, times the scale."""
        if not self._enabled:
            return outputs
        self._used = True
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        return type(outputs)(self.scale(o) for o in outputs)

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale; once between two updates."""
        if not self._enabled:
            return
        self._need_use("unscale_")
        if id(optimizer) in self._found:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        overflow = False
        with no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.grad.mul_(1.0 / self._scale)
                        data = p.grad._data
                        wide = data.astype(np.float32) if data.dtype.itemsize == 2 else data
                        overflow = overflow or not bool(np.isfinite(wide).all())
        self._found[id(optimizer)] = overflow

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(), unless a gradient overflowed; unscales first if that has not been done."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        self._need_use("step")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        return None if self._found[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale to what the steps since the last update met."""
        if not self._enabled:
            return
        self._need_use("update")
        if new_scale is not None:
            self._scale = float(new_scale)
        elif any(self._found.values()):
            self._scale, self._good = self._scale * self._backoff, 0
        else:
            self._good += 1
            if self._good == self._interval:
                self._scale, self._good = self._scale * self._growth, 0
        self._found.clear()

    def _need_use(self, attempt: str) -> None:
        if not self._used:
            raise AssertionError(
                f"Attempted {attempt} but _scale is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )

    def get_scale(self) -> float:
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        return self._growth

    def get_backoff_factor(self) -> float:
        return self._backoff

    def get_growth_interval(self) -> int:
        return self._interval

    def is_enabled(self) -> bool:
        return self._enabled

    def state_dict(self) -> dict:
        if not self._enabled:
            return {}
        return {
            "scale": self._scale, "growth_factor": self._growth, "backoff_factor": self._backoff,
            "growth_interval": self._interval, "_growth_tracker": self._good,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict) -> None:
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale, self._good = float(state_dict["scale"]), state_dict["_growth_tracker"]
        self._growth, self._backoff = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._interval = state_dict["growth_interval"]
