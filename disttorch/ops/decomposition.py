"""Matrix decompositions: Cholesky, QR, SVD, eigenvalues. Matrices are the last two dimensions, batches before.

Gradients: M. Giles (2008) for Cholesky and eigenvalues; J. Townsend, "Differentiating the singular value decomposition"
(2016); H.-J. Liao et al., "Differentiable programming tensor networks" (2019) for QR. Where a factor is defined up to a
phase, the gradient is that of a loss that does not depend on the phase.
"""

import numpy as np

from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from .arguments import need_tensor
from .complexes import complex
from .diagonal import diag_embed
from .joining import cat
from .named import named
from .solving import LinAlgError, _solve, _solve_triangular, adjoint, check_matrix, check_square


def give(name: str, fields: tuple, made: tuple, out):
    """The parts of a result under their names, or written to `out`."""
    kind = named(name, *fields)
    return kind(*made) if out is None else kind(*[write(o, t) for o, t in zip(out, made, strict=True)])


# -- Cholesky ---------------------------------------------------------------------------------------------------------
def _cholesky_forward(a):
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        batch, order = not_positive(a)
        where = f"(Batch element {batch}): " if a.ndim > 2 else ""
        raise LinAlgError(
            f"linalg.cholesky: {where}The factorization could not be completed because the input is not "
            f"positive-definite (the leading minor of order {order} is not positive-definite)."
        ) from None


def not_positive(a) -> tuple:
    """The first matrix of a batch without a Cholesky factor: its index and the order of its first minor that fails."""
    for i, m in enumerate(a.reshape(-1, *a.shape[-2:])):
        for k in range(1, len(m) + 1):
            try:
                np.linalg.cholesky(m[:k, :k])
            except np.linalg.LinAlgError:
                return i, k
    return 0, 0


def _half_diagonal(x):
    """The lower triangle with its diagonal halved (and made real)."""
    lower = x.tril()
    d = lower.diagonal(0, -2, -1)
    return lower - diag_embed(d - (d.real if x.dtype.is_complex else d) / 2)


def _cholesky_rule(g, out):
    inner = _half_diagonal(adjoint(out) @ g.tril())
    lifted = _solve_triangular(adjoint(out), inner, True, False)
    ga = adjoint(_solve_triangular(adjoint(out), adjoint(lifted), True, False))
    return (ga + adjoint(ga)) / 2


_cholesky = Op("LinalgCholeskyExBackward0", _cholesky_forward, params=("a",), a=_cholesky_rule)


def linalg_cholesky(A, *, upper=False, out=None):
    """L with L L^H = A for positive-definite A (its lower triangle is read); `upper`: L^H. LinAlgError if there is
    none.
    """
    check_square(A, "linalg.cholesky")
    factor = _cholesky(adjoint(A) if upper else A)
    return write(out, adjoint(factor) if upper else factor)


def cholesky(input, upper=False, *, out=None):
    """L with L L^H = input; `upper`: L^H."""
    check_square(input, "cholesky")
    return linalg_cholesky(input, upper=upper, out=out)


def cholesky_ex(A, *, upper=False, check_errors=False, out=None):
    """(L, info): info is 0 where the factor exists, else the order of the minor that failed."""
    check_square(A, "linalg.cholesky")
    info = np.zeros(A._data.shape[:-2], np.int32)
    try:
        factor = linalg_cholesky(A, upper=upper)
    except LinAlgError:
        if check_errors:
            raise
        factor = np.zeros_like(A._data)
        for i in np.ndindex(info.shape):
            info[i] = not_positive(A._data[i])[1]
            factor[i] = np.tril(A._data[i]) if info[i] else np.linalg.cholesky(A._data[i])
        factor = wrap(factor, A.device)
    return give("linalg_cholesky_ex", ("L", "info"), (factor, wrap(info, A.device)), out)


def _inverse_by_factor(factor, upper):
    factor = np.triu(factor) if upper else np.tril(factor)
    h = np.conj(np.swapaxes(factor, -1, -2))
    return np.linalg.inv(h @ factor if upper else factor @ h)


def _inverse_by_factor_rule(g, factor, upper, out):
    inner = out @ (g + adjoint(g)) @ out
    return -(factor @ inner) if upper else -(inner @ factor)


_cholesky_inverse = Op(
    "CholeskyInverseBackward0", _inverse_by_factor, params=("factor", "upper"), factor=_inverse_by_factor_rule
)


def cholesky_inverse(input, upper=False, *, out=None):
    """The inverse of the matrix whose Cholesky factor is `input`."""
    check_square(input, "cholesky_inverse")
    return write(out, _cholesky_inverse(input, upper))


def _solve_by_factor(b, factor, upper):
    factor = np.triu(factor) if upper else np.tril(factor)
    h = np.conj(np.swapaxes(factor, -1, -2))
    first, second = (h, factor) if upper else (factor, h)
    return np.linalg.solve(second, np.linalg.solve(first, b))


