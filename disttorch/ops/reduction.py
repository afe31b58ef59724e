"""Reductions over dimensions: sums, means, products, moments, truth.

A `dim` may be an int, a sequence or None (all). Gradients are put back with `_spread`.
"""

import math

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import wrap
from ..kernels import for_device
from ..kernels.portable.blocks import BLOCK, sum_of
from ..kernels.portable.precision import in_float32, widened
from .arguments import need_tensor
from .arithmetic import conj
from .dims import axes
from .pointwise import hushed

LONG, SHORT = 1 << 13, 1 << 10  # elements from which, and of a row up to which, a product sums rows
WHOLE = 1 << 15  # elements from which products with ones sum all quicker than NumPy
SMALL = 1 << 12  # elements up to which the price of NumPy's functions shows


def _spread(g, shape, dim, keepdim):
    """A reduction's gradient, broadcast back over the reduced dimensions."""
    if not keepdim and len(shape):
        for d in sorted(dim):
            g = g.unsqueeze(d)
    return g.expand(shape)


@hushed
def _reduce(function, a, dim, keepdim, **kwargs):
    return function(a, axis=dim if a.ndim else None, keepdims=keepdim and a.ndim > 0, **kwargs)


def _accumulated(function):
    """A sum in the array's dtype; in float32 for the 16-bit floats, rounded once at the end."""

    def forward(a, dim, keepdim):
        if a.dtype.itemsize == 2 and a.dtype.kind in "fV":
            return np.asarray(_reduce(function, widened(a), dim, keepdim, dtype=np.float32)).astype(a.dtype)
        return _reduce(function, a, dim, keepdim, dtype=a.dtype)

    return forward


def _pair(name, forward, rule):
    """The same reduction of all elements and over given dimensions: PyTorch names their nodes differently."""
    return [Op(f"{name}Backward{k}", forward, params=("x", "dim", "keepdim"), x=rule) for k in (0, 1)]


def _is_rows(a, dim) -> bool:
    """Whether it is over rows of NumPy's float32, which lie one after another."""
    if len(dim) != 1 or dim[0] != a.ndim - 1 or type(a) is not np.ndarray:
        return False
    return a.dtype == np.float32 and a.shape[-1] > 0 and a.flags.c_contiguous


def is_short(a, dim) -> bool:
    """Whether it is rows of few elements that are summed: NumPy starts anew for each, a product with ones does not."""
    return _is_rows(a, dim) and a.shape[-1] <= SHORT


