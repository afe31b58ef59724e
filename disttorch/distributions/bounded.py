"""ContinuousBernoulli and GeneralizedPareto: numbers of an interval, and of a tail."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from .. import ops
from ..autograd.mode import no_grad
from ..autograd.variable import Tensor
from ..ops.pair_losses import binary_cross_entropy_with_logits
from . import constraints
from .binary import Binary
from .distribution import Distribution, ExponentialFamily
from .utils import batch_shape_of, broadcast_all, clamp_probs, lazy_property, logits_to_probs


class ContinuousBernoulli(Binary, ExponentialFamily):
    """Numbers from [0, 1] of density proportional to probs^x (1 - probs)^(1 - x): Loaiza-Ganem and Cunningham (2019).

    Between the `lims` around 1/2, where the formulas are 0 / 0, Taylor's series stand for them.
    """

    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ):  # fmt: skip
        batch = self._take(probs, logits)
        if probs is not None:
            if validate_args is not None and not bool(constraints.unit_interval.check(self.probs).all()):
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(self.probs)
        self._lims = lims
        super().__init__(batch, validate_args=validate_args)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities, off 0 and 1."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _stable(self) -> Tensor:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> Tensor:
        """The probabilities, those near 1/2 moved away."""
        return ops.where(self._stable(), self.probs, self._lims[0])

    def _cont_bern_log_norm(self) -> Tensor:
        p, square = self._cut(), (self.probs - 0.5) ** 2
        below, above = ops.where(p <= 0.5, p, 0.0), ops.where(p >= 0.5, p, 1.0)
        sign = ops.where(p <= 0.5, ops.log1p(-2.0 * below), ops.log(2.0 * above - 1.0))
        norm = ops.log(ops.abs(ops.log1p(-p) - ops.log(p))) - sign
        return ops.where(self._stable(), norm, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * square) * square)

    @property
    def mean(self) -> Tensor:
        p, x = self._cut(), self.probs - 0.5
        mean = p / (2.0 * p - 1.0) + 1.0 / (ops.log1p(-p) - ops.log(p))
        return ops.where(self._stable(), mean, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x**2) * x)

    @property
    def variance(self) -> Tensor:
        p, square = self._cut(), (self.probs - 0.5) ** 2
        variance = p * (p - 1.0) / (1.0 - 2.0 * p) ** 2 + 1.0 / (ops.log1p(-p) - ops.log(p)) ** 2
        return ops.where(self._stable(), variance, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * square) * square)

    def sample(self, sample_shape: Sequence = ()) -> Tensor:
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(ops.rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none") + self._cont_bern_log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        p = self._cut()
        inside = (p**value * (1.0 - p) ** (1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = ops.where(self._stable(), inside, value)
        return ops.where(value <= 0.0, 0.0, ops.where(value >= 1.0, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        p = self._cut()
        found = (ops.log1p(-p + value * (2.0 * p - 1.0)) - ops.log1p(-p)) / (ops.log(p) - ops.log1p(-p))
        return ops.where(self._stable(), found, value)

    def entropy(self) -> Tensor:
        no, yes = ops.log1p(-self.probs), ops.log(self.probs)
        return self.mean * (no - yes) - self._cont_bern_log_norm() - no


class GeneralizedPareto(Distribution):
    """Numbers beyond `loc`, of width `scale`; their tail is the heavier the larger `concentration`, 0: exponential."""

    arg_constraints: ClassVar = {
        "loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real,
    }  # fmt: skip
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(batch_shape_of(loc, scale, concentration), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        k = self.concentration
        return constraints.interval(self.loc, ops.where(k < 0, self.loc - self.scale / k, math.inf))

    def _exponential(self) -> tuple[Tensor, Tensor]:
        """Where the concentration is 0, and the concentration with 1 there."""
        zero = ops.isclose(self.concentration, ops.zeros_like(self.concentration))
        return zero, ops.where(zero, 1.0, self.concentration)

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(ops.rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        z, (zero, k) = (value - self.loc) / self.scale, self._exponential()
        y = 1 / k + ops.ones_like(z)
        return -self.scale.log() - ops.where(zero, z, ops.where(y == 0, y, y * ops.log1p(k * z)))

    def log_survival_function(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of a value beyond `value`."""
        self._check_value(value)
        z, (zero, k) = (value - self.loc) / self.scale, self._exponential()
        return ops.where(zero, -z, -ops.log1p(k * z) / k)

    def log_cdf(self, value: Tensor) -> Tensor:
        """The logarithm of `cdf`."""
        return ops.log1p(-ops.exp(self.log_survival_function(value)))

    def cdf(self, value: Tensor) -> Tensor:
        return ops.exp(self.log_cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        left, (zero, k) = ops.log1p(-value), self._exponential()
        return ops.where(zero, self.loc - self.scale * left, self.loc + self.scale / k * ops.expm1(-k * left))

    @property
    def mean(self) -> Tensor:
        valid = self.concentration < 1
        return ops.where(valid, self.loc + self.scale / (1 - ops.where(valid, self.concentration, 0.5)), math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        valid = self.concentration < 0.5
        k = ops.where(valid, self.concentration, 0.25)
        return ops.where(valid, self.scale**2 / ((1 - k) ** 2 * (1 - 2 * k)), math.nan)

    def entropy(self) -> Tensor:
        return (ops.log(self.scale) + self.concentration + 1).expand(self._batch_shape)
