"""MultivariateNormal: vectors with a mean and a covariance."""

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


class MultivariateNormal(Distribution):
    """Normally distributed vectors (..., D) of mean `loc`, with one of a covariance, a precision (its inverse), or a
    lower triangular matrix scale_tril whose product with its transpose is the covariance.
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc: Tensor, covariance_matrix: Tensor | None = None, precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None, validate_args: bool | None = None,
    ):  # fmt: skip
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: m for name, m in given.items() if m is not None}
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
        batch = Size(ops.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1]))
        matrix = matrix.expand(batch + matrix.shape[-2:])
        self.loc = loc.expand(batch + loc.shape[-1:])
        setattr(self, name, matrix)
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = linalg.cholesky(matrix)
        else:  # the Cholesky factor of an inverse, from the factor of the matrix turned round
            turned = linalg.cholesky(ops.flip(matrix, (-2, -1)))
            inverse = ops.flip(turned, (-2, -1)).mT
            eye = ops.eye(loc.shape[-1], dtype=loc.dtype, device=loc.device)
            self._unbroadcasted_scale_tril = linalg.solve_triangular(inverse, eye.expand(inverse.shape), upper=False)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular factor of the covariance."""
        return self._unbroadcasted_scale_tril.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Tensor:
        return ops.cholesky_inverse(self.scale_tril)

    @property
    def mean(self) -> Tensor:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        eps = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + (self._unbroadcasted_scale_tril @ eps.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        d = self.event_shape[0]
        away = value - self.loc
        factor = self._unbroadcasted_scale_tril.expand((*away.shape, d))
        distance = linalg.solve_triangular(factor, away.unsqueeze(-1), upper=False).squeeze(-1).pow(2).sum(-1)
        return -0.5 * (d * math.log(2 * math.pi) + distance) - self._half_log_det()

    def entropy(self) -> Tensor:
        d = self.event_shape[0]
        return (0.5 * d * (1.0 + math.log(2 * math.pi)) + self._half_log_det()).expand(self._batch_shape)

    def _half_log_det(self) -> Tensor:
        return ops.diagonal(self._unbroadcasted_scale_tril, dim1=-2, dim2=-1).log().sum(-1)
