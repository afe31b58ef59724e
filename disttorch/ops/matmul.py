"""Products of matrices and vectors. M rows, K inner, N columns, B batch."""

import math

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.mode import mode
from ..autograd.op import Op, raise_devices
from ..autograd.variable import Tensor, wrap
from ..kernels import for_device
from .arguments import C_NAMES, need_tensor, type_name
from .numbers_first import numbers_first
from .pointwise import broadcast_error

FEW = 1 << 12  # a product of sizes below which NumPy is the fastest, whatever it multiplies


def kernels_of(x):
    """The kernels that compute where the array lives."""
    return for_device("cpu" if isinstance(x, np.ndarray) else "cuda")


def _product(x, y):
    if type(x) is np.ndarray and x.dtype.kind in "fc" and x.size * y.size < FEW and x.itemsize > 2:
        return x.dot(y) if y.ndim < 3 else np.matmul(x, y)
    if x.dtype.kind == "b":
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Bool'")
    return kernels_of(x).matmul(x, y)


def _H(t):
    """The (conjugate) transpose of the last two dimensions."""
    t = t.transpose(-2, -1)
    return t.conj() if t.dtype.is_complex else t


def _mm_rule(g, other, first):
    """g @ other^H, or other^H @ g, for matrices; without tensors in between where nobody records."""
    if mode.grad or other._data.dtype.kind == "c":
        return _mm(g, _H(other)) if first else _mm(_H(other), g)
    factors = [g._data, other._data.T] if first else [other._data.T, g._data]
    return wrap(_product(*factors) if g.device.host else _mm.elsewhere(g.device, factors), g.device)


_mm = Op(
    "MmBackward0",
    _product,
    params=("x", "y"),
    x=lambda g, y: _mm_rule(g, y, True),
    y=lambda g, x: _mm_rule(g, x, False),
)
_bmm = Op("BmmBackward0", _product, params=("x", "y"), x=lambda g, y: _bmm(g, _H(y)), y=lambda g, x: _bmm(_H(x), g))
_mv = Op("MvBackward0", _product, params=("x", "y"), x=lambda g, y: outer(g, _c(y)), y=lambda g, x: mv(_H(x), g))
_dot = Op("DotBackward0", _product, params=("x", "y"), x=lambda g, y: g * _c(y), y=lambda g, x: g * _c(x))


def _c(t):
    return t.conj() if t.dtype.is_complex else t


def _same_dtype(a, b):
    if a._data.dtype != b._data.dtype:
        x, y = (C_NAMES[t.dtype.name] for t in (a, b))
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {x} != {y}")


def _check(a, b, name, first=2, second=2):
    for t, what in ((a, "self"), (b, "mat2")):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): argument '{what}' must be Tensor, not {type_name(t)}")
    if a.device is not b.device:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {a.device} and "
            f"{b.device}! (when checking argument for argument mat2 in method wrapper_CUDA_{name})"
        )
    if a._data.ndim != first:
        raise RuntimeError(
            f"{'self' if name == 'mm' else 'batch1' if name == 'bmm' else 'input'} must be a {_rank(first)}"
        )
    if b._data.ndim != second:
        raise RuntimeError(
            f"{'mat2' if name == 'mm' else 'batch2' if name == 'bmm' else 'vec'} must be a {_rank(second)}"
        )


def _rank(n):
    return {1: "vector", 2: "matrix", 3: "3D tensor"}[n]


def mm(input, mat2, *, out=None):
    """(M, K) @ (K, N) -> (M, N)."""
    need_tensor(mat2, "mm", "mat2", 2)
    _check(input, mat2, "mm")
    a, b = input._data, mat2._data
    (m, k), (k2, n) = a.shape, b.shape
    if k != k2:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({m}x{k} and {k2}x{n})")
    if a.dtype is not b.dtype:
        _same_dtype(input, mat2)
    return _mm(input, mat2) if out is None else write(out, _mm(input, mat2))


def bmm(input, mat2, *, out=None):
    """(B, M, K) @ (B, K, N) -> (B, M, N)."""
    need_tensor(mat2, "bmm", "mat2", 2)
    _check(input, mat2, "bmm", 3, 3)
    a, b = input._data.shape, mat2._data.shape
    if a[0] != b[0] or a[2] != b[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but got: [{b[0]}, "
            f"{b[1]}]."
        )
    _same_dtype(input, mat2)
    return write(out, _bmm(input, mat2))


def mv(input, vec, *, out=None):
    """(M, K) @ (K,) -> (M,)."""
    need_tensor(input, "mv", "input", 1)
    need_tensor(vec, "mv", "vec", 2)
    if input._data.ndim != 2 or vec._data.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input._data.ndim}, {vec._data.ndim}")
    (m, k), (k2,) = input._data.shape, vec._data.shape
    if k != k2:
        raise RuntimeError(f"size mismatch, got input ({m}), mat ({m}x{k}), vec ({k2})")
    _same_dtype(input, vec)
    return write(out, _mv(input, vec))


def dot(input, tensor, *, out=None):
    """The sum of products of two vectors."""
    need_tensor(input, "dot", "input", 1)
    need_tensor(tensor, "dot", "tensor", 2)
    if input._data.ndim != 1 or tensor._data.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input._data.ndim}D and {tensor._data.ndim}D tensors")
    if input._data.shape != tensor._data.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input._data.size}] and src [{tensor._data.size}] to have the "
            f"same number of elements, but got {input._data.size} and {tensor._data.size} elements respectively"
        )
    if input._data.dtype != tensor._data.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {dtypes.SCALAR_NAMES[input.dtype]} and "
            f"{dtypes.SCALAR_NAMES[tensor.dtype]}"
        )
    return write(out, _dot(input, tensor))


def vdot(input, other, *, out=None):
    """`dot` with the first vector conjugated."""
    need_tensor(input, "vdot", "input", 1)
    need_tensor(other, "vdot", "other", 2)
    return dot(_c(input), other, out=out)


def inner(input, other, *, out=None):
    """Sums of products over the last dimensions."""
    need_tensor(input, "inner", "input", 1)
    need_tensor(other, "inner", "other", 2)
    if input._data.ndim == 0 or other._data.ndim == 0:
        return write(out, input * other)
    if input._data.shape[-1] != other._data.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(input._data.shape)} and "
            f"{list(other._data.shape)}"
        )
    a, b = input.reshape(-1, input._data.shape[-1]), other.reshape(-1, other._data.shape[-1])
    return write(out, mm(a, b.t()).reshape(input._data.shape[:-1] + other._data.shape[:-1]))


def outer(input, vec2, *, out=None):
    """All products of two vectors' elements: (M,), (N,) -> (M, N)."""
    need_tensor(input, "outer", "input", 1)
    need_tensor(vec2, "outer", "vec2", 2)
    for t, what in ((input, "self"), (vec2, "vec2")):
        if t._data.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {what}, but got {t._data.ndim}-D")
    return write(out, input.unsqueeze(1) * vec2)


ger = outer


def matmul(input, other, *, out=None):
    """The product of vectors, matrices or batches of matrices, with batch dimensions broadcast."""
    if not isinstance(input, Tensor) or not isinstance(other, Tensor):
        bad, position = (other, 2) if isinstance(input, Tensor) else (input, 1)
        raise TypeError(
            f"matmul(): argument '{'other' if position == 2 else 'input'}' (position {position}) must be Tensor, not "
            f"{type_name(bad)}"
        )
    a, b = input._data, other._data
    if a.ndim == 2 and b.ndim == 2:
        return mm(input, other, out=out)
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if input.device is not other.device:
        raise_devices(input.device, other.device)
    if a.ndim == 1 and b.ndim == 1:
        return dot(input, other, out=out)
    if a.ndim == 2 and b.ndim == 1:
        return mv(input, other, out=out)
    if a.ndim == 1:
        if b.ndim == 2:
            return write(out, mm(input.unsqueeze(0), other).squeeze(0))
        return write(out, matmul(input.unsqueeze(0), other).squeeze(-2))
    if b.ndim == 1:
        return write(out, matmul(input, other.unsqueeze(1)).squeeze(-1))
    k, k2, n = a.shape[-1], b.shape[-2], b.shape[-1]
    if b.ndim == 2:  # one product instead of a batch
        if k != k2:
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.size // max(k, 1)}x{k} and {k2}x{n})")
        return write(out, mm(input.reshape(math.prod(a.shape[:-1]), k), other).reshape(*a.shape[:-1], n))
    _same_dtype(input, other)
    if (error := broadcast_error(a.shape[:-2], b.shape[:-2])) is not None:
        raise error
    if k != k2:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {k}] but got: "
            f"[{b.shape[0]}, {k2}]."
        )
    return write(out, _bmm(input, other))


def _scaled(x, scale):
    return x if scale == 1 else x * scale


def _addmm_forward(c, a, b):
    return kernels_of(a).matmul(a, b) + c


_addmm = Op(
    "AddmmBackward0",
    _addmm_forward,
    params=("c", "x", "y"),
    c=lambda g: g,
    x=lambda g, y: _mm(g, _H(y)),
    y=lambda g, x: _mm(_H(x), g),
)


