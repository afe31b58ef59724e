"""Decompositions of matrices of low rank by random projections.

N. Halko, P. Martinsson, J. Tropp, "Finding structure with randomness" (2009), algorithms 4.4 and 5.1.
"""

from .decomposition import linalg_qr, linalg_svd
from .drawing import randn
from .solving import adjoint


def _basis(A, q: int, niter: int):
    """Q (*, m, q), orthonormal, with Q Q^H A near A."""
    q_of = linalg_qr(A @ randn(A.shape[-1], q, dtype=A.dtype, device=A.device)).Q
    for _ in range(niter):
        q_of = linalg_qr(adjoint(A) @ q_of).Q
        q_of = linalg_qr(A @ q_of).Q
    return q_of


def svd_lowrank(A, q=6, niter=2, M=None):
    """(U, S, V) with U diag(S) V^H near A (*, m, n), less M where given: the `q` largest singular values.

    niter: rounds of subspace iteration, which sharpen the approximation. Draws random numbers.
    """
    q = 6 if q is None else q
    if M is not None:
        A = A - M.broadcast_to(A.shape)
    wide = A.shape[-2] < A.shape[-1]
    if wide:
        A = adjoint(A)
    basis = _basis(A, q, 2 if niter is None else niter)
    u, s, vh = linalg_svd(adjoint(basis) @ A, full_matrices=False)
    u, v = basis @ u, adjoint(vh)
    return (v, s, u) if wide else (u, s, v)


def pca_lowrank(A, q=None, center=True, niter=2):
    """(U, S, V): V's columns are the `q` (6 at most unless given) principal directions of A's rows (*, m, n).

    center: the columns' means are taken off first. ValueError for a q or niter out of range.
    """
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)


__all__ = ["pca_lowrank", "svd_lowrank"]
