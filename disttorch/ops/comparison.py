"""Comparisons, logic and bits, element by element. No gradients flow through these."""

import functools
import itertools

import numpy as np

from .. import meta
from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..dtypes import FROM_NUMPY, SCALAR_NAMES, bool_
from ..kernels.portable.masking import chosen
from .arguments import known, need_tensor
from .pointwise import binary, broadcast_error, check_operands, common_device, hushed, operand, result_dtype


def _none(g):
    return None


def _compare(name, ufunc, numbers="other"):
    return binary(name, hushed(ufunc), x=_none, y=_none, result=bool_, numbers=numbers)


eq, ne = _compare("eq", np.equal), _compare("ne", np.not_equal)


def _order(name, ufunc):
    """Complex numbers have no order, though NumPy gives them one."""
    compare = hushed(ufunc)

    def function(a, b):
        if a.dtype.kind == "c":
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{SCALAR_NAMES[FROM_NUMPY[a.dtype]]}'")
        return compare(a, b)

    return binary(name, function, x=_none, y=_none, result=bool_)


lt, le = _order("lt", np.less), _order("le", np.less_equal)
gt, ge = _order("gt", np.greater), _order("ge", np.greater_equal)
logical_and, logical_or, logical_xor = (
    _compare(name, getattr(np, name), numbers="none") for name in ("logical_and", "logical_or", "logical_xor")
)


def bits(name, ufunc):
    """`ufunc`, or PyTorch's error for floats, which have no such operation."""

    @functools.wraps(ufunc)
    def function(*args, **settings):
        try:
            return ufunc(*args, **settings)
        except TypeError:
            kind = next((SCALAR_NAMES[FROM_NUMPY[a.dtype]] for a in args if isinstance(a, np.ndarray)), None)
            if kind is None:
                raise
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{kind}'") from None

    return function


def _bitwise(name, ufunc):
    return binary(name, bits(name, ufunc), x=_none, y=_none, result=True, numbers="either")


bitwise_and, bitwise_or = _bitwise("bitwise_and", np.bitwise_and), _bitwise("bitwise_or", np.bitwise_or)
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor)
bitwise_left_shift, bitwise_right_shift = (
    _bitwise(name, known(f"{name}_cpu", "i")(ufunc))
    for name, ufunc in (("lshift", np.left_shift), ("rshift", np.right_shift))
)
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


def where(condition, input=None, other=None, *, out=None):
    """`input` where `condition` holds, else `other`; with the condition alone, the indices of its true elements."""
    need_tensor(condition, "where", "condition", 1)
    if input is None and other is None:
        from .masks import nonzero

        return nonzero(condition, as_tuple=True)
    if condition.dtype is not bool_:
        if condition.dtype.name != "uint8":
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got a tensor with dtype {_name(condition)}"
            )
        condition = condition.bool()
    if isinstance(input, Tensor) and isinstance(other, Tensor) and _alike(condition, input, other):
        args = [condition, input, other]
    else:
        d, device = result_dtype(input, other), common_device(condition, input, other)
        args = [x.to(d) if isinstance(x, Tensor) else wrap(operand(x, d, device), device) for x in (input, other)]
        args = [condition.to(device), *[x.to(device) for x in args]]
    try:
        return write(out, _where(*args), *args)
    except ValueError:
        for a, b in itertools.combinations([x._data.shape for x in args], 2):
            if (error := broadcast_error(a, b)) is not None:
                raise error from None
        raise


def _alike(condition, x, y) -> bool:
    """Whether nothing has to be cast or moved."""
    return x._data.dtype is y._data.dtype and condition.device is x.device is y.device


def _name(t):
    return SCALAR_NAMES[t.dtype]


_where = Op(
    "WhereBackward0",
    chosen,
    params=("condition", "x", "y"),
    x=lambda g, condition: _where(condition, g, g.new_zeros(())),
    y=lambda g, condition: _where(condition, g.new_zeros(()), g),
)


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|input - other| <= atol + rtol * |other|, elementwise; equal infinities are close, NaN only with `equal_nan`."""
    check_operands("isclose", input, other, "none")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    if error := broadcast_error(input._data.shape, other._data.shape):
        raise error
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{_name(input)} did not match {_name(other)}")
    a, b = input._data, other._data
    if a.dtype.kind == "V":
        a, b = a.astype(np.float32), b.astype(np.float32)
    return wrap(np.asarray(np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)), input.device)


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Whether `isclose` holds for every element."""
    meta.refuse("aten::allclose", input)
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


def equal(input, other) -> bool:
    """Whether two tensors have the same shape and elements."""
    need_tensor(input, "equal", "input", 1)
    need_tensor(other, "equal", "other", 2)
    common_device(input, other)
    meta.refuse("aten::equal", input)
    return input._data.shape == other._data.shape and bool((input._data == other._data).all())


__all__ = [
    "allclose", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "eq",
    "equal", "ge", "greater", "greater_equal", "gt", "isclose", "le", "less", "less_equal", "logical_and",
    "logical_or", "logical_xor", "lt", "ne", "not_equal", "where",
]  # fmt: skip
