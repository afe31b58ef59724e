"""Norms of vectors and matrices, and distances."""

import math

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import wrap
from ..kernels.portable.blocks import sum_of_products
from .arguments import need_tensor
from .decomposition import svdvals
from .dims import axes
from .extremes import amax, amin
from .joining import stack
from .matmul import kernels_of, matmul
from .pointwise import hushed, scalar_name
from .reduction import _spread, total

DOTS = range(32, 1 << 13)  # elements of rows whose products BLAS adds up quickest, and in one thread


@hushed
def _length(a, order, dim, keepdim):
    if order == 2 and type(a) is np.ndarray and a.dtype.kind == "f" and a.itemsize > 2:
        if len(dim) == a.ndim and not keepdim:
            return np.asarray(np.sqrt(sum_of_products(a, a)))
        if dim == (a.ndim - 1,) and a.flags.c_contiguous and a.shape[-1] in DOTS:
            squares = np.vecdot(a, a)
            return np.sqrt(squares[..., None] if keepdim else squares)
        return np.asarray(np.sqrt(total(np.multiply(a, a), dim, keepdim and a.ndim > 0)))
    kind = a.real.dtype if a.dtype.kind == "c" else a.dtype
    size = np.abs(a.astype(np.float32) if a.dtype.itemsize == 2 else a)
    along = {"axis": dim if a.ndim else None, "keepdims": keepdim and a.ndim > 0}
    if order == 2:
        value = np.sqrt(np.sum(size * size, **along))
    elif order == 1:
        value = np.sum(size, **along)
    elif order == 0:
        value = np.sum(size != 0, **along)
    elif order == math.inf:
        value = np.max(size, **along)
    elif order == -math.inf:
        value = np.min(size, **along)
    else:
        value = np.sum(size**order, **along) ** (1.0 / order)
    return np.asarray(value).astype(kind, copy=False)


def _length_rule(g, x, out, order, dim, keepdim):
    if order == 0:
        return None
    if order == 2:
        return x * _spread((g / out).masked_fill(out == 0, 0), x._data.shape, dim, keepdim)
    g, out = _spread(g, x._data.shape, dim, keepdim), _spread(out, x._data.shape, dim, keepdim)
    size = x.abs()
    if order == 1:
        return x.sgn() * g
    if abs(order) == math.inf:
        attained = (size == out) | (size.isnan() & out.isnan())
        count = attained.sum(dim, True) if x._data.ndim else attained.sum()
        return x.sgn() * (g / count).masked_fill(~attained, 0)
    if order < 1:
        scale = (size ** (order - 1)).masked_fill(x == 0, 0)
        return x.sgn() * scale * g * out ** (1 - order)
    if order < 2:
        return x.sgn() * size ** (order - 1) * (g / out ** (order - 1)).masked_fill(out == 0, 0)
    return x * size ** (order - 2) * (g / out ** (order - 1)).masked_fill(out == 0, 0)


_norm = Op("LinalgVectorNormBackward0", _length, params=("x", "order", "dim", "keepdim"), x=_length_rule)


def _as_norm_dtype(x, dtype, name):
    if x.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(x)}")
    if dtype is None:
        return x
    if dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"{name}: dtype should be floating point or complex, but got {dtype}")
    if x.dtype.is_complex != dtype.is_complex:
        raise RuntimeError(
            f"{name}: dtype should be {'complex' if x.dtype.is_complex else 'real'} for "
            f"{'complex' if x.dtype.is_complex else 'real'} inputs, but got {dtypes.SCALAR_NAMES[dtype]}"
        )
    if not dtypes.can_cast(x.dtype, dtype) or dtypes.promote_types(x.dtype, dtype) is not dtype:
        raise RuntimeError(
            f"{name}: the dtype of the input ({scalar_name(x)}) should be convertible without narrowing to the "
            f"specified dtype ({dtypes.SCALAR_NAMES[dtype]})"
        )
    return x.to(dtype)


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """(sum |x|^ord)^(1/ord) over `dim` (of all elements if None); ord may be 0, inf and -inf."""
    need_tensor(x, "linalg_vector_norm", "x", 1)
    x = _as_norm_dtype(x, dtype, "linalg.vector_norm")
    if isinstance(ord, complex):
        raise RuntimeError("linalg.vector_norm: Expected a non-complex scalar as the order of norm.")
    ord = float(ord)
    dims = axes(dim, x._data.ndim)
    bounded = ord < 0 or ord == math.inf
    if bounded and (empty := [d for d in dims if x._data.ndim and x._data.shape[d] == 0]):
        if dim is None or dim == ():
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord:g} norm on an empty tensor because the operation does not "
                "have an identity"
            )
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord:g} norm on the dimension {empty[0]} because this dimension is "
            "empty and the operation does not have an identity"
        )
    return write(out, _norm(x, ord, dims, keepdim))