@hushed
def row_sums(a, keepdim):
    """Sums over the last axis: products with ones, of long rows part by part."""
    width = a.shape[-1]
    parts = -(-width // SHORT)
    each = width // parts
    cut = parts * each
    if parts == 1:
        sums = a.reshape(-1, width) @ np.ones(width, a.dtype)
    else:
        rows = a.reshape(-1, width)
        sums = np.add.reduce(np.vecdot(rows[:, :cut].reshape(-1, parts, each), np.ones(each, a.dtype)), axis=1)
        if cut < width:
            sums += np.add.reduce(rows[:, cut:], axis=1)
    return sums.reshape((*a.shape[:-1], 1) if keepdim else a.shape[:-1])


def row_extremes(ufunc, a):
    """Largest or smallest elements (np.maximum, np.minimum) of the last axis, of blocks of rows."""
    rows, kernels = a.reshape(-1, a.shape[-1]), for_device("cpu")
    found, step = np.empty(len(rows), a.dtype), max(1, 4 * BLOCK // a.shape[-1])
    for i in range(0, len(rows), step):
        block = rows[i : i + step]
        found[i : i + step] = kernels.row_maxima(block) if ufunc is np.maximum else -kernels.row_maxima(-block)
    return found.reshape(a.shape[:-1])


def _long_sums(a, dim, keepdim):
    """Sums as products with ones where these are quicker, else None."""
    if a.size < LONG:
        return None
    if _is_rows(a, dim):
        return row_sums(a, keepdim)
    whole = a.size >= WHOLE and len(dim) == a.ndim and type(a) is np.ndarray and a.flags.c_contiguous
    if whole and a.dtype.kind == "f" and a.itemsize > 2:
        return _sum_of_all(a).reshape((1,) * a.ndim if keepdim else ())
    return None


_sum_of_all = hushed(sum_of)


def _total(a, axis, keepdims, dtype):
    return a.sum(axis=axis, keepdims=keepdims, dtype=dtype)


_total_of_others = _accumulated(_total)


def total(a, dim, keepdim):
    """The sum, in the array's dtype."""
    if (sums := _long_sums(a, dim, keepdim)) is not None:
        return sums
    if type(a) is np.ndarray and a.dtype.kind in "fc" and a.itemsize > 2:
        return np.add.reduce(a, dim if a.ndim else None, None, None, keepdim)
    return _total_of_others(a, dim, keepdim)


_sum, _sum_over = _pair("Sum", total, lambda g, x_shape, dim, keepdim: _spread(g, x_shape, dim, keepdim))


def _typed(input, dtype):
    """The input in the dtype in which it is summed: `dtype`, or int64 for integers."""
    if dtype is not None:
        return input.to(dtype)
    return input if input._data.dtype.kind in "fcV" else input.to(dtypes.int64)


def sum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Sum over `dim` (all if None). Integers and bools are summed as int64 unless `dtype` says otherwise."""
    need_tensor(input, "sum", "input", 1)
    if dtype is not None or input._data.dtype.kind not in "fc":
        input = _typed(input, dtype)
    made = (_sum if dim is None else _sum_over).of_one(input, axes(dim, input._data.ndim), keepdim)
    return made if out is None else write(out, made)


def nansum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Sum with NaN counted as 0."""
    need_tensor(input, "nansum", "input", 1)
    if input.dtype.is_complex:
        raise RuntimeError("nansum on CPU does not support complex inputs")
    return sum(input.masked_fill(input.isnan(), 0), dim, keepdim, dtype=dtype, out=out)


def _count(shape, dims) -> int:
    return math.prod(shape if len(dims) == len(shape) else [shape[d] for d in dims]) if shape else 1


def _average(a, axis, keepdims, dtype=None):
    """NumPy's mean without its warning about one of nothing, which is NaN."""
    total = _total(a, axis, keepdims, dtype)
    return total / total.dtype.type(_count(a.shape, range(a.ndim) if axis is None else axis))


_average_of_others = _accumulated(_average)


def _mean_forward(a, dim, keepdim):
    if (sums := _long_sums(a, dim, keepdim)) is not None:
        return sums / a.dtype.type(_count(a.shape, dim))
    if type(a) is np.ndarray and a.dtype.kind == "f" and a.itemsize > 2 and a.size:
        sums = np.add.reduce(a, dim if a.ndim else None, None, None, keepdim)
        return sums / sums.dtype.type(_count(a.shape, dim))
    return _average_of_others(a, dim, keepdim)


_mean, _mean_over = _pair(
    "Mean",
    _mean_forward,
    lambda g, x_shape, dim, keepdim: _spread(g / _count(x_shape, dim), x_shape, dim, keepdim),
)


def _need_float(input, name, dtype):
    d = dtype or input.dtype
    if d.category < dtypes.FLOATING:
        raise RuntimeError(
            f"{name}(): could not infer output dtype. {'Input' if dtype is None else 'Optional'} dtype must be either "
            f"a floating point or complex dtype. Got: {dtypes.SCALAR_NAMES[d]}"
        )


def mean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Mean over `dim` (all if None) of a floating or complex tensor."""
    need_tensor(input, "mean", "input", 1)
    if dtype is not None or input._data.dtype.kind != "f":
        _need_float(input, "mean", dtype)
        input = _typed(input, dtype)
    made = (_mean if dim is None else _mean_over).of_one(input, axes(dim, input._data.ndim), keepdim)
    return made if out is None else write(out, made)


def nanmean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Mean of the elements that are not NaN."""
    need_tensor(input, "nanmean", "input", 1)
    if input._data.dtype.kind in "iub":
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{dtypes.SCALAR_NAMES[input.dtype]}"
        )
    known = ~input.isnan()
    return write(out, nansum(input, dim, keepdim, dtype=dtype) / known.sum(dim, keepdim))


def _variance_rule(g, x, dim, correction, keepdim):
    freedom = max(_count(x._data.shape, dim) - correction, 0)
    g = _spread(g * (2.0 / freedom if freedom else math.nan), x._data.shape, dim, keepdim)
    centred = x - x.mean(dim, True)
    if mode.grad or centred.dtype is not g.dtype:
        return g * centred
    return centred.mul_(g)


@hushed
def _small_variance(a, dim, correction, keepdim):
    """`_variance`, without the price of NumPy's functions around ufuncs."""
    count, axes = _count(a.shape, dim), dim if a.ndim else None
    centred = np.subtract(a, np.add.reduce(a, axes, None, None, True) / a.dtype.type(count))
    total = np.add.reduce(np.multiply(centred, centred), axes, None, None, keepdim and a.ndim > 0)
    return np.asarray(total / a.dtype.type(max(count - correction, 0)))


@hushed
def _variance(a, dim, correction, keepdim):
    if type(a) is np.ndarray and a.dtype.kind == "f" and a.itemsize > 2 and 0 < a.size < SMALL:
        return _small_variance(a, dim, correction, keepdim)
    if a.size >= LONG and is_short(a, dim):
        centred = a - row_sums(a, True) / a.dtype.type(a.shape[-1])
        centred *= centred
        return row_sums(centred, keepdim) / a.dtype.type(max(a.shape[-1] - correction, 0))
    wide = widened(a)
    with np.errstate(all="ignore"):
        centred = wide - np.mean(wide, axis=dim if a.ndim else None, keepdims=True)
        squares = (centred * centred.conj()).real if a.dtype.kind == "c" else centred * centred
        freedom = max(_count(a.shape, dim) - correction, 0)
        total = np.sum(squares, axis=dim if a.ndim else None, keepdims=keepdim and a.ndim > 0)
        return np.asarray(np.true_divide(total, np.asarray(freedom, total.dtype))).astype(
            a.real.dtype if a.dtype.kind == "c" else a.dtype
        )


_var = Op("VarBackward0", _variance, params=("x", "dim", "correction", "keepdim"), x=_variance_rule)
_std = Op(
    "StdBackward0",
    lambda a, dim, correction, keepdim: np.sqrt(_variance(a, dim, correction, keepdim)),
    params=("x", "dim", "correction", "keepdim"),
    x=lambda g, x, dim, correction, keepdim, out: _variance_rule(
        (g / (out * 2)).masked_fill(out == 0, 0), x, dim, correction, keepdim
    ),
)


def _need_moments(input, complaint):
    if input._data.dtype.kind not in "fcV":
        raise RuntimeError(f"{complaint} floating point and complex dtypes")


def _moment(name, op):
    def function(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None):
        if isinstance(dim, bool):  # var(unbiased)
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        _need_moments(input, "std and var only support")
        dims = axes(dim, input._data.ndim)
        if _count(input._data.shape, dims) - correction <= 0:
            import warnings

            warnings.warn(
                f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
                "(input numel divided by output numel).",
                stacklevel=2,
            )
        return write(out, op.of_one(input, dims, correction, keepdim))

    function.__name__ = function.__qualname__ = name
    what = "variance" if name == "var" else "standard deviation"
    function.__doc__ = f"The {what} over `dim`, divided by N - correction (default 1)."
    return function


var, std = _moment("var", _var), _moment("std", _std)


def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(variance, mean)."""
    _need_moments(input, "var_mean only support")
    v = var(input, dim, unbiased, keepdim, correction=correction)
    return v, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(standard deviation, mean)."""
    _need_moments(input, "std_mean only support")
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
    from .joining import cat
    from .turning import flip

    before = cat([ones, x.narrow(d, 0, n - 1)], d).cumprod(d)
    after = flip(cat([ones, flip(x, (d,)).narrow(d, 0, n - 1)], d).cumprod(d), (d,))
    return _spread(g, x._data.shape, dim, keepdim) * conj(before * after)


_prod = Op("ProdBackward0", _accumulated(np.prod), params=("x", "dim", "keepdim"), x=_prod_rule)


def prod(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Product over `dim` (all if None)."""
    need_tensor(input, "prod", "input", 1)
    input = _typed(input, dtype)
    return write(out, _prod(input, axes(dim, input._data.ndim), keepdim))


# -- truth ------------------------------------------------------------------------------------------------------------
def _truth(name, function):
    def call(input, dim=None, keepdim=False, *, out=None):
        a = input._data
        if out is not None and out.dtype not in (dtypes.bool_, dtypes.uint8):
            raise RuntimeError(f"{name} only supports bool tensor for result, got: {dtypes.SCALAR_NAMES[out.dtype]}")
        over = () if dim in ((), []) else axes(dim, a.ndim)  # of no dimension: element by element
        found = np.asarray(_reduce(function, a, over, keepdim))
        return write(out, wrap(found.astype(np.uint8) if input.dtype is dtypes.uint8 else found, input.device))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Whether {name} of the elements along `dim` (of all if None) are true."
    return call


all, any = _truth("all", np.all), _truth("any", np.any)


def count_nonzero(input, dim=None):
    """How many elements differ from 0 along `dim`."""
    need_tensor(input, "count_nonzero", "input", 1)
    a = input._data
    return wrap(np.asarray(np.count_nonzero(a, axis=axes(dim, a.ndim) if a.ndim else None), np.int64), input.device)


# -- logarithms of sums -----------------------------------------------------------------------------------------------
def logsumexp(input, dim, keepdim=False, *, out=None):
    """log(sum(exp(input))) over `dim`, computed without overflow."""
    x = input if input._data.dtype.kind in "fcV" else input.to(dtypes.get_default_dtype())
    return write(out, _logsumexp(x, axes(dim, x._data.ndim), keepdim))


@hushed
def _row_logsumexp(a):
    top = row_extremes(np.maximum, a)
    top[~np.isfinite(top)] = 0
    less = a - top[..., None]
    return np.log(row_sums(np.exp(less, out=less), False)) + top


@in_float32
def _logsumexp_forward(a, dim, keepdim):
    if a.ndim == 0:
        if a.dtype.kind == "c":  # a logarithm's imaginary part lies between -pi and pi
            return np.asarray(a.real + np.log(np.exp(a.imag * 1j)), a.dtype)
        return a.copy()
    if a.size >= LONG and is_short(a, dim):
        found = _row_logsumexp(a)
        return found[..., None] if keepdim else found
    with np.errstate(all="ignore"):
        top = np.max(a.real, axis=dim, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0).astype(a.real.dtype)
        total = np.log(np.sum(np.exp(a - top), axis=dim, keepdims=True)) + top
    return total if keepdim else np.squeeze(total, dim)


_logsumexp = Op(
    "LogsumexpBackward0",
    _logsumexp_forward,
    params=("x", "dim", "keepdim"),
    x=lambda g, x, dim, keepdim, out: (
        _spread(g, x._data.shape, dim, keepdim) * conj((x - _spread(out, x._data.shape, dim, keepdim)).exp())
    ),
)

__all__ = [
    "all", "any", "count_nonzero", "logsumexp", "mean", "nanmean", "nansum", "prod", "std", "std_mean", "sum",
    "var", "var_mean",
]  # fmt: skip
