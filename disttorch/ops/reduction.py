"""Reductions over dimensions: sums, products, extremes, moments, and running ones.

A `dim` may be an int, a sequence or None (all). Gradients are put back with `_spread`.
"""

import math

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from .arithmetic import conj


def axes(dim, ndim: int) -> tuple:
    """The dimensions named by `dim` as non-negative ints; IndexError (PyTorch's text) for one that is not there."""
    if dim is None:
        return tuple(range(ndim))
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if not dims:
        return tuple(range(ndim))
    found = tuple([axis(d, ndim) for d in dims])
    if len(set(found)) != len(found):
        repeated = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"dim {repeated} appears multiple times in the list of dims")
    return found


def axis(dim: int, ndim: int) -> int:
    """`dim` as a non-negative int; IndexError (PyTorch's text) if there is no such dimension. 0-dimensional tensors have dim 0."""
    size = ndim or 1
    if not -size <= dim < size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})")
    return dim % size


def _spread(g, shape, dim, keepdim):
    """A reduction's gradient, broadcast back over the reduced dimensions."""
    if not keepdim and len(shape):
        for d in sorted(dim):
            g = g.unsqueeze(d)
    return g.expand(shape)


def _reduce(function, a, dim, keepdim, **kwargs):
    return function(a, axis=dim if a.ndim else None, keepdims=keepdim and a.ndim > 0, **kwargs)


def _accumulated(function):
    """A sum in float32 for the 16-bit floats, rounded once at the end."""

    def forward(a, dim, keepdim):
        if a.dtype.itemsize == 2 and a.dtype.kind in "fV":
            return np.asarray(_reduce(function, a.astype(np.float32), dim, keepdim)).astype(a.dtype)
        return _reduce(function, a, dim, keepdim)

    return forward


_sum = Op("SumBackward1", _accumulated(np.sum), params=("x", "dim", "keepdim"), x=lambda g, x_shape, dim, keepdim: _spread(g, x_shape, dim, keepdim))


def _typed(input, dtype, whole=dtypes.int64):
    """The input in the dtype in which it is summed: `dtype`, or int64 for integers."""
    if dtype is not None:
        return input.to(dtype)
    return input if input._data.dtype.kind in "fcV" or whole is None else input.to(whole)


def sum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Sum over `dim` (all if None). Integers and bools are summed as int64 unless `dtype` says otherwise."""
    input = _typed(input, dtype)
    return write(out, _sum(input, axes(dim, input._data.ndim), keepdim))


def nansum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Sum with NaN counted as 0."""
    return sum(input.masked_fill(input.isnan(), 0), dim, keepdim, dtype=dtype, out=out)


def _count(shape, dims) -> int:
    return math.prod([shape[d] for d in dims]) if shape else 1


_mean = Op(
    "MeanBackward0",
    _accumulated(np.mean),
    params=("x", "dim", "keepdim"),
    x=lambda g, x_shape, dim, keepdim: _spread(g, x_shape, dim, keepdim) / _count(x_shape, dim),
)


def _need_float(input, name, dtype=None):
    d = dtype or input.dtype
    if d.category < dtypes.FLOATING:
        raise RuntimeError(
            f"{name}(): could not infer output dtype. {'Input' if dtype is None else 'Optional'} dtype must be either a floating "
            f"point or complex dtype. Got: {dtypes.SCALAR_NAMES[d]}"
        )


def mean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Mean over `dim` (all if None) of a floating or complex tensor."""
    _need_float(input, "mean", dtype)
    input = _typed(input, dtype)
    with np.errstate(all="ignore"):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return write(out, _mean(input, axes(dim, input._data.ndim), keepdim))


def nanmean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Mean of the elements that are not NaN."""
    known = ~input.isnan()
    return write(out, nansum(input, dim, keepdim, dtype=dtype) / known.sum(dim, keepdim))


def _variance_rule(g, x, dim, correction, keepdim):
    freedom = max(_count(x._data.shape, dim) - correction, 0)
    g = _spread(g, x._data.shape, dim, keepdim)
    return g * (2.0 / freedom if freedom else math.nan) * (x - x.mean(dim, True))


def _variance(a, dim, correction, keepdim):
    wide = a.astype(np.float32) if a.dtype.itemsize == 2 else a
    with np.errstate(all="ignore"):
        centred = wide - np.mean(wide, axis=dim if a.ndim else None, keepdims=True)
        squares = (centred * centred.conj()).real if a.dtype.kind == "c" else centred * centred
        freedom = max(_count(a.shape, dim) - correction, 0)
        total = np.sum(squares, axis=dim if a.ndim else None, keepdims=keepdim and a.ndim > 0)
        return np.asarray(np.true_divide(total, np.asarray(freedom, total.dtype))).astype(a.real.dtype if a.dtype.kind == "c" else a.dtype)


