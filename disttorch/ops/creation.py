"""Making tensors: of constants, like another, of a matrix's diagonal and triangles."""

import math
from collections.abc import Sequence

import numpy as np

from .. import dtypes, meta
from ..autograd.inplace import write
from ..autograd.variable import Tensor, wrap
from ..devices import META, namespace, resolve, scope
from ..layouts import asked, by_kernel
from .arguments import need_tensor, type_name
from .copying import channels_last, channels_last_3d, contiguous_format, preserve_format
from .fill import NUMBERS, element

_BY_TYPE = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_, complex: dtypes.complex128}


def as_dtype(name: str, dtype) -> dtypes.dtype | None:
    """A dtype argument, which may be one of Python's types; TypeError (PyTorch's text) for anything else."""
    if dtype is None or isinstance(dtype, dtypes.dtype):
        return dtype
    try:
        return _BY_TYPE[dtype]
    except (KeyError, TypeError):
        raise TypeError(f"{name}(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}") from None


def as_shape(name: str, size, position: int = 1) -> tuple:
    """`f(2, 3)` and `f((2, 3))` alike as a tuple of non-negative ints; PyTorch's errors otherwise."""
    given = size[0] if len(size) == 1 else 0
    plain = given if type(given) is tuple else size
    for n in plain:
        if type(n) is not int or n < 0:
            break
    else:
        return tuple(plain)
    if type(given) is not int and isinstance(given, (tuple, Sequence)) and not isinstance(given, str):
        size = size[0]
        element_error = True
    else:
        element_error = len(size) > 1
    shape = []
    for i, n in enumerate(size):
        if type(n) is not int and not hasattr(n, "__index__"):
            if i:
                raise TypeError(
                    f"{name}(): argument 'size' failed to unpack the object at pos {i + 1} with error "
                    f'"type must be tuple of ints,but got {type(n).__name__}"'
                )
            what = f"found element of type {type(n).__name__} at pos {i}" if element_error else None
            raise TypeError(
                f"{name}(): argument 'size' (position {position}) must be tuple of ints, "
                + (f"but {what}" if what else f"not {type(n).__name__}")
            )
        shape.append(n.__index__())
    if shape and min(shape) < 0:
        negative = next(n for n in shape if n < 0)
        if name == "zeros":
            raise RuntimeError("zeros: Dimension size must be non-negative.")
        raise RuntimeError(f"Trying to create tensor with negative dimension {negative}: {shape}")
    return tuple(shape)


def check_layout(layout) -> None:
    if layout is not None and str(layout) != "torch.strided":
        raise NotImplementedError(f"layout {layout} is not supported: tensors here are dense (torch.strided)")


def created(name, shape, make, out, dtype, layout, device, requires_grad) -> Tensor:
    """The tensor of `make(namespace, shape, NumPy dtype)`, as the options that all factories share ask for."""
    d = as_dtype(name, dtype)
    check_layout(layout)
    if out is not None:
        if d is not None and d is not out.dtype:
            raise RuntimeError(
                f"dtype {dtypes.SCALAR_NAMES[d]} does not match dtype of out parameter "
                f"({dtypes.SCALAR_NAMES[out.dtype]})"
            )
        d, where = out.dtype, out.device
    else:
        d, where = d or dtypes.get_default_dtype(), resolve(device)
    if where.host:
        t = wrap(make(np, shape, d.np), where)
    elif where is META:
        t = wrap(meta.unbacked(shape, d.np), where)
    else:
        with scope(where):
            t = wrap(make(namespace(where), shape, d.np), where)
    return write(out, t, warned=False) if out is not None else leaf(t, requires_grad)


def leaf(t: Tensor, requires_grad: bool) -> Tensor:
    if requires_grad:
        if not (t.dtype.is_floating_point or t.dtype.is_complex):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        t._rg = True
    return t


def _constant(value):
    def make(xp, shape, np_type):
        made = xp.empty(shape, np_type)
        made.fill(value)  # xp.full takes twice as long
        return made

    return make


_ZEROS, _ONES, EMPTY = lambda xp, *a: xp.zeros(*a), _constant(1), lambda xp, *a: xp.empty(*a)


