"""Running sums, products and extremes along a dimension."""

import numpy as np

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import wrap
from ..kernels import for_device
from .arguments import known
from .arithmetic import conj, log_of_sum
from .dims import axis
from .extremes import need_order
from .named import pair
from .pointwise import hushed
from .reduction import _typed
from .scatter import gather
from .turning import flip

MANY = 256  # elements of a step from which running over whole steps is quicker


def _running(ufunc):
    def forward(a, dim):
        if a.ndim == 0:
            return a.copy()
        if a.dtype.itemsize == 2 and a.dtype.kind in "fV":
            return along(a.astype(np.float32), dim).astype(a.dtype)
        return along(a, dim)

    def along(a, dim):
        if type(a) is not np.ndarray or a.size < MANY * max(a.shape[dim], 1):
            return ufunc.accumulate(a, axis=dim, dtype=a.dtype)
        if dim == a.ndim - 1:
            if a.dtype != np.float32 or not a.flags.c_contiguous:  # else it is quickly turned round
                return ufunc.accumulate(a, axis=dim, dtype=a.dtype)
            turn = for_device("cpu").contiguous_copy
            return turn(along(turn(a.reshape(-1, a.shape[dim]).T), 0).T).reshape(a.shape)
        out = np.empty(a.shape, a.dtype)
        steps, sums = np.moveaxis(a, dim, 0), np.moveaxis(out, dim, 0)
        sums[:1] = steps[:1]
        for i in range(1, len(steps)):
            ufunc(sums[i - 1], steps[i], out=sums[i])
        return out

    return hushed(forward)


def _reverse_cumsum(g, dim):
    return flip(flip(g, (dim,)).cumsum(dim), (dim,)) if g._data.ndim else g


_cumsum = Op("CumsumBackward0", _running(np.add), params=("x", "dim"), x=lambda g, dim: _reverse_cumsum(g, dim))


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
    from .joining import stack

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


_cumprod = Op("CumprodBackward0", _running(np.multiply), params=("x", "dim"), x=_cumprod_rule)


def cumprod(input, dim, *, dtype=None, out=None):
    """Running product along `dim`."""
    input = _typed(input, dtype)
    return write(out, _cumprod(input, axis(dim, input._data.ndim)))


def logcumsumexp(input, dim, *, out=None):
    """log of the running sum of exp along `dim`, computed without overflow."""
    return write(out, _logcumsumexp(input, axis(dim, input._data.ndim)))


def _logcumsumexp_rule(g, x, out, dim):
    """Of the gradient's positive and negative parts, each in logarithms lest exponentials overflow."""
    if x._data.ndim == 0:
        return g

    def part(size):
        none = size <= 0
        logs = size.masked_fill(none, 1).log().masked_fill(none, dtypes.finfo(x.dtype).min)
        return (flip(logcumsumexp(flip(logs - out, dims=(dim,)), dim), dims=(dim,)) + x).exp()

    if x.dtype.is_complex:
        return _reverse_cumsum(g * conj((-out).exp()), dim) * conj(x.exp())
    if x.dtype is not dtypes.float64:  # large sums have lost the digits that their exponentials need
        g, x = g.double(), x.double()
        out = logcumsumexp(x, dim)
    return part(g) - part(-g)


@known("logcumsumexp_out_cpu", "hfc")
@hushed
def _accumulated_logs(a, dim):
    if a.ndim == 0 or a.dtype.kind != "c":
        return np.logaddexp.accumulate(a, axis=dim) if a.ndim else a.copy()
    out = np.moveaxis(a.copy(), dim, 0)
    for k in range(1, len(out)):
        out[k] = log_of_sum(out[k - 1], out[k])
    return np.moveaxis(out, 0, dim)


_logcumsumexp = Op(
    "LogcumsumexpBackward0",
    _accumulated_logs,
    params=("x", "dim"),
    x=_logcumsumexp_rule,
)


def _cum_extreme(name, ufunc, better):
    def function(input, dim, *, out=None):
        need_order(input, f"{name}_cpu")
        a = input._data
        d = axis(dim, a.ndim)
        if a.ndim == 0:
            return pair(name)(input.clone(), wrap(np.zeros((), np.int64), input.device))
        best = ufunc.accumulate(a, axis=d)
        position = np.arange(a.shape[d]).reshape([-1 if i == d else 1 for i in range(a.ndim)])
        at = np.where((a == best) | (np.isnan(a) if a.dtype.kind == "f" else False), position, 0)
        index = wrap(np.maximum.accumulate(at, axis=d), input.device)
        result = pair(name)(gather(input, d, index), index)
        return result if out is None else pair(name)(*[write(o, r) for o, r in zip(out, result, strict=True)])

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Running {better} along `dim`: (values, indices); of equal ones the last."
    return function


cummax, cummin = _cum_extreme("cummax", np.maximum, "maximum"), _cum_extreme("cummin", np.minimum, "minimum")

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp"]