@hushed
def vector_norms(tensors, ord=2):
    """The norms of several tensors, each over all of its elements: one tensor, on the first one's device."""
    where, np_type = tensors[0].device, tensors[0]._data.dtype
    plain = ord == 2 and where.host and np_type in (np.float32, np.float64)
    if plain and all([t.device is where and t._data.dtype is np_type for t in tensors]):
        return wrap(np.sqrt(np.array([sum_of_products(t._data, t._data) for t in tensors])), where)
    return stack([vector_norm(t, ord).to(where) for t in tensors])


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """A norm of the matrices in two dimensions: "fro", "nuc", inf, -inf, 1, -1, 2 or -2."""
    need_tensor(A, "linalg_matrix_norm", "A", 1)
    A = _as_norm_dtype(A, dtype, "linalg.matrix_norm")
    if A._data.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) != 2:
        raise RuntimeError(
            f"linalg.matrix_norm: dim must be a 2-tuple. Got {list(dims)}".replace("[", "").replace("]", "")
        )
    row, column = (axes(d, A._data.ndim)[0] for d in dims)
    if row == column:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dims[0]}, {dims[1]})")
    if ord == "fro":
        return write(out, _norm(A, 2.0, (row, column), keepdim))
    if ord not in ("nuc", 2, -2, 1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if ord in ("nuc", 2, -2):
        values = svdvals(A.movedim((row, column), (-2, -1)))
        value = values.sum(-1) if ord == "nuc" else amax(values, -1) if ord == 2 else amin(values, -1)
        if keepdim:
            value = value.unsqueeze(-1).unsqueeze(-1).movedim((-2, -1), (row, column))
        return write(out, value)
    summed, other = (column, row) if abs(ord) == math.inf else (row, column)
    sums = _norm(A, 1.0, (summed,), True)
    value = (amax if ord > 0 else amin)(sums, other, True)
    return write(out, value if keepdim else value.squeeze((row, column)))


def linalg_norm(A, ord=None, dim=None, keepdim=False, *, dtype=None, out=None):
    """A vector norm (of all elements without `ord` and `dim`) or, over two dimensions, a matrix norm."""
    need_tensor(A, "linalg_norm", "A", 1)
    if dim is not None:
        dim = (dim,) if isinstance(dim, int) else tuple(dim)
        if len(dim) not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got [{', '.join(map(str, dim))}]"
            )
    elif ord is not None and A._data.ndim not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A._data.ndim}D."
        )
    if ord is not None and (isinstance(ord, str) or (len(dim) if dim is not None else A._data.ndim) == 2):
        return matrix_norm(A, ord, dim if dim is not None else (0, 1), keepdim, dtype=dtype, out=out)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """The p-norm over `dim` (all if None): a number, "fro" or "nuc"."""
    if dtype is None and input.dtype.category < dtypes.FLOATING:
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {scalar_name(input)}"
        )
    if p == "nuc":
        return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"only valid string values are 'fro' and 'nuc', found {p}")
    order = 2 if p in ("fro", None) else p
    return vector_norm(input, order, dim, keepdim, dtype=dtype, out=out)


def dist(input, other, p=2):
    """The p-norm of input - other."""
    return vector_norm(input - other, p)


def renorm(input, p, dim, maxnorm, *, out=None):
    """Slices along `dim` whose p-norm exceeds `maxnorm` scaled down to it."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input._data.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input._data.ndim} dimensions")
    d = axes(dim, input._data.ndim)[0]
    others = tuple(i for i in range(input._data.ndim) if i != d)
    size = vector_norm(input, p, others, True)
    factor = (maxnorm / (size + 1e-7)).masked_fill(size <= maxnorm, 1)
    return write(out, input * factor)


@hushed
def _euclidean(x, y):
    squares = np.add.reduce(x * x, axis=-1)[..., :, None] + np.add.reduce(y * y, axis=-1)[..., None, :]
    squares -= 2 * kernels_of(x).matmul(x, y.swapaxes(-1, -2))
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def _euclidean_rule(g, x, y, out):
    """sum_j g_ij (x_i - y_j) / out_ij, without the pairs whose distance is 0."""
    share = g.masked_fill(out == 0, 0) / out.masked_fill(out == 0, 1)
    return x * share.sum(-1, keepdim=True) - matmul(share, y)


_distances = Op(
    "EuclideanDistBackward0",
    _euclidean,
    x=_euclidean_rule,
    y=lambda g, x, y, out: _euclidean_rule(g.transpose(-1, -2), y, x, out.transpose(-1, -2)),
)
_MANY = 25  # rows of either side above which Euclidean distances are products, as in PyTorch
_BY_PRODUCTS = {
    "use_mm_for_euclid_dist": lambda rows: True,
    "use_mm_for_euclid_dist_if_necessary": lambda rows: rows > _MANY,
    "donot_use_mm_for_euclid_dist": lambda rows: False,
}


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The p-norm distances between all rows: (B, P, M), (B, R, M) -> (B, P, R).

    Euclidean ones between many rows are sqrt(|x|^2 + |y|^2 - 2 x y), which is quick, but loses digits of those that are
    short beside the rows themselves, unless `compute_mode` says otherwise.
    """
    need_tensor(x1, "cdist", "x1", 1)
    need_tensor(x2, "cdist", "x2", 2)
    for t, what in ((x1, "X1"), (x2, "X2")):
        if t.dtype.category < dtypes.FLOATING:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {what} got: {scalar_name(t)}")
        if t._data.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {what} got: {t._data.ndim}D")
    if x1._data.shape[-1] != x2._data.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1._data.shape[-1]} X2: {x2._data.shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if compute_mode not in _BY_PRODUCTS:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    rows = max(x1._data.shape[-2], x2._data.shape[-2])
    if p == 2 and x1.dtype is x2.dtype and x1._data.itemsize > 2 and _BY_PRODUCTS[compute_mode](rows):
        return _distances(x1, x2)
    return vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


__all__ = ["cdist", "dist", "norm", "renorm"]
