"""What is defined by singular values, and functions of matrices: pinv, rank, cond, powers, exp, chains of products."""

import math
import warnings
from itertools import pairwise

import numpy as np

from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from .arguments import need_tensor, need_tensors
from .arithmetic import conj
from .decomposition import svdvals
from .dims import axis
from .joining import cat
from .norms import matrix_norm
from .pointwise import broadcast_error, scalar_name
from .solving import LinAlgError, adjoint, check_matrix, check_square, inv


def _tolerance(s, shape, atol, rtol):
    """PyTorch's threshold below which a singular value counts as 0."""
    plain = lambda t: t._data if isinstance(t, Tensor) else t  # noqa: E731
    if rtol is None:
        rtol = 0.0 if atol is not None and np.all(np.asarray(plain(atol)) > 0) else np.finfo(s.dtype).eps * max(shape)
    top = s.max(-1, initial=0)
    return np.maximum(np.asarray(0.0 if atol is None else plain(atol)), np.asarray(plain(rtol)) * top)[..., None]


def _pinv_forward(a, atol, rtol):
    if a.size == 0:
        return np.zeros_like(a, shape=(*a.shape[:-2], a.shape[-1], a.shape[-2]))
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    keep = s > _tolerance(s, a.shape[-2:], atol, rtol)
    inverse = np.where(keep, 1 / np.where(keep, s, 1), 0)
    return (np.conj(np.swapaxes(vh, -1, -2)) * inverse[..., None, :]) @ np.conj(np.swapaxes(u, -1, -2))


def _pinv_rule(g, a, out):
    """G. Golub, V. Pereyra (1973): the derivative at constant rank."""
    gh, outh = adjoint(g), adjoint(out)
    if a._data.shape[-2] <= a._data.shape[-1]:
        k = gh @ out
        k_outh = k @ outh
        return -adjoint(out @ k) + k_outh - (a @ out) @ k_outh + (outh @ out) @ (gh - k @ a)
    k = out @ gh
    outh_k = outh @ k
    return -adjoint(k @ out) + (gh - a @ k) @ out @ outh + outh_k - (outh_k @ out) @ a


_pinv = Op(
    "LinalgPinvBackward0",
    lambda a, atol, rtol: _pinv_forward(a, atol, rtol).astype(a.dtype, copy=False),
    params=("a", "atol", "rtol"),
    a=_pinv_rule,
)


def _hermitian_pinv_forward(a, atol, rtol):
    values, vectors = np.linalg.eigh(a)
    size = np.abs(values)
    keep = size > _tolerance(size, a.shape[-2:], atol, rtol)
    inverse = np.where(keep, 1 / np.where(keep, values, 1), 0)
    return ((vectors * inverse[..., None, :]) @ np.conj(np.swapaxes(vectors, -1, -2))).astype(a.dtype, copy=False)


_hermitian_pinv = Op("LinalgPinvBackward0", _hermitian_pinv_forward, params=("a", "atol", "rtol"), a=_pinv_rule)


def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The pseudoinverse; singular values up to max(atol, rtol * the largest) count as 0. rcond: as rtol."""
    rtol = rtol if rcond is None else rcond
    check_matrix(A, "linalg.pinv")
    if hermitian:
        check_square(A, "linalg.pinv")
        return write(out, _hermitian_pinv(A, atol, rtol))
    return write(out, _pinv(A, atol, rtol))


def pinverse(input, rcond=1e-15):
    """The pseudoinverse; singular values up to `rcond` times the largest count as 0."""
    return pinv(input, rtol=rcond)


def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The number of singular values above max(atol, rtol * the largest)."""
    check_matrix(A, "torch.linalg.matrix_rank", "input")
    atol, rtol = (tol, 0.0) if tol is not None else (atol, rtol)
    if A._data.size == 0:
        return write(out, wrap(np.zeros(A._data.shape[:-2], np.int64), A.device))
    s = np.abs(np.linalg.eigvalsh(A._data)) if hermitian else np.linalg.svd(A._data, compute_uv=False)
    rank = (s > _tolerance(s, A._data.shape[-2:], atol, rtol)).sum(-1)
    return write(out, wrap(np.asarray(rank, np.int64), A.device))


def cond(A, p=None, *, out=None):
    """The condition number in the norm p (2 if None): norm(A) * norm(inverse of A)."""
    check_matrix(A, "linalg.cond")
    if p in (None, 2, -2):
        s = svdvals(A)
        top, bottom = s.select(-1, 0), s.select(-1, -1)
        return write(out, bottom / top if p == -2 else top / bottom)
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    check_square(A, "linalg.cond")
    if A._data.size == 0:
        return write(out, matrix_norm(A, p) if p in ("fro", "nuc") else A.new_zeros(A._data.shape[:-2]).abs())
    try:
        inverse = inv(A)
    except LinAlgError:
        return write(out, matrix_norm(A, p) * math.inf)
    return write(out, matrix_norm(A, p) * matrix_norm(inverse, p))