def sized(name, size, named: dict) -> tuple:
    """The shape in the arguments of a factory, where it may also be named `size`."""
    if "size" in named:
        size = (named.pop("size"),)
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
    if not size:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    return as_shape(name, size)


def zeros(*size, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, **named):
    """A tensor of zeros: zeros(2, 3) or zeros((2, 3))."""
    return created("zeros", sized("zeros", size, named), _ZEROS, out, dtype, layout, device, requires_grad)


def ones(*size, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, **named):
    """A tensor of ones: ones(2, 3) or ones((2, 3))."""
    return created("ones", sized("ones", size, named), _ONES, out, dtype, layout, device, requires_grad)


def empty(
    *size, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, memory_format=None,
    **named
):  # fmt: skip
    """A tensor whose elements hold what happened to lie in its memory."""
    shape = sized("empty", size, named)
    return created("empty", shape, _laid_out(shape, memory_format), out, dtype, layout, device, requires_grad)


def _laid_out(shape, memory_format):
    rank = {channels_last: 4, channels_last_3d: 5}.get(memory_format)
    if rank is None:
        return EMPTY
    if len(shape) != rank:
        raise RuntimeError(f"required rank {rank} tensor to use {memory_format.removeprefix('torch.')} format")
    asked.add(memory_format)
    return lambda xp, shape, np_type: xp.moveaxis(xp.empty((shape[0], *shape[2:], shape[1]), np_type), -1, 1)


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Like `empty`, with the steps from one entry of each dimension to the next given in elements."""
    shape = as_shape("empty_strided", (size,))
    if len(shape) != len(stride):
        raise RuntimeError(
            f"empty_strided: dimensionality of sizes ({len(shape)}) must match dimensionality of strides "
            f"({len(stride)})"
        )

    def make(xp, shape, np_type):
        span = 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) if math.prod(shape) else 0
        base = xp.empty(span, np_type)
        steps = tuple([s * base.itemsize for s in stride])
        return xp.lib.stride_tricks.as_strided(base, shape, steps)

    return created("empty_strided", shape, make, None, dtype, layout, device, requires_grad)


def empty_permuted(
    size, physical_layout, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):  # fmt: skip
    """Like `empty`, with the dimensions lying in memory in the order `physical_layout`."""
    shape = as_shape("empty_permuted", (size,))
    if len(shape) != len(physical_layout):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(shape)} is not equal to len(physical_layout) = {len(physical_layout)}"
        )
    for place, d in enumerate(physical_layout):
        if not 0 <= d < len(shape):
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {len(shape) - 1}, but got {d} at index "
                f"{place}).  NB: negative dims not currently supported; file an issue if you want it."
            )
    if len(set(physical_layout)) < len(shape):
        raise RuntimeError("Duplicate dim not allowed")
    inverse = sorted(range(len(shape)), key=physical_layout.__getitem__)
    return created(
        "empty_permuted",
        shape,
        lambda xp, shape, np_type: xp.empty([shape[i] for i in physical_layout], np_type).transpose(inverse),
        None,
        dtype,
        layout,
        device,
        requires_grad,
    )


def full(
    size, fill_value, *, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False,
    names=None,
):  # fmt: skip
    """A tensor of `fill_value`, whose kind gives the dtype unless one is given."""
    if isinstance(size, int):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, not int")
    shape = as_shape("full", (size,))
    if isinstance(fill_value, Tensor):
        fill_value = fill_value._data.item()
    elif not isinstance(fill_value, NUMBERS):
        raise TypeError(f"full(): argument 'fill_value' (position 2) must be Number, not {type(fill_value).__name__}")
    d = as_dtype("full", dtype) or (out.dtype if out is not None else dtypes.of_scalar(fill_value))
    return created("full", shape, _constant(element(fill_value, d)), out, d, layout, device, requires_grad)


def scalar_tensor(s, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """A tensor of no dimensions, of the default dtype unless one is given."""
    return full((), s, dtype=dtype or dtypes.get_default_dtype(), device=device, requires_grad=requires_grad)


# -- like another -----------------------------------------------------------------------------------------------------
def like(name, input, make, dtype, layout, device, requires_grad, memory_format=None) -> Tensor:
    """A tensor of `input`'s shape, and of its dtype, device and order in memory unless others are given."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type_name(input)}")
    shape, data = input._data.shape, input._data
    if memory_format in (channels_last, channels_last_3d):
        fresh = _laid_out(shape, memory_format)
    elif memory_format == contiguous_format or data.flags.c_contiguous or not _dense(data) or by_kernel(input):
        fresh = EMPTY
    else:
        order = sorted(range(data.ndim), key=lambda i: -data.strides[i])
        inverse = sorted(range(data.ndim), key=order.__getitem__)
        fresh = lambda xp, shape, np_type: xp.empty([shape[i] for i in order], np_type).transpose(inverse)  # noqa: E731
    if memory_format not in (None, preserve_format, contiguous_format, channels_last, channels_last_3d):
        raise RuntimeError(f"unsupported memory format {memory_format}")
    d = as_dtype(name, dtype) or input.dtype
    out = created(name, shape, fresh, None, d, layout, device or input.device, requires_grad)
    if make is not None and out.device.host:
        out._data.fill(make)
    elif make is not None and out.device is not META:
        with scope(out.device):
            out._data[...] = make
    return out