@numbers_first("beta", "alpha")
def addmm(input, mat1, mat2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * (mat1 @ mat2)."""
    need_tensor(input, "addmm", "input", 1)
    need_tensor(mat1, "addmm", "mat1", 2)
    need_tensor(mat2, "addmm", "mat2", 3)
    for t, what in ((mat1, "mat1"), (mat2, "mat2")):
        if t._data.ndim != 2:
            raise RuntimeError(f"{what} must be a matrix, got {t._data.ndim}-D tensor")
    (m, k), (k2, n) = mat1._data.shape, mat2._data.shape
    if k != k2:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({m}x{k} and {k2}x{n})")
    input = input.expand(m, n)
    _same_dtype(mat1, mat2)
    if beta == 0:
        return write(out, _scaled(_mm(mat1, mat2), alpha) + input.new_zeros(()))
    if alpha == 1:
        return write(out, _addmm(_scaled(input, beta), mat1, mat2))
    return write(out, _scaled(input, beta) + _scaled(_mm(mat1, mat2), alpha))


def _with_sum(input, product, beta, alpha, out):
    value = _scaled(product, alpha)
    if input._data.shape != product._data.shape:
        input = input.expand(product._data.shape)
    return write(out, value if beta == 0 else _scaled(input, beta) + value)


@numbers_first("beta", "alpha")
def addbmm(input, batch1, batch2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * the sum of the matrix products of two batches."""
    need_tensor(input, "addbmm", "input", 1)
    return _with_sum(input, bmm(batch1, batch2).sum(0), beta, alpha, out)


@numbers_first("beta", "alpha")
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * bmm(batch1, batch2)."""
    need_tensor(input, "baddbmm", "input", 1)
    need_tensor(batch1, "baddbmm", "batch1", 2)
    need_tensor(batch2, "baddbmm", "batch2", 3)
    return _with_sum(input, bmm(batch1, batch2), beta, alpha, out)


@numbers_first("beta", "alpha")
def addmv(input, mat, vec, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * mat @ vec."""
    need_tensor(input, "addmv", "input", 1)
    need_tensor(mat, "addmv", "mat", 2)
    need_tensor(vec, "addmv", "vec", 3)
    ndims = input._data.ndim, mat._data.ndim, vec._data.ndim
    if ndims[0] > 1 or ndims[1:] != (2, 1):
        raise RuntimeError(f"vector + matrix @ vector expected, got {', '.join(map(str, ndims))}")
    (rows, columns), n = mat._data.shape, vec._data.size
    if columns != n or input._data.size not in (1, rows):
        raise RuntimeError(f"size mismatch, got input ({input._data.size}), mat ({rows}x{columns}), vec ({n})")
    return _with_sum(input, mv(mat, vec), beta, alpha, out)


@numbers_first("beta", "alpha")
def addr(input, vec1, vec2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * outer(vec1, vec2)."""
    need_tensor(input, "addr", "input", 1)
    need_tensor(vec1, "addr", "vec1", 2)
    need_tensor(vec2, "addr", "vec2", 3)
    return _with_sum(input, outer(vec1, vec2), beta, alpha, out)


def chain_matmul(*matrices, out=None):
    """The product of several matrices in the cheapest order."""
    from .pseudo import multi_dot

    return write(out, multi_dot(matrices))


def kron(input, other, *, out=None):
    """The Kronecker product."""
    need_tensor(input, "kron", "input", 1)
    need_tensor(other, "kron", "other", 2)
    n = max(input._data.ndim, other._data.ndim)
    a, b = ((1,) * (n - t._data.ndim) + t._data.shape for t in (input, other))
    x = input.reshape([s for d in a for s in (d, 1)])
    y = other.reshape([s for d in b for s in (1, d)])
    return write(out, (x * y).reshape([p * q for p, q in zip(a, b, strict=True)]))


def einsum(equation, *operands):
    """Sums of products in Einstein's notation, e.g. "bij,bjk->bik"; contracted two at a time as matrix products."""
    from .contraction import contract

    tensors = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    return contract(equation, *tensors)


def tensordot(a, b, dims=2, out=None):
    """Sums of products over `dims`: a number of last and first dimensions, or a list for each tensor."""
    need_tensor(b, "tensordot", "other", 2)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a._data.ndim, b._data.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        left, right = list(range(a._data.ndim - dims, a._data.ndim)), list(range(dims))
    else:
        left, right = [[d] if isinstance(d, int) else list(d) for d in dims]
    named = [d - a._data.ndim for d in left] if isinstance(dims, int) else left, right
    left, right = [d % a._data.ndim for d in left], [d % b._data.ndim for d in right]
    if len(left) != len(right):
        raise RuntimeError(f"both dimension lists should have the same length, got {len(left)} and {len(right)}")
    for i, (d, e) in enumerate(zip(left, right, strict=True)):  # a size of 1 is broadcast: the other tensor is summed
        m, n = a._data.shape[d], b._data.shape[e]
        if m == 1 and n != 1:
            b = b.sum(e, True)
        elif n == 1 and m != 1:
            a = a.sum(d, True)
        elif m != n:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {m} in dim {named[0][i]} and second has size "
                f"{n} in dim {named[1][i]}"
            )
    keep_a = [d for d in range(a._data.ndim) if d not in left]
    keep_b = [d for d in range(b._data.ndim) if d not in right]
    k = math.prod([a._data.shape[d] for d in left])
    rows, columns = [a._data.shape[d] for d in keep_a], [b._data.shape[d] for d in keep_b]
    x = a.permute(keep_a + left).reshape(math.prod(rows), k)
    y = b.permute(right + keep_b).reshape(k, math.prod(columns))
    return write(out, mm(x, y).reshape(rows + columns))


__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "chain_matmul", "dot", "einsum", "ger", "inner",
    "kernels_of", "kron", "matmul", "mm", "mv", "outer", "tensordot", "vdot",
]  # fmt: skip
