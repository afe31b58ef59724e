"""The largest and smallest elements and where they are."""

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..kernels.portable.precision import in_float32
from .arguments import C_NAMES, need_tensor
from .dims import axes, axis
from .matmul import kernels_of
from .named import named, pair, with_node
from .pointwise import hushed
from .reduction import LONG, _reduce, _spread, is_short, row_extremes
from .scatter import _along, _gather, _take_along

FEW = 1 << 10  # elements below which NumPy's methods find an extreme's place the fastest


def _even(g, x, out, dim, keepdim):
    """amax's and amin's gradient: shared evenly among the elements that attain the extreme; NaN where it is NaN."""
    attained = x == _spread(out, x._data.shape, dim, keepdim)
    return _spread(g, x._data.shape, dim, keepdim) / attained.sum(dim, True) * attained


def even_of_all(g, x, out):
    """The gradient of one element chosen of all, shared evenly among its equals; NaN counts as NaN's equal."""
    attained = x.isnan() if np.isnan(out._data) else x == out
    return (g / attained.sum()).masked_fill(~attained, 0)


def _extreme_forward(function, ufunc):
    reduce = hushed(ufunc.reduce)

    def forward(a, dim, keepdim):
        if a.dtype.kind == "V":
            return in_float32(forward)(a, dim, keepdim)
        if a.size >= LONG and is_short(a, dim):
            found = hushed(row_extremes)(ufunc, a)
            return found[..., None] if keepdim else found
        if a.size and type(a) is np.ndarray and a.dtype.kind in "fiu":
            return reduce(a, dim if a.ndim else None, None, None, keepdim and a.ndim > 0)
        if a.size == 0 and any(a.shape[d] == 0 for d in dim):
            raise IndexError(
                f"{function.__name__}(): Expected reduction dim {next(d for d in dim if a.shape[d] == 0)} to have "
                "non-zero size."
            )
        return _reduce(function, a, dim, keepdim)

    return forward


_amax = Op("AmaxBackward0", _extreme_forward(np.amax, np.maximum), params=("x", "dim", "keepdim"), x=_even)
_amin = Op("AminBackward0", _extreme_forward(np.amin, np.minimum), params=("x", "dim", "keepdim"), x=_even)


def _need_dim(name: str, input, dim) -> None:
    need_tensor(input, name, "input", 1)
    if dim in ((), [], None) and input._data.size == 0:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with "
            "the 'dim' argument."
        )


def need_order(input, kernel: str) -> None:
    """NotImplementedError for complex numbers, which have no order."""
    if input._data.dtype.kind == "c":
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_NAMES[input.dtype]}'")


def amax(input, dim=(), keepdim=False, *, out=None):
    """The largest elements over `dim`; equal ones share the gradient evenly."""
    _need_dim("amax", input, dim)
    need_order(input, "max_values_cpu")
    return write(out, _amax(input, axes(dim, input._data.ndim), keepdim))


def amin(input, dim=(), keepdim=False, *, out=None):
    """The smallest elements over `dim`; equal ones share the gradient evenly."""
    _need_dim("amin", input, dim)
    need_order(input, "min_values_cpu")
    return write(out, _amin(input, axes(dim, input._data.ndim), keepdim))


def aminmax(input, *, dim=None, keepdim=False, out=None):
    """(min, max) over `dim`."""
    need_tensor(input, "aminmax", "input", 1)
    need_order(input, "aminmax_cpu")
    a = input._data
    dims = () if dim is None else (axis(dim, a.ndim),)
    if dim is not None and a.ndim and a.shape[dims[0]] == 0:
        raise IndexError(f"aminmax: Expected reduction dim {dims[0]} to have non-zero size.")
    if dim is None and a.size == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    for o in out or ():
        if o.dtype is not input.dtype:
            raise RuntimeError(
                f"Expected out tensor to have dtype {C_NAMES[input.dtype.name]}, but got {C_NAMES[o.dtype.name]} "
                "instead"
            )
    made = amin(input, dims, keepdim), amax(input, dims, keepdim)
    return named("aminmax", "min", "max")(
        *made if out is None else [write(o, t) for o, t in zip(out, made, strict=True)]
    )


def arg_extreme(function, a, dim, keepdim=False, name=None):
    """argmax or argmin along one dimension; NaN counts as the extreme, the first one wins."""
    if a.ndim == 0:
        return np.zeros((), np.int64)
    if dim is None and a.size == 0:
        raise IndexError(f"{function.__name__}(): Expected reduction dim to be specified for input.numel() == 0.")
    if dim is not None and a.shape[dim] == 0:
        raise IndexError(f"{name or function.__name__}(): Expected reduction dim {dim} to have non-zero size.")
    wide = a.astype(np.float32) if a.dtype.kind == "V" else a
    if type(wide) is np.ndarray and wide.size < FEW:  # as a method at a third of the price of NumPy's functions
        found = wide.argmax(dim) if function is np.argmax else wide.argmin(dim)
        if not keepdim:
            return np.asarray(found, np.int64)
        return found.reshape([1 if dim is None or k == dim else n for k, n in enumerate(a.shape)])
    if keepdim and dim is not None and function is np.argmax:
        return kernels_of(wide).argmax(wide, dim)
    return np.asarray(function(wide, axis=dim, keepdims=keepdim), np.int64)


