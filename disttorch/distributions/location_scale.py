"""Distributions that are shifted and stretched: Normal, Laplace."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from .. import dtypes, ops
from ..autograd.mode import no_grad
from ..autograd.variable import Tensor
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .utils import batch_shape_of, broadcast_all


class Symmetric(Distribution):
    """A distribution around `loc`, as wide as `scale` says."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(batch_shape_of(loc, scale), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    mode = mean


class Normal(Symmetric, ExponentialFamily):
    """The normal distribution of mean `loc` and standard deviation `scale`."""

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev.pow(2)

    def sample(self, sample_shape: Sequence = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return ops.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        return self.loc + standard_normal(self._extended_shape(sample_shape), self.loc) * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return -((value - self.loc) ** 2) / (2 * self.variance) - self.scale.log() - math.log(math.sqrt(2 * math.pi))

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return 0.5 * (1 + ops.erf((value - self.loc) * self.scale.reciprocal() / math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * ops.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        return 0.5 + 0.5 * math.log(2 * math.pi) + ops.log(self.scale)


class Laplace(Symmetric):
    """The two-sided exponential distribution around `loc`, of mean absolute deviation `scale`."""

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        return math.sqrt(2) * self.scale

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        info = dtypes.finfo(self.loc.dtype)
        shape = self._extended_shape(sample_shape)
        u = ops.empty(shape, dtype=self.loc.dtype, device=self.loc.device).uniform_(info.eps - 1, 1)
        return self.loc - self.scale * u.sign() * ops.log1p(-u.abs().clamp(min=info.tiny))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return -ops.log(2 * self.scale) - ops.abs(value - self.loc) / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        away = value - self.loc
        return 0.5 - 0.5 * away.sign() * ops.expm1(-away.abs() / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * ops.log1p(-2 * term.abs())

    def entropy(self) -> Tensor:
        return 1 + ops.log(2 * self.scale)


def standard_normal(shape: Sequence, like: Tensor) -> Tensor:
    """Normally distributed numbers of mean 0 and variance 1."""
    settings = {"dtype": like.dtype, "device": like.device}
    return ops.normal(ops.zeros(shape, **settings), ops.ones(shape, **settings))