_var = Op("VarBackward0", _variance, params=("x", "dim", "correction", "keepdim"), x=_variance_rule)
_std = Op(
    "StdBackward0",
    lambda a, dim, correction, keepdim: np.sqrt(_variance(a, dim, correction, keepdim)),
    params=("x", "dim", "correction", "keepdim"),
    x=lambda g, x, dim, correction, keepdim, out: _variance_rule((g / (out * 2)).masked_fill(out == 0, 0), x, dim, correction, keepdim),
)


def _moment(name, op):
    def function(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None):
        if isinstance(dim, bool):  # var(unbiased)
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        if input._data.dtype.kind not in "fcV":
            raise RuntimeError(f"{name} only support floating point and complex dtypes")
        dims = axes(dim, input._data.ndim)
        if _count(input._data.shape, dims) - correction <= 0:
            import warnings

            warnings.warn(
                f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel "
                "divided by output numel).",
                stacklevel=2,
            )
        return write(out, op(input, dims, correction, keepdim))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {'variance' if name == 'var' else 'standard deviation'} over `dim`, divided by N - correction (default 1)."
    return function


var, std = _moment("var", _var), _moment("std", _std)


def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(variance, mean)."""
    v = var(input, dim, unbiased, keepdim, correction=correction)
    return v, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(standard deviation, mean)."""
    s = std(input, dim, unbiased, keepdim, correction=correction)
    return s, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def _prod_rule(g, x, dim, keepdim):
    """Exact with zeros too: the product of all others, from running products of both sides."""
    if len(dim) > 1:
        flat = x.reshape(-1)
        return _prod_rule(g.reshape(()), flat, (0,), False).reshape(x._data.shape)
    if x._data.ndim == 0:
        return g
    d = dim[0]
    ones = x.narrow(d, 0, 1) * 0 + 1 if x._data.shape[d] else x
    n = x._data.shape[d]
    if n == 0:
        return g.new_zeros(x._data.shape)
    from .shape import cat, flip

    before = cat([ones, x.narrow(d, 0, n - 1)], d).cumprod(d)
    after = flip(cat([ones, flip(x, (d,)).narrow(d, 0, n - 1)], d).cumprod(d), (d,))
    return _spread(g, x._data.shape, dim, keepdim) * conj(before * after)


_prod = Op("ProdBackward0", _accumulated(np.prod), params=("x", "dim", "keepdim"), x=_prod_rule)


