"""Dropout and its variants. The masks come from the device's default generator."""

import numpy as np

from .. import random, sampling
from ..autograd.inplace import apply_inplace
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..devices import scope
from ..dtypes import SCALAR_NAMES, bool_
from ..layouts import by_kernel
from .arguments import need_tensor
from .copying import channels_last_copy
from .creation import empty_like
from .fill import bernoulli_
from .matmul import kernels_of

_dropout = Op(
    "MulBackward0",
    lambda x, keep, scale: kernels_of(x).dropout(x, keep, scale),
    x=lambda g, keep, scale: _dropout(g, keep, scale),
)


def _check(p):
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _mask(input, shape, p: float) -> Tensor:
    """Booleans: True (kept) with probability 1 - p; one for each element in PyTorch's order in memory."""
    where = input.device
    if shape == input._data.shape and not input._data.flags.c_contiguous:
        keep = bernoulli_(empty_like(input, dtype=bool_), 1.0 - p)
        return channels_last_copy(keep) if by_kernel(input) else keep
    stream = random.stream(None, where)
    with scope(where):
        return wrap(sampling.bernoulli(stream, shape, 1.0 - p), where)


def _features(name, input):
    """The shape of a mask with one entry per sample and channel."""
    shape = input._data.shape
    return (*shape[:2], *(1,) * (len(shape) - 2))


def _dropped(input, shape, p, inplace):
    d = input.dtype
    if d.is_complex:
        raise NotImplementedError(f"\"bernoulli_scalar_cpu_\" not implemented for '{SCALAR_NAMES[d]}'")
    if not d.is_floating_point:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {SCALAR_NAMES[d]}")
    if p == 1:
        zero = _multiply_zero
        return apply_inplace(zero, input) if inplace else zero(input)
    keep = _mask(input, shape, p)
    if keep._data.shape != input._data.shape:
        keep = keep.expand(input._data.shape)
    scale = 1.0 / (1.0 - p)
    if d.itemsize == 2:
        scale = float(d.np.type(scale))  # PyTorch's is a tensor like the input
    return apply_inplace(_dropout, input, (keep, scale)) if inplace else _dropout(input, keep, scale)


def _multiply_zero(x):
    return x * 0


def dropout(input, p=0.5, training=True, inplace=False):
    """In training, elements become 0 with probability p and the others are divided by 1 - p."""
    need_tensor(input, "dropout", "input", 1)
    _check(p)
    if not training or p == 0 or not input._data.size:
        return input
    return _dropped(input, input._data.shape, p, inplace)


def _over_channels(n):
    name = f"dropout{n}d"

    def feature_dropout(input, p=0.5, training=True, inplace=False):
        need_tensor(input, name, "input", 1)
        _check(p)
        ndim = input._data.ndim
        if ndim not in (n + 1, n + 2):
            if n == 1:
                raise RuntimeError(
                    f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input. Note that dropout1d exists to "
                    "provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an "
                    "optional batch dimension (i.e. 2D or 3D inputs)."
                )
            import warnings

            warnings.warn(
                f"dropout{n}d: Received a {ndim}-D input to dropout{n}d, which is deprecated and will result in an "
                "error in a future release. To retain the behavior and silence this warning, please use dropout "
                f"instead. Note that dropout{n}d exists to provide channel-wise dropout on inputs with {n} spatial "
                f"dimensions, a channel dimension, and an optional batch dimension (i.e. {n + 1}D or {n + 2}D inputs).",
                stacklevel=2,
            )
        if n == 2 and ndim == 3:
            import warnings

            warnings.warn(
                "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is "
                "desired - input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will "
                "change in a future release to interpret the input as one without a batch dimension, i.e. shape (C, H, "
                "W). To maintain the 1D channel-wise dropout behavior, please switch to using dropout1d instead.",
                stacklevel=2,
            )
        if not training or p == 0 or not input._data.size:
            return input
        unbatched = ndim == n + 1 and n != 2
        whole = input.unsqueeze(0) if unbatched else input
        result = _dropped(whole, _features(name, whole), p, inplace)
        return input if inplace else result.squeeze(0) if unbatched else result

    feature_dropout.__name__ = feature_dropout.__qualname__ = name
    feature_dropout.__doc__ = f"Dropout of whole channels of (N, C, ...) inputs with {n} spatial axes."
    return feature_dropout


dropout1d, dropout2d, dropout3d = _over_channels(1), _over_channels(2), _over_channels(3)

# Dropped elements of alpha dropout take SELU's value at -infinity: -scale * alpha (Klambauer et al., 2017).
ALPHA = 1.7580993408473766


def _alpha(input, shape, p, inplace):
    if p == 1:
        return apply_inplace(_multiply_zero, input) if inplace else _multiply_zero(input)
    a = 1.0 / np.sqrt((ALPHA**2 * p + 1) * (1 - p))
    keep = _mask(input, shape, p)
    noise = keep.to(input.dtype)
    shift = (noise - 1) * (ALPHA * float(a)) + ALPHA * float(a) * p

    def scaled(x):
        return x * (noise * float(a)) + shift

    return apply_inplace(scaled, input) if inplace else scaled(input)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that keeps mean and variance of SELU activations: dropped elements take SELU's lowest value."""
    need_tensor(input, "alpha_dropout", "input", 1)
    _check(p)
    if not training or p == 0 or not input._data.size:
        return input
    return _alpha(input, input._data.shape, p, inplace)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """`alpha_dropout` of whole channels of (N, C, ...) inputs."""
    need_tensor(input, "feature_alpha_dropout", "input", 1)
    _check(p)
    if not training or p == 0 or not input._data.size:
        return input
    return _alpha(input, _features("feature_alpha_dropout", input), p, inplace)


__all__: list[str] = []
