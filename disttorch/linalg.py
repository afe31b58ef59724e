"""torch.linalg: linear algebra on the last two dimensions, in batches."""

from .ops.decomposition import cholesky_ex, eig, eigh, eigvals, eigvalsh, svdvals
from .ops.decomposition import linalg_cholesky as cholesky
from .ops.decomposition import linalg_qr as qr
from .ops.decomposition import linalg_svd as svd
from .ops.ldl import ldl_factor, ldl_factor_ex, ldl_solve
from .ops.lu import linalg_lu as lu
from .ops.lu import linalg_lu_solve as lu_solve
from .ops.lu import lu_factor, lu_factor_ex
from .ops.matmul import matmul
from .ops.norms import linalg_norm as norm
from .ops.norms import matrix_norm, vector_norm
from .ops.pseudo import cond, householder_product, matrix_exp, matrix_power, matrix_rank, multi_dot, pinv, vecdot
from .ops.pseudo import linalg_cross as cross
from .ops.pseudo import linalg_diagonal as diagonal
from .ops.pseudo import linalg_vander as vander
from .ops.solving import (
    LinAlgError,
    det,
    inv,
    inv_ex,
    lstsq,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)  # fmt: skip

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals",
    "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu",
    "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank",
    "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals",
    "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip
