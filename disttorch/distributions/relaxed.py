"""Relaxed discrete distributions, whose samples have gradients (Maddison et al. and Jang et al., 2017)."""

from collections.abc import Sequence
from typing import Any, ClassVar

from .. import ops
from ..autograd.variable import Tensor
from . import constraints
from .binary import Binary
from .categorical import Categorical, OfCategorical
from .distribution import Distribution
from .transformed import Inherited, TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform
from .utils import broadcast_all, clamp_probs


class LogitRelaxedBernoulli(Binary, Distribution):
    """The logarithms of the odds of RelaxedBernoulli's samples."""

    support = constraints.real

    def __init__(self, temperature: Tensor, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._temperature = temperature  # one for the whole batch, however that is expanded
        super().__init__(self._take(probs, logits), validate_args=validate_args)

    @property
    def temperature(self) -> Tensor:
        return self._temperature

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        probs = clamp_probs(self.probs.expand(self._extended_shape(sample_shape)))
        u = clamp_probs(ops.rand(probs.shape, dtype=probs.dtype, device=probs.device))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self._temperature

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        logits, value = broadcast_all(self.logits, value)
        away = logits - value.mul(self._temperature)
        return self._temperature.log() + away - 2 * away.exp().log1p()


class RelaxedBernoulli(TransformedDistribution):
    """Numbers between 0 and 1, nearer to them the lower the `temperature`."""

    arg_constraints: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    temperature, probs, logits = Inherited(), Inherited(), Inherited()

    def __init__(self, temperature: Tensor, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)


class ExpRelaxedCategorical(OfCategorical, Distribution):
    """The logarithms of RelaxedOneHotCategorical's samples."""

    arg_constraints: ClassVar = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, temperature: Tensor, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ):  # fmt: skip
        self._categorical, self._temperature = Categorical(probs, logits), temperature
        super().__init__(self._categorical.batch_shape, self.param_shape[-1:], validate_args=validate_args)

    @property
    def temperature(self) -> Tensor:
        return self._temperature

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        u = clamp_probs(ops.rand(shape, dtype=self.logits.dtype, device=self.logits.device))
        scores = (self.logits - (-u.log()).log()) / self._temperature
        return scores - scores.logsumexp(dim=-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        k = self.event_shape[0]
        logits, value = broadcast_all(self.logits, value)
        score = logits - value.mul(self._temperature)
        score = (score - score.logsumexp(dim=-1, keepdim=True)).sum(-1)
        return score + ops.full_like(self._temperature, float(k)).lgamma() + self._temperature.log() * (k - 1)


class RelaxedOneHotCategorical(TransformedDistribution):
    """Vectors (..., K) on the simplex, nearer to its corners the lower the `temperature`."""

    arg_constraints: ClassVar = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True
    temperature, probs, logits = Inherited(), Inherited(), Inherited()

    def __init__(
        self, temperature: Tensor, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ):  # fmt: skip
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)
