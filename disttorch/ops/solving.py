"""Linear systems: inverses, solutions, least squares, determinants. Matrices are the last two dimensions, batches
before.

Gradients follow M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008), with conjugate transposes for complex matrices.
"""

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from .arguments import need_tensor, type_name
from .arithmetic import conj
from .named import named
from .pointwise import scalar_name
from .reduction import sum as _sum_all


def adjoint(t: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    return conj(t.transpose(-2, -1))


def check_matrix(t, name: str, argument: str = "A") -> None:
    """TypeError or RuntimeError (PyTorch's texts) unless `t` is a batch of matrices in a floating or complex dtype."""
    if not isinstance(t, Tensor):
        raise TypeError(f"{name}(): argument '{argument}' (position 1) must be Tensor, not {type_name(t)}")
    if t._data.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")
    check_linalg_dtype(t, name)


def check_linalg_dtype(t: Tensor, name: str) -> None:
    if t.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(t)}")
    if t.dtype.itemsize == 2:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {scalar_name(t)}")


def check_square(t, name: str, argument: str = "A") -> None:
    check_matrix(t, name, argument)
    m, n = t._data.shape[-2:]
    if m != n:
        raise RuntimeError(f"{name}: {argument} must be batches of square matrices, but they are {m} by {n} matrices")


def _kept(function):
    """NumPy's result in the input's precision; its LinAlgError is told by the caller."""

    def forward(a, *args):
        return np.asarray(function(a, *args)).astype(a.dtype, copy=False)

    return forward


class LinAlgError(RuntimeError):
    """A matrix that cannot be inverted or decomposed."""


LinAlgError.__module__ = "torch.linalg"


def singular_at(a) -> tuple:
    """The first matrix of a batch that is exactly singular, as PyTorch counts: its index and the column without a
    pivot.
    """
    flat = a.reshape(-1, *a.shape[-2:])
    for i, m in enumerate(flat):
        u = m.copy()
        for k in range(len(u)):
            p = k + int(np.argmax(np.abs(u[k:, k])))
            if u[p, k] == 0:
                return i, k + 1
            u[[k, p]] = u[[p, k]]
            u[k + 1 :, k:] -= np.outer(u[k + 1 :, k] / u[k, k], u[k, k:])
    return 0, a.shape[-1]


def _raise_singular(name: str, a, what: str) -> None:
    batch, column = singular_at(a)
    where = f"(Batch element {batch}): " if a.ndim > 2 else ""
    raise LinAlgError(
        f"{name}: {where}The diagonal element {column} is zero, {what} because the input matrix is singular."
    ) from None


# -- inverse ----------------------------------------------------------------------------------------------------------
def _inverse(a):
    try:
        return np.linalg.inv(a)
    except np.linalg.LinAlgError:
        _raise_singular("linalg.inv", a, "the inversion could not be completed")


_inv = Op("LinalgInvExBackward0", _kept(_inverse), params=("a",), a=lambda g, out: -(adjoint(out) @ g @ adjoint(out)))


def inv(A, *, out=None):
    """The inverse of square matrices. LinAlgError for a singular one."""
    check_square(A, "linalg.inv")
    return write(out, _inv(A))


def inverse(input, *, out=None):
    """The inverse of square matrices (*, N, N); an older name of `linalg.inv`."""
    return inv(input, out=out)


def inv_ex(A, *, check_errors=False, out=None):
    """(inverse, info): info is 0 where the inverse exists, else the column at which it failed."""
    check_square(A, "linalg.inv_ex" if not check_errors else "linalg.inv")
    info = np.zeros(A._data.shape[:-2], np.int32)
    try:
        value = _inv(A)
    except LinAlgError:
        if check_errors:
            raise
        value, info = _inv_each(A, info)
    made = (value, wrap(info, A.device))
    return named("linalg_inv_ex", "inverse", "info")(
        *made if out is None else [write(o, t) for o, t in zip(out, made, strict=True)]
    )


def _inv_each(A, info):
    value = np.empty_like(A._data)
    for i in np.ndindex(info.shape):
        try:
            value[i] = np.linalg.inv(A._data[i])
        except np.linalg.LinAlgError:
            value[i], info[i] = np.inf, singular_at(A._data[i])[1]
    return wrap(value, A.device), info


# -- A X = B ----------------------------------------------------------------------------------------------------------
def _solution(a, b):
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        batch = f"(Batch element {singular_at(a)[0]}): " if a.ndim > 2 else ""
        raise LinAlgError(
            f"torch.linalg.solve: {batch}The solver failed because the input matrix is singular."
        ) from None


def _solve_rule(g, needs, a, out):
    gb = _solve(adjoint(a), g)
    return (-(gb @ adjoint(out)) if needs[0] else None, gb if needs[1] else None)