def _arg(name, function):
    def call(input, dim=None, keepdim=False, *, out=None):
        need_tensor(input, name, "input", 1)
        a = input._data
        if a.dtype.kind == "c":
            raise RuntimeError(f"{name}(): does not support complex input")
        if input.dtype is dtypes.bool_:
            raise RuntimeError(f"{name}(): does not support bool input")
        found = arg_extreme(function, a, None if dim is None else axis(dim, a.ndim), keepdim)
        return write(out, wrap(found, input.device))

    call.__name__ = call.__qualname__ = name
    which = "largest" if name == "argmax" else "smallest"
    call.__doc__ = f"The index of the {which} element along `dim` (of the flattened tensor if None)."
    return call


argmax, argmin = _arg("argmax", np.argmax), _arg("argmin", np.argmin)


def _order(a):
    """The axes from the outermost to the innermost in memory."""
    if a.flags.c_contiguous:
        return tuple(range(a.ndim))
    return tuple(sorted(range(a.ndim), key=lambda k: -a.strides[k]))


def _extremes(x, dim, index, keepdim):
    found = _take_along(x, dim, index)
    return found if keepdim else found.reshape(x.shape[:dim] + x.shape[dim + 1 :])


def _place(g, shape, dim, index, order):
    """Zeros, in memory by that order of axes, and g's elements, one a line, at their positions along `dim`."""
    z = np.zeros_like(g, shape=[shape[k] for k in order], order="C").transpose([order.index(k) for k in range(g.ndim)])
    z[_along(z, dim, index)] = g
    return z


# The gradient lies as the input does: operations that read both need not turn it.
_picked = Op(
    "GatherBackward0",
    lambda x, dim, index, order, keepdim: _extremes(x, dim, index, keepdim),
    params=("x", "dim", "index", "order", "keepdim"),
    x=lambda g, x_shape, dim, index, order, keepdim: _placed(
        g if keepdim else g.unsqueeze(dim), x_shape, dim, index, order
    ),
)
_placed = Op(
    "ScatterAddBackward0",
    _place,
    params=("g", "shape", "dim", "index", "order"),
    g=lambda g, dim, index: _gather(g, dim, index),
)


def _extreme(name, arg, whole, between):
    def function(input, *args, dim=None, keepdim=False, other=None, out=None):
        need_tensor(input, name, "input", 1)
        if (args and isinstance(args[0], Tensor)) or other is not None:
            return between(input, args[0] if args else other, out=out)
        if args:
            dim, *rest = args
            keepdim = rest[0] if rest else keepdim
        if dim is None:
            need_order(input, f"{name}_all")
            if input._data.size == 0:
                raise RuntimeError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
                    "dim with the 'dim' argument."
                )
            made = whole.of_one(input, tuple(range(input._data.ndim)), False)
            return made if out is None else write(out, made)
        if input._data.dtype.kind == "c":
            raise RuntimeError(f"{name}(): does not support complex input")
        d = axis(dim, input._data.ndim)
        if input._data.ndim == 0:
            result = pair(name)(input.clone(), wrap(np.zeros((), np.int64), input.device))
        else:
            found = arg_extreme(arg, input._data, d, True, name)
            index = wrap(found, input.device)
            values = _picked(input, d, index, _order(input._data), keepdim)
            if not keepdim:
                index = wrap(found.squeeze(d), input.device)
            result = pair(name)(with_node(values, f"{name.capitalize()}Backward0"), index)
        if out is not None:
            return pair(name)(*[write(o, r) for o, r in zip(out, result, strict=True)])
        return result

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{name}(input): the {name}imum of all. {name}(input, dim, keepdim): (values, indices) along a dimension. "
        f"{name}(input, other): elementwise."
    )
    return function


def _between(name):
    def call(input, other, *, out=None):
        from . import arithmetic

        return getattr(arithmetic, name)(input, other, out=out)

    return call


max = _extreme(
    "max",
    np.argmax,
    Op("MaxBackward1", _extreme_forward(np.amax, np.maximum), params=("x", "dim", "keepdim"), x=even_of_all),
    _between("maximum"),
)
min = _extreme(
    "min",
    np.argmin,
    Op("MinBackward1", _extreme_forward(np.amin, np.minimum), params=("x", "dim", "keepdim"), x=even_of_all),
    _between("minimum"),
)

__all__ = ["amax", "amin", "aminmax", "arg_extreme", "argmax", "argmin", "max", "min"]
