"""Binary: what distributions of successes and failures have in common, their probabilities in two forms."""

from typing import Any, ClassVar

from .. import ops
from ..autograd.variable import Tensor
from ..ops.shape import Size
from . import constraints
from .utils import batch_shape_of, broadcast_all, lazy_property, logits_to_probs, probs_to_logits


class Binary:
    """Parameters as probabilities or as the logarithms of their odds, each from the other."""

    arg_constraints: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}

    def _take(self, probs: Any, logits: Any) -> Size:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        return batch_shape_of(probs if probs is not None else logits)

    def _take_with(self, total_count: Any, probs: Any, logits: Any) -> Size:
        """The same for distributions that count: `total_count` and the parameter in one shape and dtype."""
        self._take(probs, logits)
        name = "probs" if probs is not None else "logits"
        count, parameter = broadcast_all(total_count, getattr(self, name))
        self.total_count = count.to(parameter.dtype)
        setattr(self, name, parameter)
        return parameter.shape

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=True)

    @lazy_property
    def logits(self) -> Tensor:
        """Logarithms of odds."""
        return probs_to_logits(self.probs, is_binary=True)

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs" if "probs" in self.__dict__ else "logits"]

    @property
    def param_shape(self) -> Size:
        return self._param.shape

    def _counted(self, values: int, expand: bool) -> Tensor:
        """0, 1, ... up to `values` - 1, in front of the batch."""
        counts = ops.arange(values, dtype=self._param.dtype, device=self._param.device)
        counts = counts.view((-1,) + (1,) * len(self._batch_shape))
        return counts.expand((-1, *self._batch_shape)) if expand else counts
