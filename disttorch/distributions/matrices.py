"""Distributions of matrices: LKJCholesky (correlations) and Wishart (covariances)."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from .. import dtypes, linalg, ops
from ..autograd.mode import no_grad
from ..autograd.variable import Tensor
from ..ops.shape import Size
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .gamma import Beta, Chi2
from .utils import broadcast_all, lazy_property


class LKJCholesky(Distribution):
    """Cholesky factors (dim, dim) of correlation matrices, whose density is det^(concentration - 1).

    Drawn by the onion method: Lewandowski, Kurowicka and Joe (2009), section 3.
    """

    arg_constraints: ClassVar = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        rows = ops.arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        rows = ops.cat([rows.new_zeros((1,)), rows])
        marginal = (self.concentration + 0.5 * (dim - 2)).unsqueeze(-1)
        self._beta = Beta(rows + 0.5, marginal - 0.5 * rows)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def sample(self, sample_shape: Sequence = ()) -> Tensor:
        with no_grad():
            lengths = self._beta.sample(sample_shape).unsqueeze(-1)
            shape = self._extended_shape(sample_shape)
            normal = ops.randn(shape, dtype=lengths.dtype, device=lengths.device).tril(-1)
            directions = normal / normal.norm(dim=-1, keepdim=True)
            directions[..., 0, :] = 0.0
            w = lengths.sqrt() * directions
            rest = (1 - (w**2).sum(-1)).clamp(min=dtypes.finfo(w.dtype).tiny).sqrt()
            return w + ops.diag_embed(rest)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = ops.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        below = self.dim - 1
        alpha = self.concentration + 0.5 * below
        norm = 0.5 * below * math.log(math.pi) + ops.mvlgamma(alpha - 0.5, below) - ops.lgamma(alpha) * below
        return (order * diagonal.log()).sum(-1) - norm


class Wishart(ExponentialFamily):
    """Matrices (..., D, D): sums of `df` outer products of normal vectors with one of a covariance, a precision (its
    inverse), or a lower triangular matrix scale_tril whose product with its transpose is the covariance.
    """

    support = constraints.positive_definite
    has_rsample = True

    def __init__(
        self, df: Any, covariance_matrix: Tensor | None = None, precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None, validate_args: bool | None = None,
    ):  # fmt: skip
        given = {"covariance_matrix": covariance_matrix, "scale_tril": scale_tril, "precision_matrix": precision_matrix}
        given = {name: m for name, m in given.items() if m is not None}
        if len(given) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        df = df if isinstance(df, Tensor) else ops.tensor(df, dtype=matrix.dtype, device=matrix.device)
        batch, event = Size(ops.broadcast_shapes(matrix.shape[:-2], df.shape)), matrix.shape[-2:]
        if bool((df <= event[-1] - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {event[-1] - 1}.")
        self.df = df.expand(batch)
        setattr(self, name, matrix.expand(batch + event))
        if bool((df < event[-1]).any()):
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        super().__init__(batch, event, validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = linalg.cholesky(ops.cholesky_inverse(linalg.cholesky(matrix)))

    @property
    def arg_constraints(self) -> dict:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self._event_shape[-1] - 1),
        }

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular factor of the covariance."""
        return self._unbroadcasted_scale_tril.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Tensor:
        return ops.cholesky_inverse(self.scale_tril)

    def _df(self) -> Tensor:
        return self.df.reshape((*self._batch_shape, 1, 1))

    @property
    def mean(self) -> Tensor:
        return self._df() * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self._df() - self._event_shape[-1] - 1
        return factor.masked_fill(factor <= 0, math.nan) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self._df() * (v.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        """By Bartlett's decomposition: a triangle of normal numbers, with roots of chi-squared ones on its diagonal."""
        p = self._event_shape[-1]
        rows = ops.arange(p, dtype=self.scale_tril.dtype, device=self.scale_tril.device)
        roots = Chi2(self.df.unsqueeze(-1) - rows).rsample(sample_shape).sqrt()
        noise = roots.clamp(min=dtypes.finfo(roots.dtype).eps).diag_embed(dim1=-2, dim2=-1)
        i, j = ops.tril_indices(p, p, offset=-1)
        shape = Size(sample_shape) + self._batch_shape + (p * (p - 1) // 2,)
        noise[..., i, j] = ops.randn(shape, dtype=noise.dtype, device=noise.device)
        lower = self._unbroadcasted_scale_tril @ noise
        return lower @ lower.mT

    def _half_log_det(self) -> Tensor:
        return self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        nu, p = self.df, self._event_shape[-1]
        trace = ops.cholesky_solve(value, self._unbroadcasted_scale_tril).diagonal(dim1=-2, dim2=-1).sum(-1)
        norm = nu * (p * math.log(2) / 2 + self._half_log_det()) + ops.mvlgamma(nu / 2, p)
        return (nu - p - 1) / 2 * linalg.slogdet(value).logabsdet - trace / 2 - norm

    def entropy(self) -> Tensor:
        nu, p = self.df, self._event_shape[-1]
        made = (p + 1) * (p * math.log(2) / 2 + self._half_log_det()) + ops.mvlgamma(nu / 2, p)
        return made - (nu - p - 1) / 2 * self._mean_log_slope() + nu * p / 2

    def _mean_log_slope(self) -> Tensor:
        """The derivative of the logarithm of the multivariate gamma function at df / 2."""
        rows = ops.arange(self._event_shape[-1], dtype=self.df.dtype, device=self.df.device)
        return ops.digamma((self.df.unsqueeze(-1) - rows) / 2).sum(-1)
