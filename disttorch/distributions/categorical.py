"""Categorical and OneHotCategorical: one of several classes."""

from collections.abc import Sequence
from typing import Any, ClassVar

from .. import ops
from ..autograd.mode import no_grad
from ..autograd.variable import Tensor
from ..ops.shape import Size
from . import constraints
from .distribution import Distribution, LazyParameter, logits_of


class Categorical(Distribution):
    """An index from 0 to K - 1, by probabilities (..., K), which are normalised, or their logarithms `logits`."""

    arg_constraints: ClassVar = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        given = probs if probs is not None else logits
        if given.dim() < 1:
            raise ValueError(
                f"`{'probs' if probs is not None else 'logits'}` parameter must be at least one-dimensional."
            )
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - ops.logsumexp(logits, -1, keepdim=True)
        self._parameter = given
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    @LazyParameter
    def probs(self) -> Tensor:
        """Probabilities, which add up to 1."""
        return ops.softmax(self.logits, -1)

    @LazyParameter
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return logits_of(self.probs)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def param_shape(self) -> Size:
        return self._parameter.shape

    @property
    def mean(self) -> Tensor:
        return self.probs.new_full(self._extended_shape(), float("nan"))

    variance = mean

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Sequence = ()) -> Tensor:
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn = ops.multinomial(rows, Size(sample_shape).numel(), True).T
            return drawn.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        value = value.long().unsqueeze(-1)
        shape = ops.broadcast_shapes(value.shape[:-1], self.logits.shape[:-1])
        logits = self.logits.expand((*shape, self._num_events))
        return logits.gather(-1, value.expand((*shape, 1))).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.logits.clamp(min=-3.4e38) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = ops.arange(self._num_events, device=self._parameter.device).view((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1, *self._batch_shape)) if expand else values

    def expand(self, batch_shape: Sequence, _instance: Any = None) -> "Categorical":
        name = "probs" if "probs" in self.__dict__ else "logits"
        wide = getattr(self, name).expand((*batch_shape, self._num_events))
        return type(self)(**{name: wide}, validate_args=False)


class OneHotCategorical(Distribution):
    """One of K classes, as a vector with a single 1."""

    arg_constraints: ClassVar = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._hot(self.probs.argmax(-1))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _hot(self, indices: Tensor) -> Tensor:
        places = ops.arange(self.event_shape[0], device=indices.device)
        return (indices.unsqueeze(-1) == places).to(self.probs.dtype)

    def sample(self, sample_shape: Sequence = ()) -> Tensor:
        return self._hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def expand(self, batch_shape: Sequence, _instance: Any = None) -> "OneHotCategorical":
        return OneHotCategorical(logits=self.logits.expand((*batch_shape, *self.event_shape)), validate_args=False)