def _dense(data) -> bool:
    """Whether the elements fill their memory without holes or overlaps, in some order of the dimensions."""
    step = data.itemsize
    for stride, n in sorted((s, n) for s, n in zip(data.strides, data.shape, strict=True) if n != 1):
        if stride != step:
            return False
        step *= n
    return True


def zeros_like(
    input, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, memory_format=None
):  # fmt: skip
    """Zeros in the shape of `input`."""
    return like("zeros_like", input, 0, dtype, layout, device, requires_grad, memory_format)


def ones_like(
    input, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, memory_format=None
):  # fmt: skip
    """Ones in the shape of `input`."""
    return like("ones_like", input, 1, dtype, layout, device, requires_grad, memory_format)


def empty_like(
    input, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, memory_format=None
):  # fmt: skip
    """An uninitialised tensor in the shape of `input`."""
    return like("empty_like", input, None, dtype, layout, device, requires_grad, memory_format)


def full_like(
    input, fill_value, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
    memory_format=None,
):  # fmt: skip
    """`fill_value` in the shape and dtype of `input`."""
    need_tensor(input, "full_like", "input", 1)
    value = element(fill_value, as_dtype("full_like", dtype) or input.dtype)
    return like("full_like", input, value, dtype, layout, device, requires_grad, memory_format)


# -- matrices ---------------------------------------------------------------------------------------------------------
def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """Ones on the diagonal of an n by m matrix, zeros elsewhere."""
    m = n if m is None else m
    for name, value in (("n", n), ("m", m)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    make = lambda xp, shape, np_type: xp.eye(n, m, dtype=np_type)  # noqa: E731
    return created("eye", (n, m), make, out, dtype, layout, device, requires_grad)


def _triangle(name, row, col, offset, dtype, device, layout, find):
    for label, value in (("row", row), ("col", col)):
        if value < 0:
            raise RuntimeError(f"{label} must be non-negative, got{value}")
    make = lambda xp, shape, np_type: xp.asarray(np.stack(find(row, offset, col)), np_type)  # noqa: E731
    return created(name, None, make, None, dtype, layout, device, False)


def tril_indices(row, col, offset=0, *, dtype=dtypes.int64, device=None, layout=None):
    """The indices (2, count) of the lower triangle of a row by col matrix."""
    return _triangle("tril_indices", row, col, offset, dtype, device, layout, np.tril_indices)


def triu_indices(row, col, offset=0, *, dtype=dtypes.int64, device=None, layout=None):
    """The indices (2, count) of the upper triangle of a row by col matrix."""
    return _triangle("triu_indices", row, col, offset, dtype, device, layout, np.triu_indices)


__all__ = [
    "empty", "empty_like", "empty_permuted", "empty_strided", "eye", "full", "full_like", "ones", "ones_like",
    "scalar_tensor", "tril_indices", "triu_indices", "zeros", "zeros_like",
]  # fmt: skip
