"""A tensor and a weighted combination of others: addcmul, addcdiv, lerp."""

import functools

import numpy as np

from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor
from ..dtypes import float32
from .arguments import C_NAMES, fitting, known, need_tensor
from .arithmetic import conj
from .numbers_first import numbers_first
from .pointwise import broadcast_error, result_dtype


def _in_float32(function):
    """The function computed in float32 where its result is a 16-bit float, and rounded once."""

    @functools.wraps(function)
    def computed(*operands, **kwargs):
        d = result_dtype(*operands)
        if d.itemsize == 2 and d.is_floating_point:
            for number in [*operands, *kwargs.values()]:
                fitting(number, float32)
            return function(*[t.to(float32) if isinstance(t, Tensor) else t for t in operands], **kwargs).to(d)
        return function(*operands, **kwargs)

    return computed


@_in_float32
def _plus_product(x, a, b, value):
    return x + (a * b if value == 1 else a * value * b)


@_in_float32
def _plus_quotient(x, a, b, value):
    return x + (a / b if value == 1 else a * value / b)


@numbers_first("value")
def addcmul(input, tensor1, tensor2, *, value=1, out=None):
    """input + value * tensor1 * tensor2."""
    need_tensor(tensor1, "addcmul", "tensor1", 2)
    need_tensor(tensor2, "addcmul", "tensor2", 3)
    return write(out, _plus_product(input, tensor1, tensor2, value=value), input, tensor1, tensor2)


@numbers_first("value")
def addcdiv(input, tensor1, tensor2, *, value=1, out=None):
    """input + value * tensor1 / tensor2; integers are refused as in PyTorch."""
    need_tensor(input, "addcdiv", "input", 1)
    need_tensor(tensor1, "addcdiv", "tensor1", 2)
    need_tensor(tensor2, "addcdiv", "tensor2", 3)
    if all(t._data.dtype.kind in "iub" for t in (tensor1, tensor2)):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
            "true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value "
            "* torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / "
            "tensor2) for float inputs. The future addcdiv behavior is just the latter implementation: (input + value "
            "* tensor1 / tensor2), for all dtypes."
        )
    return write(out, _plus_quotient(input, tensor1, tensor2, value=value), input, tensor1, tensor2)


@known("lerp_kernel_scalar", "hfc")
def _between(start, end, weight):
    if np.ndim(weight) == 0:
        value = start + weight * (end - start) if abs(weight) < 0.5 else end - (end - start) * (1 - weight)
        return value.astype(start.dtype, copy=False)
    value = np.where(np.abs(weight) < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight))
    return value.astype(start.dtype, copy=False)


_lerp = Op(
    "LerpBackward0",
    _between,
    start=lambda g, weight: g * conj(1 - weight),
    end=lambda g, weight: g * conj(weight),
    weight=lambda g, start, end: g * conj(end - start),
)


@_in_float32
def _weighted(start, end, weight):
    return _lerp(start, end, weight)


def lerp(input, end, weight, *, out=None):
    """input + weight * (end - input)."""
    need_tensor(input, "lerp", "input", 1)
    need_tensor(end, "lerp", "end", 2)
    if error := broadcast_error(input._data.shape, end._data.shape):
        raise error
    if input.dtype is not end.dtype:
        raise RuntimeError(f"expected dtype {_name(input)} for `end` but got dtype {_name(end)}")
    if isinstance(weight, Tensor) and weight.dtype is not input.dtype:
        raise RuntimeError(f"expected dtype {_name(input)} for `weight` but got dtype {_name(weight)}")
    return write(out, _weighted(input, end, weight), input, end, weight)


def _name(t):
    return C_NAMES[t.dtype.name]


__all__ = ["addcdiv", "addcmul", "lerp"]
