"""Checks of arguments that several families share, with PyTorch's texts."""

import functools
import math
from operator import index

from .. import dtypes
from ..autograd.variable import Tensor

# What PyTorch's C++ calls the element types in some of its texts.
C_NAMES = {
    "float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int64": "long int",
    "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char", "bool": "bool",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


def fitting(value, d):
    """The number `value`, or RuntimeError (PyTorch's text) if it is beyond the dtype's largest."""
    if isinstance(value, (int, float)) and abs(value) != math.inf and abs(value) > dtypes.finfo(d).max:
        raise RuntimeError(f"value cannot be converted to type {C_NAMES[d.name]} without overflow")
    return value


def rounded(value, d):
    """The number `value` as the floating dtype `d` has it; RuntimeError as for `fitting`."""
    return float(d.np.type(fitting(value, d)))


def type_name(value) -> str:
    """The name of a value's class as C tells it: that of a class written in C has its module before it."""
    kind = type(value)
    written_in_python = kind.__flags__ & 1 << 9  # Py_TPFLAGS_HEAPTYPE
    return kind.__name__ if written_in_python or kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def need_tensor(t, function: str, argument: str, position: int) -> None:
    """TypeError unless `t` is a tensor."""
    if not isinstance(t, Tensor):
        raise TypeError(f"{function}(): argument '{argument}' (position {position}) must be Tensor, not {type_name(t)}")


def need_tensors(tensors) -> None:
    """TypeError unless all elements of a sequence are tensors."""
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type_name(t)}")


def need_floating(t: Tensor, kernel: str) -> None:
    """NotImplementedError for a tensor of integers or booleans."""
    if t._data.dtype.kind not in "fV":
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_NAMES[t.dtype]}'")


def known(kernel: str, kinds: str):
    """Decorates a function of arrays: NotImplementedError (PyTorch's text) unless the first one's elements are of these
    kinds: b(ools), i(ntegers), h(alves: floats of 16 bits), f(loats of more), c(omplex numbers).
    """

    def decorate(function):
        @functools.wraps(function)
        def forward(a, *args, **settings):
            kind = a.dtype.kind
            if ("h" if kind in "fV" and a.dtype.itemsize == 2 else "i" if kind == "u" else kind) not in kinds:
                raise NotImplementedError(
                    f"\"{kernel}\" not implemented for '{dtypes.SCALAR_NAMES[dtypes.FROM_NUMPY[a.dtype]]}'"
                )
            return function(a, *args, **settings)

        return forward

    return decorate


def repeated(value, n: int) -> tuple | None:
    """One int for all of `n` axes, or one for each, as a tuple of ints; None if there are too few or too many."""
    if not isinstance(value, (tuple, list)):
        return (index(value),) * n
    if len(value) == 1:
        return (index(value[0]),) * n
    return tuple([index(v) for v in value]) if len(value) == n else None


__all__ = [
    "C_NAMES",
    "fitting",
    "known",
    "need_floating",
    "need_tensor",
    "need_tensors",
    "repeated",
    "rounded",
    "type_name",
]
