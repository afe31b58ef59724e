"""Transforms onto triangular and positive definite matrices."""

import math
from collections.abc import Sequence

from ... import dtypes, linalg, ops
from ...autograd.variable import Tensor
from ...ops.activation import softplus
from .. import constraints
from ..utils import tril_matrix_to_vec, vec_to_tril_matrix
from .transform import AlikeTransform, Transform
from .vectors import needs_dims


class LowerCholeskyTransform(AlikeTransform):
    """The lower triangle of a matrix, with exp of its diagonal."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(AlikeTransform):
    """The product of LowerCholeskyTransform's matrix with its transpose."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """Vectors of D (D - 1) / 2 numbers to Cholesky factors (D, D) of correlation matrices.

    tanh of the numbers fills the triangle; each row breaks its squares off 1 (Stan's reference manual, "Cholesky
    factors of correlation matrices"). The Jacobian is that of the elements below the diagonal.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        eps = dtypes.finfo(x.dtype).eps
        r = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = _shifted((1 - r**2).sqrt().cumprod(-1))
        return (r + ops.eye(r.shape[-1], dtype=r.dtype, device=r.device)) * left

    def _inverse(self, y: Tensor) -> Tensor:
        left = tril_matrix_to_vec(_shifted(1 - (y * y).cumsum(-1)), diag=-1)
        t = tril_matrix_to_vec(y, diag=-1) / left.sqrt()
        return (t.log1p() - t.neg().log1p()) / 2

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        left = tril_matrix_to_vec(1 - (y * y).cumsum(-1), diag=-2)
        return 0.5 * left.log().sum(-1) - 2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)

    def forward_shape(self, shape: Sequence) -> Sequence:
        n = needs_dims(shape, 1)[-1]
        d = round((0.25 + 2 * n) ** 0.5 + 0.5)
        if d * (d - 1) // 2 != n:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return (*shape[:-1], d, d)

    def inverse_shape(self, shape: Sequence) -> Sequence:
        d = needs_dims(shape, 2)[-1]
        if shape[-2] != d:
            raise ValueError("Input is not square")
        return (*shape[:-2], d * (d - 1) // 2)


def _shifted(x: Tensor) -> Tensor:
    """Each row moved to the right by one, after a 1."""
    return ops.cat([x.new_ones((*x.shape[:-1], 1)), x[..., :-1]], -1)