_solve = Op("LinalgSolveExBackward0", _kept(_solution), params=("a", "b"), inputs=("a", "b"), joint=_solve_rule)


def _is_vector(A, B) -> bool:
    a, b = A._data.shape, B._data.shape
    return len(b) == 1 or (len(a) - 1 == len(b) and b == a[:-1])


def solve(A, B, *, left=True, out=None):
    """X with A X = B (or X A = B without `left`); B holds matrices, or vectors where it has A's batch and one dimension
    less.
    """
    need_tensor(B, "linalg_solve", "B", 2)
    check_square(A, "linalg.solve")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"linalg.solve: Expected A and B to have the same dtype, but found A of type {scalar_name(A)} and B of "
            f"type {scalar_name(B)} instead"
        )
    vector = _is_vector(A, B)
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In this case "
            "linalg.solve is equivalent to B / A.squeeze(-1)"
        )
    b = B.unsqueeze(-1) if vector else B
    if b._data.ndim < 2 or b._data.shape[-2 if left else -1] != A._data.shape[-1]:
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({A._data.shape[-2]}x{A._data.shape[-1]} and {b._data.shape[-2]}x{b._data.shape[-1]})"
        )
    x = _solve(A, b) if left else adjoint(_solve(adjoint(A), adjoint(b)))
    return write(out, x.squeeze(-1) if vector else x)


def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """(result, info) of `solve`; info is 0 where a solution exists."""
    x = solve(A, B, left=left)
    made = (x, wrap(np.zeros(A._data.shape[:-2], np.int32), A.device))
    return named("linalg_solve_ex", "result", "info")(
        *made if out is None else [write(o, t) for o, t in zip(out, made, strict=True)]
    )


def _triangle(a, upper: bool, unit: bool):
    a = np.triu(a) if upper else np.tril(a)
    if unit:
        a = a.copy()
        i = np.arange(a.shape[-1])
        a[..., i, i] = 1
    return a


def _triangular(a, b, upper, unit):
    return np.linalg.solve(_triangle(a, upper, unit), b)


def _triangular_rule(g, needs, a, out, upper, unit):
    gb = _solve_triangular(adjoint(a), g, not upper, unit)
    if not needs[0]:
        return None, gb
    ga = -(gb @ adjoint(out))
    return (ga.triu(int(unit)) if upper else ga.tril(-int(unit))), gb if needs[1] else None


_solve_triangular = Op(
    "LinalgSolveTriangularBackward0",
    _kept(_triangular),
    params=("a", "b", "upper", "unit"),
    inputs=("a", "b"),
    joint=_triangular_rule,
)


def solve_triangular(A, B, *, upper, left=True, unitriangular=False, out=None):
    """X with A X = B (or X A = B without `left`), reading one triangle of A alone (and 1 on its diagonal if
    `unitriangular`).
    """
    check_square(A, "linalg.solve_triangular")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"linalg.solve_triangular: Expected A and B to have the same dtype, but found A of type {scalar_name(A)} "
            f"and B of type {scalar_name(B)} instead"
        )
    if B._data.ndim < 2 or B._data.shape[-2 if left else -1] != A._data.shape[-1]:
        raise RuntimeError(
            "linalg.solve_triangular: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({A._data.shape[-2]}x{A._data.shape[-1]} and "
            f"{B._data.shape[-2]}x{B._data.shape[-1]})"
        )
    if left:
        return write(out, _solve_triangular(A, B, upper, unitriangular))
    return write(out, adjoint(_solve_triangular(adjoint(A), adjoint(B), not upper, unitriangular)))


def triangular_solve(input, A, upper=True, transpose=False, unitriangular=False, *, out=None):
    """(solution, A) of A X = input for a triangular A (or its transpose)."""
    need_tensor(input, "triangular_solve", "input", 1)
    x = _solve_triangular(A.transpose(-2, -1) if transpose else A, input, upper != transpose, unitriangular)
    cloned = A.clone()
    return named("triangular_solve", "solution", "cloned_coefficient")(x, cloned)


# -- determinants -----------------------------------------------------------------------------------------------------
def _cofactors(a):
    """The matrix whose entries are the derivatives of det(a): det(U) det(Vh) U diag(products of the other values)
    Vh.
    """
    u, s, vh = np.linalg.svd(a)
    n = s.shape[-1]
    others = np.stack([np.prod(np.delete(s, i, -1), -1) for i in range(n)], -1) if n else s
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return (np.conj(sign)[..., None, None] * ((u * others[..., None, :]) @ vh)).astype(a.dtype)


def _det_rule(g, a, out):
    wide = g.unsqueeze(-1).unsqueeze(-1)
    if bool((out._data != 0).all()):
        return wide * conj(out).unsqueeze(-1).unsqueeze(-1) * adjoint(inv(a))
    return wide * wrap(_cofactors(a._data), a.device)  # singular: no inverse, and no second derivative