def prod(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Product over `dim` (all if None)."""
    input = _typed(input, dtype)
    return write(out, _prod(input, axes(dim, input._data.ndim), keepdim))


# -- extremes ---------------------------------------------------------------------------------------------------------
def _even(g, x, out, dim, keepdim):
    """amax's and amin's gradient: shared evenly among the elements that attain the extreme."""
    attained = x == _spread(out, x._data.shape, dim, keepdim)
    return (_spread(g, x._data.shape, dim, keepdim) / attained.sum(dim, True)).masked_fill(~attained, 0)


def _extreme_forward(function):
    def forward(a, dim, keepdim):
        if a.size == 0 and any(a.shape[d] == 0 for d in dim):
            raise IndexError(
                f"{function.__name__}(): Expected reduction dim {next(d for d in dim if a.shape[d] == 0)} to have non-zero size."
            )
        return _reduce(function, a, dim, keepdim)

    return forward


_amax = Op("AmaxBackward0", _extreme_forward(np.amax), params=("x", "dim", "keepdim"), x=_even)
_amin = Op("AminBackward0", _extreme_forward(np.amin), params=("x", "dim", "keepdim"), x=_even)


def amax(input, dim=(), keepdim=False, *, out=None):
    """The largest elements over `dim`; equal ones share the gradient evenly."""
    return write(out, _amax(input, axes(dim, input._data.ndim), keepdim))


def amin(input, dim=(), keepdim=False, *, out=None):
    """The smallest elements over `dim`; equal ones share the gradient evenly."""
    return write(out, _amin(input, axes(dim, input._data.ndim), keepdim))


def aminmax(input, *, dim=None, keepdim=False):
    """(amin, amax) over `dim`."""
    return _pair("aminmax", "min", "max")(amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim))


def pair_type(name: str, *fields: str):
    """A named tuple that prints as PyTorch's return types do."""
    from collections import namedtuple

    kind = namedtuple(name, fields)
    kind.__module__ = "torch.return_types"
    kind.__repr__ = lambda self: f"torch.return_types.{name}(\n" + ",\n".join(f"{f}={v!r}" for f, v in zip(fields, self, strict=True)) + ")"
    return kind


_types: dict = {}


def _pair(name, *fields):
    if name not in _types:
        _types[name] = pair_type(name, *fields)
    return _types[name]


def arg_extreme(function, a, dim, keepdim=False):
    """argmax or argmin along one dimension; NaN counts as the extreme, the first one wins."""
    if a.ndim == 0:
        return np.zeros((), np.int64)
    if dim is not None and a.shape[dim] == 0 or (dim is None and a.size == 0):
        raise IndexError(f"{function.__name__}(): Expected reduction dim {dim or 0} to have non-zero size.")
    wide = a.astype(np.float32) if a.dtype.kind == "V" else a
    return np.asarray(function(wide, axis=dim, keepdims=keepdim), np.int64)


def _arg(name, function):
    def call(input, dim=None, keepdim=False, *, out=None):
        a = input._data
        if input.dtype is dtypes.bool_:
            raise RuntimeError(f'"{name}_cpu" not implemented for \'Bool\'')
        found = arg_extreme(function, a, None if dim is None else axis(dim, a.ndim), keepdim)
        return write(out, wrap(found, input.device))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"The index of the {'largest' if name == 'argmax' else 'smallest'} element along `dim` (of the flattened tensor if None)."
    return call


argmax, argmin = _arg("argmax", np.argmax), _arg("argmin", np.argmin)


def _extreme(name, arg, whole, between):
    def function(input, *args, dim=None, keepdim=False, other=None, out=None):
        if args and isinstance(args[0], Tensor) or other is not None:
            return between(input, args[0] if args else other, out=out)
        if args:
            dim, *rest = args
            keepdim = rest[0] if rest else keepdim
        if dim is None:
            if input._data.size == 0:
                raise RuntimeError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
                )
            return write(out, whole(input, tuple(range(input._data.ndim)), False))
        from .indexing import gather

        d = axis(dim, input._data.ndim)
        if input._data.ndim == 0:
            result = _pair(name, "values", "indices")(input.clone(), wrap(np.zeros((), np.int64), input.device))
        else:
            index = wrap(arg_extreme(arg, input._data, d, True), input.device)
            values = gather(input, d, index)
            if not keepdim:
                values, index = values.squeeze(d), index.squeeze(d)
            result = _pair(name, "values", "indices")(values, index)
        if out is not None:
            return _pair(name, "values", "indices")(*[write(o, r) for o, r in zip(out, result, strict=True)])
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


max = _extreme("max", np.argmax, Op("MaxBackward1", _extreme_forward(np.amax), params=("x", "dim", "keepdim"), x=_even), _between("maximum"))
min = _extreme("min", np.argmin, Op("MinBackward1", _extreme_forward(np.amin), params=("x", "dim", "keepdim"), x=_even), _between("minimum"))


# -- truth ------------------------------------------------------------------------------------------------------------
def _truth(name, function):
    def call(input, dim=None, keepdim=False, *, out=None):
        a = input._data
        found = np.asarray(_reduce(function, a, axes(dim, a.ndim), keepdim))
        return write(out, wrap(found.astype(np.uint8) if input.dtype is dtypes.uint8 else found, input.device))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Whether {name} of the elements along `dim` (of all if None) are true."
    return call


all, any = _truth("all", np.all), _truth("any", np.any)


def count_nonzero(input, dim=None):
    """How many elements differ from 0 along `dim`."""
    a = input._data
    return wrap(np.asarray(np.count_nonzero(a, axis=axes(dim, a.ndim) if a.ndim else None), np.int64), input.device)


# -- logarithms of sums -----------------------------------------------------------------------------------------------
def logsumexp(input, dim, keepdim=False, *, out=None):
    """log(sum(exp(input))) over `dim`, computed without overflow."""
    x = input if input._data.dtype.kind in "fcV" else input.to(dtypes.get_default_dtype())
    return write(out, _logsumexp(x, axes(dim, x._data.ndim), keepdim))


def _logsumexp_forward(a, dim, keepdim):
    if a.ndim == 0:
        return a.copy()
    with np.errstate(all="ignore"):
        top = np.max(a.real, axis=dim, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0).astype(a.real.dtype)
        total = np.log(np.sum(np.exp(a - top), axis=dim, keepdims=True)) + top
    return total if keepdim else np.squeeze(total, dim)


