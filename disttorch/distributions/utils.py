"""What distributions are made with: numbers as tensors, probabilities and their logarithms, triangles as vectors."""

from collections.abc import Callable
from typing import Any

from .. import dtypes, ops
from ..autograd.mode import enable_grad
from ..autograd.variable import Tensor
from ..ops.shape import Size

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape, numbers in the first tensor's dtype."""
    if not all(isinstance(v, (Tensor, int, float)) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    like = next((v for v in values if isinstance(v, Tensor)), None)
    settings = {"dtype": dtypes.get_default_dtype()} if like is None else {"dtype": like.dtype, "device": like.device}
    return ops.broadcast_tensors(*[v if isinstance(v, Tensor) else ops.tensor(v, **settings) for v in values])


def batch_shape_of(*values: Any) -> Size:
    """The batch's shape: none if all parameters were numbers."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    return Size(ops.broadcast_shapes(*[t.shape for t in tensors])) if tensors else Size()


def sum_rightmost(value: Tensor, dims: int) -> Tensor:
    """The sum over the last `dims` dimensions."""
    return value.reshape((*value.shape[: value.dim() - dims], -1)).sum(-1) if dims else value


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept one rounding away from 0 and 1, so that their logarithms are finite."""
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """The logarithms of probabilities, or of their odds."""
    p = clamp_probs(probs)
    return ops.log(p) - ops.log1p(-p) if is_binary else ops.log(p)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities from logarithms of odds, or (..., K) of weights."""
    return ops.sigmoid(logits) if is_binary else ops.softmax(logits, -1)


class lazy_property:
    """An attribute that is computed from the others when it is first asked for, and then kept."""

    def __init__(self, wrapped: Callable):
        self.wrapped, self.__doc__ = wrapped, wrapped.__doc__

    def __set_name__(self, owner: type, name: str):
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = instance.__dict__[self._name] = self.wrapped(instance)
        return value


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements (..., N) of (..., D, D) up to diagonal `diag`, row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat[..., _lower(n, diag, mat)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The matrices (..., D, D) whose elements up to diagonal `diag` are (..., N), row by row, others 0."""
    shifted = 1 + 2 * diag
    n = (-shifted + (shifted**2 + 8 * vec.shape[-1] + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if round(n) - n > dtypes.finfo(vec.dtype).eps:
        raise ValueError(
            f"The size of last dimension is {vec.shape[-1]} which cannot be expressed as "
            "the lower triangular part of a square D x D matrix."
        )
    mat = vec.new_zeros((*vec.shape[:-1], round(n), round(n)))
    mat[..., _lower(round(n), diag, vec)] = vec
    return mat


def _lower(n: int, diag: int, like: Tensor) -> Tensor:
    places = ops.arange(n, device=like.device)
    return places < places.view(-1, 1) + (diag + 1)
