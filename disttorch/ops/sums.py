"""Sums and differences of two tensors, the second times a factor, element by element, with broadcasting."""

import numpy as np

from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor
from ..dtypes import COMPLEX, FLOATING, bool_
from ..kernels.portable.precision import in_float32, is_narrow
from .arguments import rounded
from .numbers_first import sorted_out
from .pointwise import binary, broadcast_error, check_operands, common_device, hushed, inplace_of, result_dtype

# A gradient that comes out broadcast is summed to its input's shape by the sweep.
_add = binary("add", np.add, x=lambda g: g, y=lambda g: g, numbers="any")
_sub = binary("sub", np.subtract, x=lambda g: g, y=lambda g: -g, bools=False, numbers="any")


def _with_alpha(combine, input, other, alpha, **out):
    """combine(input, alpha * other), for a sum or a difference, which 16-bit floats round once."""
    whole = [t for t in (input, other) if isinstance(t, Tensor)]
    d = result_dtype(*whole or (input, other))
    if isinstance(alpha, float) and d.category < FLOATING:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, bool) and d is not bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, complex) and d.category < COMPLEX:
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    if whole and is_narrow(d.np) and result_dtype(input, other) is d:
        return _once[combine](input, other, alpha, **out)
    scaled = other.to(d) if isinstance(other, Tensor) else other
    return combine(input, scaled * (bool(alpha) if d is bool_ else alpha), **out)


def _rounded_once(node, sign):
    """input + sign * alpha * other of 16-bit floats: numbers are made such floats first, as in PyTorch."""
    op = Op(
        node,
        hushed(in_float32(lambda x, y, factor, alpha: x + y * factor)),
        x=lambda g: g,
        y=lambda g, alpha: g * (sign * alpha),
    )

    def function(input, other, alpha, *, out=None):
        d, where = result_dtype(input, other), common_device(input, other)
        x, y = (t.to(where, d) if isinstance(t, Tensor) else float(d.np.type(t)) for t in (input, other))
        if error := broadcast_error(np.shape(input), np.shape(other)):
            raise error
        return write(out, op(x, y, sign * rounded(alpha, d), alpha), input, other)

    return function


_once = {_add: _rounded_once("AddBackward0", 1), _sub: _rounded_once("SubBackward0", -1)}
_once |= {combine.inplace: inplace_of(function) for combine, function in _once.items()}


def _third(name, input, other, alpha):
    """(other, alpha) of name(input, other, alpha), or of the older name(input, alpha, other)."""
    if not isinstance(alpha, Tensor):
        return other, alpha
    (_, other), named = sorted_out(name, ("alpha",), (input, other, alpha))
    return other, named["alpha"]


def add(input, other, *third, alpha=1, out=None):
    """input + alpha * other."""
    if third:
        other, alpha = _third("add", input, other, *third)
    return _add(input, other, out=out) if alpha == 1 else _with_alpha(_add, input, other, alpha, out=out)


def sub(input, other, *third, alpha=1, out=None):
    """input - alpha * other."""
    if third:
        other, alpha = _third("sub", input, other, *third)
    return _sub(input, other, out=out) if alpha == 1 else _with_alpha(_sub, input, other, alpha, out=out)


def add_(self, other, *third, alpha=1):
    if third:
        other, alpha = _third("add_", self, other, *third)
    return _add.inplace(self, other) if alpha == 1 else _with_alpha(_add.inplace, self, other, alpha)


def sub_(self, other, *third, alpha=1):
    if third:
        other, alpha = _third("sub_", self, other, *third)
    return _sub.inplace(self, other) if alpha == 1 else _with_alpha(_sub.inplace, self, other, alpha)


add.inplace, sub.inplace = add_, sub_


_rsub = binary(
    "sub",
    lambda x, y: np.subtract(y, x),
    node="RsubBackward1",
    x=lambda g: -g,
    y=lambda g: g,
    bools=False,
    numbers="either",
)
_rsub.operator.__name__ = "rsub"  # what profiles call it


def rsub(input, other, alpha=1):
    """other - alpha * input."""
    check_operands("rsub", input, other, "other")
    return _rsub(input, other) if alpha == 1 else sub(other, input, alpha=alpha)


subtract = sub

__all__ = ["add", "add_", "rsub", "sub", "sub_", "subtract"]