_det = Op("LinalgDetBackward0", _kept(np.linalg.det), params=("a",), a=_det_rule)


def det(A, *, out=None):
    """The determinant of square matrices."""
    check_square(A, "linalg.det")
    return write(out, _det(A))


def _slogdet_rule(grads, a, sign):
    g_sign, g_log = grads
    w = g_log
    if a.dtype.is_complex:
        from .complexes import complex

        w = complex(g_log, -(conj(g_sign) * sign).imag)
    return w.unsqueeze(-1).unsqueeze(-1) * adjoint(inv(a))


def _slogdet_forward(a):
    sign, value = np.linalg.slogdet(a)
    return np.asarray(sign, a.dtype), np.asarray(value, a.real.dtype)


_slogdet = Op("LinalgSlogdetBackward0", _slogdet_forward, outputs=("sign", "value"), params=("a",), a=_slogdet_rule)


def slogdet(A, *, out=None):
    """(sign, logabsdet): the determinant's sign (or phase) and the logarithm of its absolute value."""
    check_square(A, "linalg.slogdet")
    made = _slogdet(A)
    return named("linalg_slogdet", "sign", "logabsdet")(
        *made if out is None else [write(o, t) for o, t in zip(out, made, strict=True)]
    )


def logdet(input):
    """log(det(input)); NaN for a negative determinant."""
    check_square(input, "logdet", "input")
    sign, value = slogdet(input)
    if input.dtype.is_complex:
        return sign.log() + value
    return value + wrap(np.where(sign._data < 0, np.nan, 0).astype(input._data.dtype), input.device)


# -- least squares ----------------------------------------------------------------------------------------------------
def lstsq(A, B, rcond=None, *, driver=None):
    """(solution, residuals, rank, singular_values) of min |A X - B|; residuals only for tall matrices of full rank."""
    need_tensor(B, "linalg_lstsq", "b", 2)
    check_matrix(A, "torch.linalg.lstsq", "input")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            f"torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), but got {driver}"
        )
    driver = driver or "gelsy"
    from .pseudo import pinv

    vector = _is_vector(A, B)
    b = B.unsqueeze(-1) if vector else B
    m, n = A._data.shape[-2:]
    if b._data.shape[-2] != m:
        raise RuntimeError(
            f"torch.linalg.lstsq: input.size(-2) should match other.size({-1 if vector or B._data.ndim == 1 else -2})"
        )
    x = pinv(A, rtol=rcond) @ b
    s = np.linalg.svd(A._data, compute_uv=False)
    tolerance = (np.finfo(s.dtype).eps * max(m, n) if rcond is None else rcond) * s.max(-1, keepdims=True, initial=0)
    rank = (s > tolerance).sum(-1)
    residuals = x.reshape(x._data.size).narrow(0, 0, 0)
    if m > n and driver != "gelsy" and bool((rank == n).all()):
        r = A @ x - b
        residuals = _sum_all((r * conj(r)).real if A.dtype.is_complex else r * r, -2)
    empty = wrap(np.empty(0, s.dtype), A.device)
    return named("linalg_lstsq", "solution", "residuals", "rank", "singular_values")(
        x.squeeze(-1) if vector else x,
        residuals,
        wrap(np.asarray(rank, np.int64), A.device) if driver != "gels" else wrap(np.empty(0, np.int64), A.device),
        wrap(s, A.device) if driver in ("gelsd", "gelss") else empty,
    )


def tensorinv(A, ind=2, *, out=None):
    """The inverse of a tensor as a linear map from its last dimensions to its first `ind`."""
    need_tensor(A, "linalg_tensorinv", "A", 1)
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    shape = A._data.shape
    left, right = shape[:ind], shape[ind:]
    rows, columns = int(np.prod(left)), int(np.prod(right))
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{columns} != {rows}"
        )
    return write(out, inv(A.reshape(rows, columns)).reshape(*right, *left))


def tensorsolve(A, B, dims=None, *, out=None):
    """X with tensordot(A, X, X.ndim) = B."""
    need_tensor(A, "linalg_tensorsolve", "A", 1)
    need_tensor(B, "linalg_tensorsolve", "other", 2)
    if dims is not None:
        dims = (dims,) if isinstance(dims, int) else tuple(dims)
        n = A._data.ndim
        moved = [d % n for d in dims]
        A = A.permute([d for d in range(n) if d not in moved] + moved)
    shape = A._data.shape[B._data.ndim :]
    columns = int(np.prod(shape))
    if columns != B._data.size or A._data.size != columns * columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {columns} != {int(np.prod(A._data.shape[: B._data.ndim]))}"
        )
    return write(out, solve(A.reshape(columns, columns), B.reshape(-1)).reshape(*shape))


__all__ = ["det", "inverse", "logdet", "slogdet", "triangular_solve"]
