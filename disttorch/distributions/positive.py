"""Distributions of positive numbers: Exponential, HalfNormal."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from .. import ops
from ..autograd.variable import Tensor
from . import constraints
from .distribution import Distribution, ExponentialFamily, batch_shape_of, broadcast
from .location_scale import Normal, standard_normal


class Exponential(ExponentialFamily):
    """Waiting times for events that come at `rate`."""

    arg_constraints: ClassVar = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast(rate)
        super().__init__(batch_shape_of(rate), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    stddev = mean

    @property
    def mode(self) -> Tensor:
        return ops.zeros_like(self.rate)

    @property
    def variance(self) -> Tensor:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return ops.empty(shape, dtype=self.rate.dtype, device=self.rate.device).exponential_() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return 1 - ops.exp(-self.rate * value)

    def icdf(self, value: Tensor) -> Tensor:
        return -ops.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        return 1.0 - ops.log(self.rate)


class HalfNormal(Distribution):
    """The absolute value of a normally distributed number of mean 0 and standard deviation `scale`."""

    arg_constraints: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None):
        (self.scale,) = broadcast(scale)
        super().__init__(batch_shape_of(scale), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        return ops.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        return (standard_normal(self._extended_shape(sample_shape), self.scale) * self.scale).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self._both().log_prob(value) + math.log(2)

    def cdf(self, value: Tensor) -> Tensor:
        return 2 * self._both().cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self._both().icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self._both().entropy() - math.log(2)

    def _both(self) -> Normal:
        return Normal(ops.zeros_like(self.scale), self.scale, validate_args=False)
