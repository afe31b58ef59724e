"""Distances and similarities of vectors."""

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.variable import wrap
from .arguments import need_tensor
from .norms import vector_norm
from .pointwise import result_dtype
from .shape import broadcast_tensors


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of x1 - x2 + eps over the last dimension: (N, D), (N, D) -> (N,)."""
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """input / max(its p-norm along `dim`, eps)."""
    return write(out, input / vector_norm(input, p, dim, True).clamp(min=eps))


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along `dim`."""
    need_tensor(x1, "cosine_similarity", "x1", 1)
    need_tensor(x2, "cosine_similarity", "x2", 2)
    d = result_dtype(x1, x2)
    if not d.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtypes.SCALAR_NAMES[d]}")
    x1, x2 = broadcast_tensors(x1.to(d), x2.to(d))
    return (_unit(x1, dim, eps) * _unit(x2, dim, eps)).sum(dim)


def _unit(x, dim, eps):
    """x / max(|x|, eps); the gradient does not see the maximum, as in PyTorch."""
    size = vector_norm(x, 2, dim, True)
    return x / (size + (size.detach().clamp(min=eps) - size.detach()))


def pdist(input, p=2.0):
    """The p-norms of the differences of all pairs of rows i < j: (N, D) -> (N * (N - 1) / 2,)."""
    need_tensor(input, "pdist", "input", 1)
    x = input._data
    if x.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {x.ndim}D")
    if x.dtype.kind != "f":
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = np.triu_indices(x.shape[0], 1)
    difference = input.index_select(0, wrap(first, input.device)) - input.index_select(0, wrap(second, input.device))
    return vector_norm(difference, p, -1) if x.shape[1] else difference.sum(1)


__all__ = ["cosine_similarity", "pairwise_distance", "pdist"]