def _solve_by_factor_rule(g, needs, factor, upper, out):
    gb = _cholesky_solve(g, factor, upper)
    if not needs[1]:
        return gb, None
    both = gb @ adjoint(out)
    both = both + adjoint(both)
    return gb if needs[0] else None, -(factor @ both) if upper else -(both @ factor)


_cholesky_solve = Op(
    "CholeskySolveBackward0",
    _solve_by_factor,
    params=("b", "factor", "upper"),
    inputs=("b", "factor"),
    joint=_solve_by_factor_rule,
)


def cholesky_solve(input, L, upper=False, *, out=None):
    """X with A X = input, where `L` is A's Cholesky factor."""
    need_tensor(input, "cholesky_solve", "input", 1)
    for t, what in ((input, "b"), (L, "u")):
        if t._data.ndim < 2:
            raise RuntimeError(f"{what} should have at least 2 dimensions, but has {t._data.ndim} dimensions instead")
    return write(out, _cholesky_solve(input, L, upper))


# -- QR ---------------------------------------------------------------------------------------------------------------
def _mirrored(x):
    """The upper triangle below the diagonal too, conjugated; the diagonal made real."""
    upper = x.triu()
    d = upper.diagonal(0, -2, -1)
    return upper + adjoint(upper) - diag_embed(d.real.to(x.dtype) if x.dtype.is_complex else d)


def _tall_qr(gq, gr, q, r):
    m = gr @ adjoint(r) - adjoint(q) @ gq
    ga = gq + q @ _mirrored(m)
    return adjoint(_solve_triangular(r, adjoint(ga), True, False))  # ga R^-H


def _qr_rule(grads, q, r, mode):
    gq, gr = grads
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, "
            "mode='reduced') if you are going to require gradients through Q or R."
        )
    m, n, k = q._data.shape[-2], r._data.shape[-1], r._data.shape[-2]
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
    if m >= n:
        return _tall_qr(gq, gr, q, r)
    gv, v = gr.narrow(-1, k, n - k), q @ r.narrow(-1, k, n - k)
    left = _tall_qr(gq + v @ adjoint(gv), gr.narrow(-1, 0, k), q, r.narrow(-1, 0, k))
    return cat([left, q @ gv], -1)


_qr = Op(
    "LinalgQrBackward0",
    lambda a, mode: tuple(np.linalg.qr(a, mode)),
    outputs=("q", "r"),
    params=("a", "mode"),
    a=_qr_rule,
)
_r_alone = Op(
    "LinalgQrBackward0",
    lambda a, mode: np.linalg.qr(a, mode),
    params=("a", "mode"),
    a=lambda g, a, mode: _qr_rule((g, g), a, a, mode),
)


def linalg_qr(A, mode="reduced", *, out=None):
    """(Q, R) with A = Q R: mode "reduced", "complete" (square Q) or "r" (an empty Q)."""
    check_matrix(A, "linalg.qr")
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    made = (A.new_empty((0,)), _r_alone(A, "r")) if mode == "r" else _qr(A, mode)
    return give("linalg_qr", ("Q", "R"), made, out)


def qr(input, some=True, *, out=None):
    """(Q, R) with input = Q R; `some=False`: a square Q."""
    check_matrix(input, "linalg.qr")
    return give("qr", ("Q", "R"), tuple(linalg_qr(input, "reduced" if some else "complete")), out)


# -- singular values --------------------------------------------------------------------------------------------------
def _skew(x):
    return x - adjoint(x)


def _svd_rule(grads, u, s, vh):
    gu, gs, gvh = grads
    k = s._data.shape[-1]
    m, n = u._data.shape[-2], vh._data.shape[-1]
    u, gu = u.narrow(-1, 0, k), gu.narrow(-1, 0, k)
    vh, gvh = vh.narrow(-2, 0, k), gvh.narrow(-2, 0, k)
    uhgu, vhgv = adjoint(u) @ gu, vh @ adjoint(gvh)
    apart = s.unsqueeze(-2) ** 2 - s.unsqueeze(-1) ** 2 + diag_embed(s * 0 + 1)
    row, column = s.unsqueeze(-2), s.unsqueeze(-1)
    core = _off(_over(_skew(uhgu), apart)) * row + column * _off(_over(_skew(vhgv), apart)) + diag_embed(gs)
    if u.dtype.is_complex:
        turn = uhgu.diagonal(0, -2, -1).imag / s
        core = core + diag_embed(complex(turn * 0, turn))
    ga = u @ core @ vh
    if m > k:
        side = gu / row
        ga = ga + (side - u @ (adjoint(u) @ side)) @ vh
    if n > k:
        side = gvh / column
        ga = ga + u @ (side - (side @ adjoint(vh)) @ vh)
    return ga


def _off(x):
    return x - diag_embed(x.diagonal(0, -2, -1))


def _over(x, apart):
    """x / apart, and 0 where both are: equal values do not matter to vectors that nobody used."""
    return (x / apart).masked_fill((x == 0) & (apart == 0), 0)


def _svd_forward(a, full):
    u, s, vh = np.linalg.svd(a, full)
    return u, s.astype(a.real.dtype, copy=False), vh