# -- powers and exponentials ------------------------------------------------------------------------------------------
def matrix_power(A, n, *, out=None):
    """The n-th power of square matrices, by repeated squaring; negative powers of the inverse."""
    if not isinstance(A, Tensor) or A._data.dtype.kind not in "biu" or A._data.ndim < 2 or n < 0:
        check_square(A, "linalg.matrix_power")
    elif A._data.shape[-1] != A._data.shape[-2]:
        raise RuntimeError(
            "linalg.matrix_power: A must be batches of square matrices, but they are "
            f"{A._data.shape[-2]} by {A._data.shape[-1]} matrices"
        )
    if n < 0:
        return matrix_power(inv(A), -n, out=out)
    if n == 0:
        eye = np.broadcast_to(np.eye(A._data.shape[-1], dtype=A._data.dtype), A._data.shape).copy()
        return write(out, wrap(eye, A.device) + A * 0 if A.requires_grad else wrap(eye, A.device))
    result, base = None, A
    while n:
        if n & 1:
            result = base if result is None else result @ base
        n >>= 1
        base = base @ base if n else base
    return write(out, result if result is not A else A.clone())


# N. Higham, "The scaling and squaring method for the matrix exponential revisited" (2005): Pade [13/13] and its bound.
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
    10559470521600.0,
    670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_BOUND = 5.371920351148152


def _exponential(a):
    if a.size == 0:
        return a.copy()
    wide = a.astype(np.result_type(a, np.float64))
    size = np.abs(wide).sum(-2).max()
    squarings = max(0, math.ceil(math.log2(size / _PADE_BOUND))) if np.isfinite(size) and size > 0 else 0
    x = wide / 2.0**squarings
    eye = np.eye(a.shape[-1], dtype=x.dtype)
    b = _PADE
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    u = x @ (x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * eye)
    v = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * eye
    result = np.linalg.solve(v - u, v + u)
    for _ in range(squarings):
        result = result @ result
    return result.astype(a.dtype)


def _exp_rule(g, a):
    """The derivative in direction g is the upper right block of exp([[A^H, g], [0, A^H]])."""
    n, ah = a._data.shape[-1], adjoint(a)
    top, bottom = cat([ah, g], -1), cat([ah * 0, ah], -1)
    return _matrix_exp(cat([top, bottom], -2)).narrow(-2, 0, n).narrow(-1, n, n)


_matrix_exp = Op("LinalgMatrixExpBackward0", _exponential, params=("a",), a=_exp_rule)


def matrix_exp(A):
    """The matrix exponential, by scaling and squaring."""
    check_square(A, "linalg.matrix_exp")
    return _matrix_exp(A)


# -- chains and products ----------------------------------------------------------------------------------------------
def multi_dot(tensors, *, out=None):
    """The product of several matrices (the first and last may be vectors) in the cheapest order (Cormen et al.,
    15.2).
    """
    tensors = list(tensors)
    need_tensors(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    first, last = tensors[0]._data.ndim, tensors[-1]._data.ndim
    for i, t in enumerate(tensors):
        if i in (0, len(tensors) - 1):
            if t._data.ndim not in (1, 2):
                raise RuntimeError(
                    f"multi_dot(): the {'first' if i == 0 else 'last'} tensor must be 1D or 2D but got {t._data.ndim}D"
                )
        elif t._data.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {t._data.ndim}D")
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {scalar_name(tensors[0])} and "
                f"tensor {i} {scalar_name(t)}"
            )
    if first == 1:
        tensors[0] = tensors[0].unsqueeze(0)
    if last == 1:
        tensors[-1] = tensors[-1].unsqueeze(-1)
    for i, (a, b) in enumerate(pairwise(tensors)):
        if a._data.shape[1] != b._data.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a._data.shape)} and {list(b._data.shape)} "
                "cannot be multiplied"
            )
    result = _chain(tensors)
    if first == 1:
        result = result.squeeze(0)
    if last == 1:
        result = result.squeeze(-1)
    return write(out, result)


def _chain(matrices: list):
    sizes = [m._data.shape[0] for m in matrices] + [matrices[-1]._data.shape[1]]
    n = len(matrices)
    cost = [[0.0] * n for _ in range(n)]
    cut = [[0] * n for _ in range(n)]
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            cost[i][j], cut[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i, j):
        return matrices[i] if i == j else product(i, cut[i][j]) @ product(cut[i][j] + 1, j)

    return product(0, n - 1)


def linalg_cross(input, other, *, dim=-1, out=None):
    """The cross product along a dimension of size 3."""
    need_tensor(input, "linalg_cross", "input", 1)
    need_tensor(other, "linalg_cross", "other", 2)
    if input._data.ndim != other._data.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    d = axis(dim, input._data.ndim)
    if input._data.shape[d] != 3 or other._data.shape[d] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input._data.shape[d]} and "
            f"{other._data.shape[d]}"
        )
    turned = lambda t, k: t.roll(k, d)  # noqa: E731
    error = broadcast_error(input._data.shape, other._data.shape)
    if error is not None:
        raise error
    return write(out, turned(input, -1) * turned(other, -2) - turned(input, -2) * turned(other, -1))


