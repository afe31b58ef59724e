"""The arithmetic of weight and spectral norm."""

from ...autograd.mode import no_grad
from ...ops import mv, vdot
from ...ops.norms import vector_norm
from .. import functional as F


def norm_except(v, dim: int):
    """The 2-norm over all dimensions but `dim`, kept with size 1; over all for -1."""
    if dim == -1:
        return vector_norm(v)
    return vector_norm(v, 2, [d for d in range(v.ndim) if d != dim % v.ndim], keepdim=True)


def weight_norm(v, g, dim: int):
    """v with the norms g: Salimans and Kingma (2016)."""
    return v * (g / norm_except(v, dim))


def as_matrix(weight, dim: int):
    """Dimension `dim` first, the others flattened."""
    if dim != 0:
        weight = weight.permute(dim, *[d for d in range(weight.ndim) if d != dim])
    return weight.reshape(weight.shape[0], -1)


def random_vectors(weight, dim: int, eps: float) -> tuple:
    """Starting points (u, v) of the power iteration."""
    rows, columns = as_matrix(weight, dim).shape
    u, v = (weight.data.new_empty(n).normal_(0, 1) for n in (rows, columns))
    return F.normalize(u, dim=0, eps=eps), F.normalize(v, dim=0, eps=eps)


@no_grad()
def iterate(matrix, u, v, times: int, eps: float, u_first: bool) -> None:
    """Bring u and v nearer to the first singular vectors, in place: Miyato et al. (2018)."""

    def left():
        u.copy_(F.normalize(mv(matrix, v), dim=0, eps=eps))

    def right():
        v.copy_(F.normalize(mv(matrix.t().conj(), u), dim=0, eps=eps))

    first, second = (left, right) if u_first else (right, left)
    for _ in range(times):
        first()
        second()


def largest_singular_value(matrix, u, v):
    """u^H M v, with copies of u and v that a later iteration leaves alone."""
    return vdot(u.clone(), mv(matrix, v.clone()))


def usual_dim(module) -> int:
    """The dimension of a weight that counts outputs."""
    from ..modules.conv import _ConvTransposeNd

    return 1 if isinstance(module, _ConvTransposeNd) else 0
