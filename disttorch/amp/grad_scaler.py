"""GradScaler: the loss is multiplied so that float16 gradients do not vanish, and the step is skipped when they
overflow.

Micikevicius et al., "Mixed Precision Training" (2018), section 3.2.
"""

import warnings
from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np

from ..autograd.mode import no_grad
from ..autograd.variable import Tensor
from ..devices import device_count
from ..dtypes import float16


class _Stage(Enum):
    """What has been done with an optimizer's gradients since the last update."""

    READY, UNSCALED, STEPPED = range(3)


class GradScaler:
    """scale(loss).backward(); unscale_(optimizer) if gradients are looked at; step(optimizer); update().

    The scale grows by `growth_factor` after `growth_interval` good steps in a row, and shrinks by `backoff_factor`
    after one with an infinite or NaN gradient, which is skipped. Without a CUDA device a scaler for "cuda" is disabled:
    it hands everything through.
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
        if enabled and device == "cuda" and not device_count():
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            enabled = False
        if enabled and not growth_factor > 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if enabled and not backoff_factor < 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._device, self._enabled, self._scale = device, enabled, init_scale
        self._growth, self._backoff, self._interval = growth_factor, backoff_factor, growth_interval
        self._good = 0
        self._used = False  # whether anything was scaled since it was made
        self._stages: dict[int, _Stage] = {}  # of optimizers, by id
        self._found: dict[int, bool] = {}  # whether a gradient of an optimizer overflowed, where there was any

    def scale(self, outputs: Any) -> Any:
        """A loss, or losses nested in lists and tuples, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            self._used = True
            return outputs * self._scale
        if not isinstance(outputs, Iterable):
            raise ValueError("outputs must be a Tensor or an iterable of Tensors")
        scaled = map(self.scale, outputs)
        return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale; once between two updates."""
        if not self._enabled:
            return
        self._need_use("unscale_")
        stage = self._stages.setdefault(id(optimizer), _Stage.READY)
        if stage is _Stage.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if stage is _Stage.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        grads = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if any(grad.dtype is float16 for grad in grads):
            raise ValueError("Attempting to unscale FP16 gradients.")
        if grads:
            self._found[id(optimizer)] = not all(map(_is_finite, grads))
        with no_grad():
            for grad in grads:
                grad.mul_(1.0 / self._scale)
        self._stages[id(optimizer)] = _Stage.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(), unless a gradient overflowed; unscales first if that has not been done.

        Once between two updates (RuntimeError), and only if some parameter has a gradient (AssertionError).
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._need_use("step")
        stage = self._stages.get(id(optimizer), _Stage.READY)
        if stage is _Stage.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if stage is _Stage.READY:
            self.unscale_(optimizer)
        if id(optimizer) not in self._found:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None if self._found[id(optimizer)] else optimizer.step(*args, **kwargs)
        self._stages[id(optimizer)] = _Stage.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale to what the steps since the last update met, or set it to `new_scale`."""
        if not self._enabled:
            return
        self._need_use("update")
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._found:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(self._found.values()):
            self._scale, self._good = _rounded(self._scale * self._backoff), 0
        else:
            self._good += 1
            if self._good == self._interval:
                grown = _rounded(self._scale * self._growth)
                self._scale, self._good = grown if np.isfinite(grown) else self._scale, 0
        self._stages.clear()
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

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff = new_factor

    def get_growth_interval(self) -> int:
        return self._interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._interval = new_interval

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

    def __getstate__(self) -> dict:
        if self._stages:
            raise AssertionError(
                "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                "scaler.update()."
            )
        return {**self.__dict__, "_used": False}


def _is_finite(grad: Tensor) -> bool:
    data = grad._data
    return bool(np.isfinite(data.astype(np.float32) if data.dtype.itemsize == 2 else data).all())


def _rounded(scale: float) -> float:
    """As PyTorch keeps it: in float32."""
    with np.errstate(over="ignore"):
        return float(np.float32(scale))
