"""Decomposition A = L D L^T of symmetric or Hermitian, perhaps indefinite matrices, by diagonal pivoting.

J. Bunch, L. Kaufman, "Some stable methods for calculating inertia and solving symmetric linear systems" (1977); G.
Golub, C. Van Loan, "Matrix Computations", algorithm 4.4.4. L is unit lower triangular, D has blocks of one or two on
its diagonal; pivots are told as LAPACK's sytrf does: row k was exchanged with row pivots[k] - 1, and two equal negative
ones stand for a block of two.
"""

import math

import numpy as np

from ..autograd.inplace import write
from ..autograd.variable import wrap
from .decomposition import give
from .solving import LinAlgError, check_square

_ALPHA = (1 + math.sqrt(17)) / 8  # bounds the growth of elements


def _choose(a, k: int) -> tuple[int, int]:
    """The size of the next block, and the row to exchange with its last one."""
    n = len(a)
    if k == n - 1:
        return 1, k
    column = np.abs(a[k + 1 :, k])
    top, at = np.abs(a[k, k]), k + 1 + int(column.argmax())
    most = column.max()
    if max(top, most) == 0 or top >= _ALPHA * most:
        return 1, k
    row = np.abs(np.delete(a[at, k:], at - k)).max()
    if top * row >= _ALPHA * most * most:
        return 1, k
    return (1, at) if np.abs(a[at, at]) >= _ALPHA * row else (2, at)


def _factor(matrix, hermitian: bool) -> tuple:
    """(L and D in one lower triangle, the pivots, the first zero block counted from 1 or 0)."""
    a, n = np.tril(matrix), len(matrix)
    turn = np.conj if hermitian else np.asarray
    a = a + turn(np.tril(a, -1)).T
    if hermitian:
        np.fill_diagonal(a, a.diagonal().real)
    pivots, info, k = np.zeros(n, np.int32), 0, 0
    while k < n:
        size, at = _choose(a, k)
        last, rest = k + size - 1, slice(k + size, n)
        if at != last:
            a[[last, at], k:] = a[[at, last], k:]
            a[k:, [last, at]] = a[k:, [at, last]]
        pivots[k : k + size] = at + 1 if size == 1 else -(at + 1)
        block = a[k : k + size, k : k + size]
        if size == 1 and block[0, 0] == 0:
            info = info or k + 1
        elif rest.start < n:
            below = np.linalg.solve(block.T, a[rest, k : k + size].T).T
            a[rest, rest] -= below @ turn(a[rest, k : k + size]).T
            a[rest, k : k + size] = below
        k += size
    return np.tril(a), pivots, info


def _solution(ld, pivots, b, hermitian: bool):
    """x with A x = b for one matrix."""
    x, n, k, blocks = b.copy(), len(ld), 0, []
    while k < n:
        size = 1 if pivots[k] > 0 else 2
        blocks.append(slice(k, k + size))
        k += size
    for block in blocks:
        last, at, below = block.stop - 1, abs(int(pivots[block.start])) - 1, slice(block.stop, n)
        x[[last, at]] = x[[at, last]]
        x[below] -= ld[below, block] @ x[block]
        d = np.tril(ld[block, block])
        upper = np.tril(d, -1).T
        x[block] = np.linalg.solve(d + (upper.conj() if hermitian else upper), x[block])
    for block in reversed(blocks):
        last, at, below = block.stop - 1, abs(int(pivots[block.start])) - 1, slice(block.stop, n)
        lower = ld[below, block]
        x[block] -= (lower.conj() if hermitian else lower).T @ x[below]
        x[[last, at]] = x[[at, last]]
    return x


def ldl_factor_ex(A, *, hermitian=False, check_errors=False, out=None):
    """(LD, pivots, info): both factors in one lower triangle, the exchanges, and the first zero on D's
    diagonal, from 1, or 0. `hermitian`: A = L D L^H. Only A's lower triangle is read.

    Has no gradient. LinAlgError for a zero, with `check_errors`.
    """
    check_square(A, "torch.linalg.ldl_factor_ex")
    data = A._data
    ld, pivots = np.array(data, order="C"), np.zeros(data.shape[:-1], np.int32)
    info = np.zeros(data.shape[:-2], np.int32)
    for i in np.ndindex(info.shape):
        ld[i], pivots[i], info[i] = _factor(data[i], hermitian and data.dtype.kind == "c")
    if check_errors and info.any():
        raise LinAlgError(f"torch.linalg.ldl_factor_ex: The {int(info.max())}-th pivot is zero: D is singular.")
    made = wrap(ld, A.device), wrap(pivots, A.device), wrap(info, A.device)
    return give("linalg_ldl_factor_ex", ("LD", "pivots", "info"), made, out)


def ldl_factor(A, *, hermitian=False, out=None):
    """(LD, pivots) of `ldl_factor_ex`. LinAlgError for a singular D."""
    ld, pivots, _ = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return give("linalg_ldl_factor", ("LD", "pivots"), (ld, pivots), out)


def ldl_solve(LD, pivots, B, *, hermitian=False, out=None):
    """X with A X = B, where (LD, pivots) is `ldl_factor`'s result for A. Has no gradient."""
    check_square(LD, "torch.linalg.ldl_solve", "LD")
    if B.ndim < 2 or B.shape[-2] != LD.shape[-1]:
        raise RuntimeError(
            f"linalg.ldl_solve: Incompatible shapes of LD and B for the equation AX = B ({LD.shape[-2]}x{LD.shape[-1]} "
            f"and {'x'.join(map(str, B.shape[-2:]))})"
        )
    if pivots.shape != LD.shape[:-1]:
        raise RuntimeError(
            f"torch.linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with "
            f"shape {list(pivots.shape)} instead"
        )
    if B.dtype is not LD.dtype:
        raise RuntimeError(
            f"torch.linalg.ldl_solve: Expected LD and B to have the same dtype, but got {LD.dtype} and {B.dtype}"
        )
    batch = np.broadcast_shapes(LD._data.shape[:-2], B._data.shape[:-2])
    ld = np.broadcast_to(LD._data, (*batch, *LD._data.shape[-2:]))
    rows = np.broadcast_to(pivots._data, (*batch, ld.shape[-1]))
    x = np.array(np.broadcast_to(B._data, (*batch, *B._data.shape[-2:])))
    for i in np.ndindex(batch):
        x[i] = _solution(ld[i], rows[i], x[i], hermitian and ld.dtype.kind == "c")
    return write(out, wrap(x, B.device))


__all__: list[str] = []
