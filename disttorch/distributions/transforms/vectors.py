"""Transforms onto the simplex: vectors of positive numbers that add up to 1."""

from collections.abc import Sequence

from ... import dtypes, ops
from ...autograd.variable import Tensor
from ...ops.activation import logsigmoid
from .. import constraints
from .elementwise import clipped_sigmoid
from .transform import AlikeTransform


class SoftmaxTransform(AlikeTransform):
    """exp(x), normalised. Not bijective: vectors that differ by a constant give the same."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        weights = (x - x.max(-1, True)[0]).exp()
        return weights / weights.sum(-1, True)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def forward_shape(self, shape: Sequence) -> Sequence:
        return needs_dims(shape, 1)

    inverse_shape = forward_shape


class StickBreakingTransform(AlikeTransform):
    """Vectors (..., K) to the simplex in K + 1 dimensions: each breaks its share off what the earlier ones left."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        share = clipped_sigmoid(x - _left(x, x.shape[-1]).log())
        whole = x.new_ones((*x.shape[:-1], 1))
        return ops.cat([share, whole], -1) * ops.cat([whole, (1 - share).cumprod(-1)], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        first = y[..., :-1]
        rest = (1 - first.cumsum(-1)).clamp(min=dtypes.finfo(y.dtype).tiny)
        return first.log() - rest.log() + _left(y, first.shape[-1]).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = x - _left(x, x.shape[-1]).log()
        return (-x + logsigmoid(x) + y[..., :-1].log()).sum(-1)  # 1 - sigmoid(x) = exp(-x) sigmoid(x)

    def forward_shape(self, shape: Sequence) -> Sequence:
        return (*needs_dims(shape, 1)[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Sequence) -> Sequence:
        return (*needs_dims(shape, 1)[:-1], shape[-1] - 1)


def _left(like: Tensor, k: int) -> Tensor:
    """k, k - 1, ..., 1: how many shares are still to be broken off."""
    return k + 1 - like.new_ones(k).cumsum(-1)


def needs_dims(shape: Sequence, dims: int) -> Sequence:
    """The shape itself; ValueError if it has fewer dimensions than an event."""
    if len(shape) < dims:
        raise ValueError("Too few dimensions on input")
    return shape
