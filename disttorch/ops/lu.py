"""LU decomposition with partial pivoting (G. Golub, C. Van Loan, "Matrix Computations", algorithm 3.4.1), in
batches.
"""

import math

import numpy as np

from .. import dtypes
from ..autograd.op import Op
from ..autograd.variable import wrap
from .arguments import need_tensor
from .decomposition import give
from .solving import _solve_triangular, adjoint, check_matrix, check_square


def _factor(a, pivot: bool):
    """(L and U in one array, the row that was exchanged with each, counted from 0, the permutation of rows)."""
    lu = a.copy()
    m, n = lu.shape[-2:]
    batch = lu.shape[:-2]
    flat = lu.reshape(math.prod(batch), m, n)
    rows = np.arange(len(flat))
    pivots = np.tile(np.arange(min(m, n)), (len(flat), 1))
    order = np.tile(np.arange(m), (len(flat), 1))
    with np.errstate(all="ignore"):
        for k in range(min(m, n)):
            if pivot:
                p = k + np.argmax(np.abs(flat[:, k:, k]), 1)
                pivots[:, k] = p
                flat[rows, k], flat[rows, p] = flat[rows, p].copy(), flat[rows, k].copy()
                order[rows, k], order[rows, p] = order[rows, p].copy(), order[rows, k].copy()
            top = flat[:, k, k]
            flat[:, k + 1 :, k] = np.where(top[:, None] == 0, flat[:, k + 1 :, k], flat[:, k + 1 :, k] / top[:, None])
            flat[:, k + 1 :, k + 1 :] -= flat[:, k + 1 :, k, None] * flat[:, None, k, k + 1 :]
    return flat.reshape(lu.shape), pivots.reshape(*batch, min(m, n)), order.reshape(*batch, m)


def _lower(lu):
    """The unit lower factor (M, K)."""
    k = min(lu._data.shape[-2:])
    eye = wrap(np.eye(lu._data.shape[-2], k, dtype=lu._data.dtype), lu.device)
    return lu.narrow(-1, 0, k).tril(-1) + eye


def _upper(lu):
    k = min(lu._data.shape[-2:])
    return lu.narrow(-2, 0, k).triu()


def _factor_rule(g, out, order):
    """The gradient of A from that of the packed factors."""
    from .joining import cat

    lower, upper = _lower(out), _upper(out)
    m, n, k = *out._data.shape[-2:], lower._data.shape[-1]
    gl, gu = g.narrow(-1, 0, k).tril(-1), g.narrow(-2, 0, k).triu()
    l1, u1 = lower.narrow(-2, 0, k), upper.narrow(-1, 0, k)
    gl1, gu1 = gl.narrow(-2, 0, k), gu.narrow(-1, 0, k)
    right = below = None
    if n > k:  # U2 = L^-1 A2
        right = _solve_triangular(adjoint(l1), gu.narrow(-1, k, n - k), True, True)
        gl1 = gl1 - right @ adjoint(upper.narrow(-1, k, n - k))
    if m > k:  # L2 = A2 U^-1
        below = adjoint(_solve_triangular(u1, adjoint(gl.narrow(-2, k, m - k)), True, False))
        gu1 = gu1 - adjoint(lower.narrow(-2, k, m - k)) @ below
    inner = (adjoint(l1) @ gl1).tril(-1) + (gu1 @ adjoint(u1)).triu()
    inner = adjoint(_solve_triangular(u1, adjoint(inner), True, False))
    ga = _solve_triangular(adjoint(l1), inner, True, True)
    if right is not None:
        ga = cat([ga, right], -1)
    if below is not None:
        ga = cat([ga, below], -2)
    back = np.argsort(order, -1)[..., None]
    return ga.gather(-2, wrap(np.broadcast_to(back, ga._data.shape).copy(), g.device))


_lu = Op(
    "LinalgLuFactorExBackward0",
    lambda a, pivot: _packed(a, pivot),
    params=("a", "pivot"),
    outputs=("out",),
    keeps=("pivots", "order"),
    a=lambda g, out, order: _factor_rule(g, out, order),
)


def _packed(a, pivot):
    return _factor(a, pivot)


def _factors(A, pivot):
    """The packed factors as a tensor, the pivots (from 1) and the permutation as arrays."""
    _, pivots, order = _factor(A._data, pivot)
    return _lu(A, pivot), (pivots + 1).astype(np.int32), order


