"""Parametrisations that are there: weight norm, spectral norm, orthogonal matrices."""

from ... import linalg
from ...autograd.mode import no_grad
from ...autograd.variable import Tensor
from ...dtypes import finfo
from ...ops import allclose, cat, eye, geqrf, matmul, matrix_exp, randn, zeros_like
from .. import functional as F
from ..modules.module import Module
from . import norms, parametrize

MAPS = ("matrix_exp", "cayley", "householder")
WARM_UP = 15  # power iterations when a spectral norm is registered


# -- weight norm ------------------------------------------------------------------------------------------------------
class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return norms.weight_norm(weight_v, weight_g, self.dim)

    def right_inverse(self, weight):
        return norms.norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train the size (original0) and the direction (original1) of a weight apart: Salimans and Kingma (2016).

    dim: norms are taken over all dimensions but this one; None: over all. -> the module.
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def load_older(state_dict, prefix, *_):
        """State that the older `nn.utils.weight_norm` saved."""
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(load_older)
    return module


# -- spectral norm ----------------------------------------------------------------------------------------------------
class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, {weight.ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps = dim % weight.ndim, eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            u, v = norms.random_vectors(weight, self.dim, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)
            norms.iterate(norms.as_matrix(weight, self.dim), u, v, WARM_UP, eps, u_first=True)

    def forward(self, weight):
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = norms.as_matrix(weight, self.dim)
        if self.training:
            norms.iterate(matrix, self._u, self._v, self.n_power_iterations, self.eps, u_first=True)
        return weight / norms.largest_singular_value(matrix, self._u, self._v)

    def right_inverse(self, value):
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """A weight divided by its largest singular value: Miyato et al. (2018).

    The weight counts as a matrix with dimension `dim` first (None: that of the outputs). -> the module.
    """
    weight = _tensor(module, name)
    dim = norms.usual_dim(module) if dim is None else dim
    parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module


# -- orthogonal -------------------------------------------------------------------------------------------------------
class _Orthogonal(Module):
    def __init__(self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True):
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:  # Lezcano-Casado (2019): the map is taken around `base`
            self.register_buffer("base", None)

    def forward(self, X):
        wide = X.shape[-2] < X.shape[-1]
        X = X.mT if wide else X
        Q = self._householder(X) if self.orthogonal_map == "householder" else self._exponential(X)
        if hasattr(self, "base"):
            Q = matmul(self.base, Q)
        return Q.mT if wide else Q

    def _exponential(self, X):
        """The matrix exponential, or Cayley's rational approximation, of a skew-symmetric matrix."""
        n, k = X.shape[-2:]
        X = X.tril()
        if n != k:
            X = cat([X, X.new_zeros(*X.shape[:-1], n - k)], dim=-1)
        A = X - X.mH
        if self.orthogonal_map == "matrix_exp":
            Q = matrix_exp(A)
        else:
            identity = eye(n, dtype=A.dtype, device=A.device)
            Q = linalg.solve(identity - A * 0.5, identity + A * 0.5)
        return Q[..., :k]

    def _householder(self, X):
        """A product of Householder reflections, whose diagonal holds only signs."""
        A = X.tril(diagonal=-1)
        tau = 2.0 / (1.0 + (A * A).sum(dim=-2))
        return linalg.householder_product(A, tau) * X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    @no_grad()
    def right_inverse(self, Q):
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}."
            )
        start = zeros_like(Q)
        wide = Q.shape[-2] < Q.shape[-1]
        Q = Q.mT if wide else Q
        n, k = Q.shape[-2:]
        if not hasattr(self, "base"):
            return self._reflections(Q, wide)
        if n != k:
            Q = cat([Q, randn(*Q.shape[:-1], n - k, dtype=Q.dtype, device=Q.device)], dim=-1)
            self.base = _orthogonal(Q)
        else:
            self.base = Q.clone() if _is_orthogonal(Q) else _orthogonal(Q)
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)  # any map sends -1 on the diagonal to the identity
        return start

    def _reflections(self, Q, wide: bool):
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                "use_trivialization=False."
            )
        A, tau = geqrf(Q)
        diagonal = A.diagonal(dim1=-2, dim2=-1)
        diagonal.sign_()
        diagonal[tau == 0.0] *= -1
        return A.mT if wide else A


def _is_orthogonal(Q) -> bool:
    n, k = Q.shape[-2:]
    return allclose(matmul(Q.mH, Q), eye(k, dtype=Q.dtype, device=Q.device), atol=10.0 * n * finfo(Q.dtype).eps)


def _orthogonal(A):
    """The orthogonal factor of A's QR decomposition whose other factor has a positive diagonal."""
    X, tau = geqrf(A)
    return linalg.householder_product(X, tau) * X.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """A weight (*, n, k) with orthonormal columns (rows, if there are fewer); -> the module.

    orthogonal_map: "matrix_exp" (None, for square and complex weights), "cayley", "householder" (None, for others).
    """
    weight = _tensor(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)


def _tensor(module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight
