"""LowRankMultivariateNormal: vectors whose covariance is a product of few columns, and a diagonal."""

import math
from collections.abc import Sequence
from typing import ClassVar

from .. import linalg, ops
from ..autograd.variable import Tensor
from ..ops.shape import Size
from . import constraints
from .distribution import Distribution
from .location_scale import standard_normal
from .utils import lazy_property


class LowRankMultivariateNormal(Distribution):
    """Normally distributed vectors (..., D) of covariance W W' + diag(d), with W = cov_factor (..., D, R) and
    d = cov_diag (..., D). Determinant and inverse by the lemma of Woodbury, through the (R, R) matrix I + W' d^-1 W.
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        event = loc.shape[-1:]
        if cov_factor.shape[-2:-1] != event:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if cov_diag.shape[-1:] != event:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event}")
        try:
            batch = Size(ops.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1]))
        except RuntimeError:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from None
        self.loc = loc.expand(batch + event)
        self.cov_diag = cov_diag.expand(batch + event)
        self.cov_factor = cov_factor.expand(batch + cov_factor.shape[-2:])
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        turned = cov_factor.mT / cov_diag.unsqueeze(-2)
        eye = ops.eye(cov_factor.shape[-1], dtype=loc.dtype, device=loc.device)
        self._capacitance_tril = linalg.cholesky(turned @ cov_factor + eye)
        super().__init__(batch, event, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    mode = mean

    @lazy_property
    def variance(self) -> Tensor:
        """The diagonal of the covariance."""
        return self.cov_factor.pow(2).sum(-1) + self.cov_diag

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular factor of the covariance."""
        root = self.cov_diag.sqrt().unsqueeze(-1)
        scaled = self.cov_factor / root
        eye = ops.eye(self._event_shape[0], dtype=self.loc.dtype, device=self.loc.device)
        return root * linalg.cholesky(scaled @ scaled.mT + eye)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        return self.cov_factor @ self.cov_factor.mT + ops.diag_embed(self.cov_diag)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        part = self._reduced(self.cov_factor.mT / self.cov_diag.unsqueeze(-2))
        return ops.diag_embed(self.cov_diag.reciprocal()) - part.mT @ part

    def _reduced(self, columns: Tensor) -> Tensor:
        lower = self._capacitance_tril.expand((*columns.shape[:-1], columns.shape[-2]))
        return linalg.solve_triangular(lower, columns, upper=False)

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        few = standard_normal(shape[:-1] + self.cov_factor.shape[-1:], self.loc)
        own = standard_normal(shape, self.loc)
        shared = (self._unbroadcasted_cov_factor @ few.unsqueeze(-1)).squeeze(-1)
        return self.loc + shared + self._unbroadcasted_cov_diag.sqrt() * own

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + self._log_det() + self._distance(value - self.loc))

    def _distance(self, away: Tensor) -> Tensor:
        """The squared length of `away` by the inverse of the covariance."""
        turned = self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2)
        part = self._reduced(turned @ away.unsqueeze(-1)).squeeze(-1)
        return (away.pow(2) / self._unbroadcasted_cov_diag).sum(-1) - part.pow(2).sum(-1)

    def _log_det(self) -> Tensor:
        small = self._capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 2 * small + self._unbroadcasted_cov_diag.log().sum(-1)

    def entropy(self) -> Tensor:
        constant = self._event_shape[0] * (1.0 + math.log(2 * math.pi))
        return (0.5 * (constant + self._log_det())).expand(self._batch_shape)
