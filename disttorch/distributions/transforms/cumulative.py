"""CumulativeDistributionTransform: numbers as the probabilities of values up to them."""

from typing import Any

from ...autograd.variable import Tensor
from .. import constraints
from .transform import Transform


class CumulativeDistributionTransform(Transform):
    """y = cdf(x) of a distribution of numbers, onto [0, 1]."""

    bijective = True
    codomain = constraints.unit_interval
    sign = +1

    def __init__(self, distribution: Any, cache_size: int = 0):
        super().__init__(cache_size)
        self.distribution = distribution

    def _settings(self) -> tuple:
        return (self.distribution,)

    @property
    def domain(self) -> constraints.Constraint:
        return self.distribution.support

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)