def _permutation(order, device, dtype):
    """The matrix P with A = P L U."""
    n = order.shape[-1]
    return wrap((np.arange(n)[:, None] == order[..., None, :]).astype(dtype.np), device)


def linalg_lu(A, *, pivot=True, out=None):
    """(P, L, U) with A = P L U; an empty P without `pivot`."""
    check_matrix(A, "linalg.lu")
    packed, _, order = _factors(A, pivot)
    p = _permutation(order, A.device, A.dtype) if pivot else A.new_empty((0,))
    return give("linalg_lu", ("P", "L", "U"), (p, _lower(packed), _upper(packed)), out)


def lu_factor(A, *, pivot=True, out=None):
    """(LU, pivots): both factors in one matrix, and the row (from 1) with which each was exchanged."""
    check_matrix(A, "torch.linalg.lu_factor")
    packed, pivots, _ = _factors(A, pivot)
    return give("linalg_lu_factor", ("LU", "pivots"), (packed, wrap(pivots, A.device)), out)


def lu_factor_ex(A, *, pivot=True, check_errors=False, out=None):
    """(LU, pivots, info): info is the first zero on U's diagonal, counted from 1, or 0."""
    check_matrix(A, "torch.linalg.lu_factor")
    packed, pivots, _ = _factors(A, pivot)
    zeros = np.diagonal(packed._data, 0, -2, -1) == 0
    info = np.where(zeros.any(-1), zeros.argmax(-1) + 1, 0).astype(np.int32)
    return give(
        "linalg_lu_factor_ex",
        ("LU", "pivots", "info"),
        (packed, wrap(pivots, A.device), wrap(np.asarray(info), A.device)),
        out,
    )


def lu(A, pivot=True, get_infos=False, out=None):
    """(LU, pivots), and the infos if asked for: `linalg.lu_factor_ex` in its older form."""
    packed, pivots, info = lu_factor_ex(A, pivot=pivot)
    return (packed, pivots, info) if get_infos else (packed, pivots)


def _order_of(pivots, m: int):
    """The permutation of rows that exchanges in turn row k with row pivots[k] - 1."""
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
    order = np.tile(np.arange(m), (len(flat), 1))
    rows = np.arange(len(flat))
    for k in range(flat.shape[-1]):
        p = flat[:, k] - 1
        order[rows, k], order[rows, p] = order[rows, p].copy(), order[rows, k].copy()
    return order.reshape(*pivots.shape[:-1], m)


def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True, *, out=None):
    """(P, L, U) from what `lu_factor` gives."""
    need_tensor(LU_data, "lu_unpack", "LU_data", 1)
    if unpack_pivots and LU_pivots.dtype is not dtypes.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
            "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor"
        )
    empty = LU_data.new_empty((0,))
    p, lower, upper = empty, empty, empty
    if unpack_pivots:
        p = _permutation(_order_of(LU_pivots._data, LU_data._data.shape[-2]), LU_data.device, LU_data.dtype)
    if unpack_data:
        lower, upper = _lower(LU_data), _upper(LU_data)
    return give("lu_unpack", ("P", "L", "U"), (p, lower, upper), out)


def linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """X with A X = B (or X A = B; A^H for `adjoint`), where (LU, pivots) is A's factorisation."""
    from ..autograd.inplace import write

    check_square(LU, "torch.linalg.lu_solve", "LU")
    from .solving import adjoint as flip

    order = _order_of(pivots._data, LU._data.shape[-1])
    p, lower, upper = _permutation(order, LU.device, LU.dtype), _lower(LU), _upper(LU)
    if not left:
        return write(out, flip(linalg_lu_solve(LU, pivots, flip(B), adjoint=not adjoint)))
    if adjoint:
        y = _solve_triangular(flip(upper), B, False, False)
        return write(out, p @ _solve_triangular(flip(lower), y, True, True))
    y = _solve_triangular(lower, p.transpose(-2, -1) @ B, False, True)
    return write(out, _solve_triangular(upper, y, True, False))


def lu_solve(b, LU_data, LU_pivots, *, out=None):
    """X with A X = b, where (LU_data, LU_pivots) is A's factorisation."""
    return linalg_lu_solve(LU_data, LU_pivots, b, out=out)


__all__ = ["lu", "lu_solve", "lu_unpack"]