_svd = Op("LinalgSvdBackward0", _svd_forward, outputs=("u", "s", "vh"), params=("a", "full"), a=_svd_rule)


def linalg_svd(A, full_matrices=True, *, driver=None, out=None):
    """(U, S, Vh) with A = U diag(S) Vh, S real and falling."""
    check_matrix(A, "linalg.svd")
    return give("linalg_svd", ("U", "S", "Vh"), _svd(A, full_matrices), out)


def svd(input, some=True, compute_uv=True, *, out=None):
    """(U, S, V) with input = U diag(S) V^H."""
    check_matrix(input, "linalg.svd")
    if not compute_uv:
        m, n = input._data.shape[-2:]
        batch = input._data.shape[:-2]
        made = (input.new_zeros((*batch, m, m)), svdvals(input), input.new_zeros((*batch, n, n)))
    else:
        u, s, vh = _svd(input, not some)
        made = (u, s, adjoint(vh))
    return give("svd", ("U", "S", "V"), made, out)


def _svdvals_rule(g, a):
    u, _, vh = _svd(a, False)
    return (u * g.unsqueeze(-2)) @ vh


_svdvals = Op(
    "LinalgSvdBackward0",
    lambda a: np.linalg.svd(a, compute_uv=False).astype(a.real.dtype, copy=False),
    params=("a",),
    a=_svdvals_rule,
)


def svdvals(A, *, driver=None, out=None):
    """The singular values alone."""
    check_matrix(A, "linalg.svd")
    return write(out, _svdvals(A))


# -- eigenvalues ------------------------------------------------------------------------------------------------------
def _eigh_rule(grads, values, vectors):
    g_values, g_vectors = grads
    inner = adjoint(vectors) @ g_vectors
    apart = values.unsqueeze(-2) - values.unsqueeze(-1) + diag_embed(values * 0 + 1)
    ga = vectors @ (_off(_over(inner, apart)) + diag_embed(g_values)) @ adjoint(vectors)
    return (ga + adjoint(ga)) / 2


def _eigh_forward(a, uplo):
    values, vectors = np.linalg.eigh(a, uplo)
    return values, vectors


_eigh = Op("LinalgEighBackward0", _eigh_forward, outputs=("values", "vectors"), params=("a", "uplo"), a=_eigh_rule)


def _check_uplo(UPLO: str, name: str) -> str:
    if str(UPLO).upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


def eigh(A, UPLO="L", *, out=None):
    """(eigenvalues, eigenvectors) of Hermitian matrices, values real and rising; one triangle of A is read."""
    check_square(A, "linalg.eigh")
    return give("linalg_eigh", ("eigenvalues", "eigenvectors"), _eigh(A, _check_uplo(UPLO, "linalg.eigh")), out)


def _eigvalsh_rule(g, a, uplo):
    _, vectors = _eigh(a, uplo)
    return (vectors * g.unsqueeze(-2)) @ adjoint(vectors)


_eigvalsh = Op(
    "LinalgEighBackward0", lambda a, uplo: np.linalg.eigvalsh(a, uplo), params=("a", "uplo"), a=_eigvalsh_rule
)


def eigvalsh(A, UPLO="L", *, out=None):
    """The eigenvalues of Hermitian matrices, rising."""
    check_square(A, "linalg.eigvalsh")
    return write(out, _eigvalsh(A, _check_uplo(UPLO, "linalg.eigvalsh")))


def _eig_rule(grads, values, vectors):
    g_values, g_vectors = grads
    vh = adjoint(vectors)
    inner = vh @ g_vectors
    scale = inner.diagonal(0, -2, -1).real.unsqueeze(-2)
    apart = (values.unsqueeze(-2) - values.unsqueeze(-1)).conj() + diag_embed(values * 0 + 1)
    core = _off(_over(inner - (vh @ vectors) * scale, apart)) + diag_embed(g_values)
    return _solve(vh, core @ vh)


def _eig_forward(a):
    values, vectors = np.linalg.eig(a)
    kind = np.result_type(a.dtype, np.complex64)
    return values.astype(kind, copy=False), vectors.astype(kind, copy=False)


_eig = Op("LinalgEigBackward0", _eig_forward, outputs=("values", "vectors"), params=("a",), a=_eig_rule)


def eig(A, *, out=None):
    """(eigenvalues, eigenvectors) of square matrices, complex."""
    _check_finite(A, "linalg.eig")
    return give("linalg_eig", ("eigenvalues", "eigenvectors"), _eig(A), out)


def eigvals(A, *, out=None):
    """The eigenvalues of square matrices, complex."""
    _check_finite(A, "linalg.eigvals")
    return write(out, _eig(A)[0])


def _check_finite(A: Tensor, name: str) -> None:
    check_square(A, name)
    if not np.isfinite(A._data).all():
        raise RuntimeError(
            f"{name}: input tensor should not contain infs or NaNs.".replace("linalg.eigvals", "torch.linalg.eig")
        )


__all__ = ["cholesky", "cholesky_inverse", "cholesky_solve", "qr", "svd"]