def cross(input, other, dim=None, *, out=None):
    """The cross product along `dim` (the first of size 3 if None)."""
    need_tensor(other, "cross", "other", 2)
    if dim is None:
        warnings.warn(
            "Using torch.cross without specifying the dim arg is deprecated.\nPlease either pass the dim explicitly or "
            "simply use torch.linalg.cross.\nThe default value of dim will change to agree with that of linalg.cross "
            "in a future release.",
            stacklevel=2,
        )
        shape, others = input._data.shape, other._data.shape
        if broadcast_error(shape, others) is None:
            shape = np.broadcast_shapes(shape, others)
        found = [i for i, s in enumerate(shape) if s == 3]
        if not found:
            raise RuntimeError("no dimension of size 3 in input")
        dim = found[0]
    return linalg_cross(input, other, dim=dim, out=out)


def vecdot(x, y, *, dim=-1, out=None):
    """The sums of conj(x) * y along `dim`."""
    need_tensor(x, "linalg_vecdot", "x", 1)
    need_tensor(y, "linalg_vecdot", "y", 2)
    if x.dtype is not y.dtype:
        raise RuntimeError("linalg.vecdot: Expected vectors to have the same dtype")
    return write(out, (conj(x) * y).sum(dim))


def linalg_vander(x, *, N=None):
    """The powers 0 to N - 1 of each element, in a new last dimension."""
    need_tensor(x, "linalg_vander", "x", 1)
    x = x.reshape(1) if x._data.ndim == 0 else x
    n = x._data.shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError("N must be greater than 1.")
    one = (x * 0 + 1).unsqueeze(-1)
    return cat([one, x.unsqueeze(-1).expand(*x._data.shape, n - 1).cumprod(-1)], -1)


def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """The diagonal of the last two dimensions, as a view."""
    need_tensor(A, "linalg_diagonal", "A", 1)
    return A.diagonal(offset, dim1, dim2)


def householder_product(A, tau, *, out=None):
    """The first columns of the product of reflections I - tau v v^H, v the columns of A below a 1."""
    need_tensor(A, "linalg_householder_product", "A", 1)
    if A._data.ndim < 2:
        raise RuntimeError("torch.linalg.householder_product: input must have at least 2 dimensions.")
    m, n = A._data.shape[-2:]
    if m < n:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1]"
        )
    if n < tau._data.shape[-1]:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1]"
        )
    return write(out, _reflections(A, tau, n))


def _reflections(A, tau, columns):
    m = A._data.shape[-2]
    eye = np.broadcast_to(np.eye(m, columns, dtype=A._data.dtype), (*A._data.shape[:-2], m, columns)).copy()
    result = wrap(eye, A.device)
    if not tau._data.shape[-1]:
        return result + A.narrow(-1, 0, 0).sum(-1, True)
    for i in range(tau._data.shape[-1] - 1, -1, -1):
        unit = np.zeros((m, 1), A._data.dtype)
        unit[i] = 1
        below = wrap((np.arange(m) > i).astype(A._data.dtype)[:, None], A.device)
        v = A.narrow(-1, i, 1) * below + wrap(unit, A.device)
        result = result - tau.narrow(-1, i, 1).unsqueeze(-1) * (v @ (adjoint(v) @ result))
    return result


def orgqr(input, tau):
    """An older name of `linalg.householder_product`."""
    need_tensor(input, "orgqr", "input", 1)
    return householder_product(input, tau)


def ormqr(input, tau, other, left=True, transpose=False, *, out=None):
    """Q @ other (or other @ Q), Q (M, M) the product of the reflections that `geqrf` gives; `transpose`: Q^H."""
    need_tensor(input, "ormqr", "input", 1)
    if input._data.ndim < 2:
        raise RuntimeError("torch.ormqr: input must have at least 2 dimensions.")
    if other._data.ndim < 2:
        raise RuntimeError("torch.ormqr: other must have at least 2 dimensions.")
    m, k = other._data.shape[-2 if left else -1], tau._data.shape[-1]
    if m < k:
        raise RuntimeError(
            f"torch.ormqr: other.shape[{-2 if left else -1}] must be greater than or equal to tau.shape[-1]"
        )
    if m != input._data.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2]")
    if k != min(m, input._data.shape[-1]):
        raise RuntimeError(
            f"torch.ormqr: tau.shape[-1] must be equal to min(other.shape[{-2 if left else -1}], input.shape[-1])"
        )
    q = _reflections(input, tau, m)
    q = adjoint(q) if transpose else q
    return write(out, q @ other if left else other @ q)


def geqrf(input, *, out=None):
    """(a, tau): R and the reflections of a QR decomposition, as LAPACK keeps them."""
    from .decomposition import give

    check_matrix(input, "torch.geqrf", "input")
    h, tau = np.linalg.qr(input._data, "raw")
    made = (wrap(np.ascontiguousarray(np.swapaxes(h, -1, -2)), input.device), wrap(tau, input.device))
    return give("geqrf", ("a", "tau"), made, out)


__all__ = ["cross", "geqrf", "matrix_exp", "matrix_power", "orgqr", "ormqr", "pinverse"]
