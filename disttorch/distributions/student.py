"""Ratios of sums of squares: StudentT, FisherSnedecor."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from .. import dtypes, ops
from ..autograd.variable import Tensor
from . import constraints
from .distribution import Distribution
from .gamma import Chi2, Gamma
from .location_scale import standard_normal
from .utils import batch_shape_of, broadcast_all


class StudentT(Distribution):
    """Student's t-distribution of `df` degrees of freedom around `loc`, as wide as `scale` says."""

    arg_constraints: ClassVar = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc.masked_fill(self.df <= 1, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        df = self.df
        made = (self.scale.pow(2) * df / (df - 2)).masked_fill(df <= 2, math.inf)
        return made.masked_fill(df <= 1, math.nan)

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        normal = standard_normal(self._extended_shape(sample_shape), self.df)
        return self.loc + self.scale * normal * ops.rsqrt(self._chi2.rsample(sample_shape) / self.df)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        df, y = self.df, (value - self.loc) / self.scale
        norm = self.scale.log() + 0.5 * df.log() + 0.5 * math.log(math.pi) + _lgamma_ratio(df)
        return -0.5 * (df + 1.0) * ops.log1p(y**2.0 / df) - norm

    def entropy(self) -> Tensor:
        df = self.df
        slope = ops.digamma(0.5 * (df + 1)) - ops.digamma(0.5 * df)
        beta = _lgamma_ratio(df) + math.lgamma(0.5)
        return self.scale.log() + 0.5 * (df + 1) * slope + 0.5 * df.log() + beta


def _lgamma_ratio(df: Tensor) -> Tensor:
    return ops.lgamma(0.5 * df) - ops.lgamma(0.5 * (df + 1.0))


class FisherSnedecor(Distribution):
    """The ratio of two mean squares of `df1` and `df2` normally distributed numbers."""

    arg_constraints: ClassVar = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        self._gamma1, self._gamma2 = Gamma(self.df1 * 0.5, self.df1), Gamma(self.df2 * 0.5, self.df2)
        super().__init__(batch_shape_of(df1, df2), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        df2 = self.df2.masked_fill(self.df2 <= 2, math.nan)
        return df2 / (df2 - 2)

    @property
    def mode(self) -> Tensor:
        mode = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return mode.masked_fill(self.df1 <= 2, math.nan)

    @property
    def variance(self) -> Tensor:
        df1, df2 = self.df1, self.df2.masked_fill(self.df2 <= 4, math.nan)
        return 2 * df2.pow(2) * (df1 + df2 - 2) / (df1 * (df2 - 2).pow(2) * (df2 - 4))

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        over, under = self._gamma1.rsample(sample_shape), self._gamma2.rsample(sample_shape)
        tiny = dtypes.finfo(under.dtype).tiny
        return (over / under.clamp(min=tiny)).clamp(min=tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        norm = (a + b).lgamma() - a.lgamma() - b.lgamma()
        return norm + a * ratio.log() + (a - 1) * value.log() - (a + b) * ops.log1p(ratio * value)
