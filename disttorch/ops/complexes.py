"""Complex tensors: their parts as views, and making them."""

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.op import Op, ViewOp
from .arguments import need_tensor
from .pointwise import no_gradient, scalar_name


def _as_pairs(x):
    return x[..., None].view(x.real.dtype)


def _from_pairs(x):
    return np.ascontiguousarray(x).view(np.result_type(x, np.complex64)).reshape(x.shape[:-1])


_view_as_real = ViewOp("ViewAsRealBackward0", _as_pairs, params=("x",), x=lambda g: _view_as_complex(g.contiguous()))
_view_as_complex = ViewOp(
    "ViewAsComplexBackward0", _from_pairs, params=("x",), x=lambda g: _view_as_real(g.resolve_conj())
)
_real = ViewOp("SelectBackward0", lambda x: x.real, x=lambda g: complex(g, no_gradient(g)))
_imag = ViewOp("SelectBackward0", lambda x: x.imag, x=lambda g: complex(no_gradient(g), g))
_complex = Op(
    "ComplexBackward0",
    lambda re, im: np.asarray(re + 1j * im, np.complex128 if re.dtype == np.float64 else np.complex64),
    re=lambda g: real(g),
    im=lambda g: imag(g),
)


def view_as_real(input):
    """A complex tensor as a real one with a last dimension of 2."""
    need_tensor(input, "view_as_real", "input", 1)
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return _view_as_real(input)


def view_as_complex(input):
    """A real tensor whose last dimension is 2 as a complex one."""
    need_tensor(input, "view_as_complex", "input", 1)
    if input.dtype not in (dtypes.float32, dtypes.float64, dtypes.float16):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{dtypes.SCALAR_NAMES[input.dtype]}"
        )
    if input._data.ndim == 0 or input._data.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    return _view_as_complex(input)


def real(input):
    """The real part, as a view; a real tensor is returned as it is."""
    need_tensor(input, "real", "input", 1)
    return _real(input) if input.dtype.is_complex else input


def imag(input):
    """The imaginary part, as a view."""
    need_tensor(input, "imag", "input", 1)
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _imag(input)


def complex(real, imag, *, out=None):
    """real + i imag."""
    need_tensor(real, "complex", "real", 1)
    need_tensor(imag, "complex", "imag", 2)
    if any(not t.dtype.is_floating_point or t.dtype is dtypes.bfloat16 for t in (real, imag)):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {scalar_name(real)} and "
            f"{scalar_name(imag)}"
        )
    if out is not None and out.dtype is not real.dtype.to_complex():
        raise RuntimeError(
            f"Expected object of scalar type {dtypes.SCALAR_NAMES[real.dtype.to_complex()]} but got scalar type "
            f"{scalar_name(out)} for argument 'out'"
        )
    if real.dtype is not imag.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {dtypes.SCALAR_NAMES[real.dtype]} but got scalar type "
            f"{dtypes.SCALAR_NAMES[imag.dtype]} for second argument"
        )
    return write(out, _complex(real, imag))


def polar(abs, angle, *, out=None):
    """abs * exp(i angle)."""
    need_tensor(abs, "polar", "abs", 1)
    need_tensor(angle, "polar", "angle", 2)
    if any(not t.dtype.is_floating_point or t.dtype is dtypes.bfloat16 for t in (abs, angle)):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {scalar_name(abs)} and "
            f"{scalar_name(angle)}"
        )
    if abs.dtype is not angle.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {scalar_name(abs)} but got scalar type {scalar_name(angle)} for second "
            "argument"
        )
    return complex(abs * angle.cos(), abs * angle.sin(), out=out)


__all__ = ["complex", "imag", "polar", "real", "view_as_complex", "view_as_real"]