_logsumexp = Op(
    "LogsumexpBackward0",
    _logsumexp_forward,
    params=("x", "dim", "keepdim"),
    x=lambda g, x, dim, keepdim, out: _spread(g, x._data.shape, dim, keepdim) * conj((x - _spread(out, x._data.shape, dim, keepdim)).exp()),
)


# -- running ----------------------------------------------------------------------------------------------------------
def _running(function):
    def forward(a, dim):
        if a.ndim == 0:
            return a.copy()
        if a.dtype.itemsize == 2 and a.dtype.kind in "fV":
            return function(a.astype(np.float32), axis=dim).astype(a.dtype)
        return function(a, axis=dim)

    return forward


def _reverse_cumsum(g, dim):
    from .shape import flip

    return flip(flip(g, (dim,)).cumsum(dim), (dim,)) if g._data.ndim else g


_cumsum = Op("CumsumBackward0", _running(np.cumsum), params=("x", "dim"), x=lambda g, dim: _reverse_cumsum(g, dim))


def cumsum(input, dim, *, dtype=None, out=None):
    """Running sum along `dim`."""
    input = _typed(input, dtype)
    return write(out, _cumsum(input, axis(dim, input._data.ndim)))


def _cumprod_rule(g, x, out, dim):
    if x._data.ndim == 0:
        return g
    if not bool((x._data == 0).any()):
        return _reverse_cumsum(g * conj(out), dim) / conj(x)
    # with zeros: out[k] = prefix(i) * x[i] * product(i+1..k), summed over k for each i
    from .shape import stack

    n, rows = x._data.shape[dim], []
    one = x.select(dim, 0) * 0 + 1
    prefix = one
    for i in range(n):
        run, total = prefix, None
        for k in range(i, n):
            if k > i:
                run = run * x.select(dim, k)
            term = g.select(dim, k) * conj(run)
            total = term if total is None else total + term
        rows.append(total)
        prefix = prefix * x.select(dim, i)
    return stack(rows, dim)


_cumprod = Op("CumprodBackward0", _running(np.cumprod), params=("x", "dim"), x=_cumprod_rule)


def cumprod(input, dim, *, dtype=None, out=None):
    """Running product along `dim`."""
    input = _typed(input, dtype)
    return write(out, _cumprod(input, axis(dim, input._data.ndim)))


def logcumsumexp(input, dim, *, out=None):
    """log of the running sum of exp along `dim`, computed without overflow."""
    return write(out, _logcumsumexp(input, axis(dim, input._data.ndim)))


def _logcumsumexp_rule(g, x, out, dim):
    return _reverse_cumsum(g * (-out).exp(), dim) * x.exp()


_logcumsumexp = Op(
    "LogcumsumexpBackward0",
    lambda a, dim: np.logaddexp.accumulate(a, axis=dim) if a.ndim else a.copy(),
    params=("x", "dim"),
    x=_logcumsumexp_rule,
)


def _cum_extreme(name, ufunc, better):
    def function(input, dim, *, out=None):
        from .indexing import gather

        a = input._data
        d = axis(dim, a.ndim)
        if a.ndim == 0:
            return _pair(name, "values", "indices")(input.clone(), wrap(np.zeros((), np.int64), input.device))
        best = ufunc.accumulate(a, axis=d)
        position = np.arange(a.shape[d]).reshape([-1 if i == d else 1 for i in range(a.ndim)])
        at = np.where((a == best) | (np.isnan(a) if a.dtype.kind == "f" else False), position, 0)
        index = wrap(np.maximum.accumulate(at, axis=d), input.device)
        result = _pair(name, "values", "indices")(gather(input, d, index), index)
        return result if out is None else _pair(name, "values", "indices")(*[write(o, r) for o, r in zip(out, result, strict=True)])

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Running {better} along `dim`: (values, indices); of equal ones the last."
    return function


cummax, cummin = _cum_extreme("cummax", np.maximum, "maximum"), _cum_extreme("cummin", np.minimum, "minimum")

__all__ = [
    "all", "amax", "amin", "aminmax", "any", "arg_extreme", "argmax", "argmin", "axes", "axis", "count_nonzero",
    "cummax", "cummin", "cumprod", "cumsum", "logcumsumexp", "logsumexp", "max", "mean", "min", "nanmean", "nansum",
    "pair_type", "prod", "std", "std_mean", "sum", "var", "var_mean",
]  # fmt: skip
