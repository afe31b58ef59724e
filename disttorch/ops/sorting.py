"""Order along a dimension: sort, topk, kthvalue, median, mode; NaN counts as larger than any number."""

import operator

import numpy as np

from ..autograd.inplace import check_apart, write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..dtypes import bool_
from ..kernels.portable.ordering import first, kth, order
from .arguments import need_tensor
from .dims import axis
from .extremes import even_of_all, need_order
from .named import pair, with_node
from .scatter import _gather, gather


def _give(name: str, values: Tensor, indices: Tensor, out):
    if out is None:
        overload = int("median" in name)  # the median of all is number 0
        return pair(name)(with_node(values, f"{name.capitalize()}Backward{overload}"), indices)
    return pair(name)(write(out[0], values), write(out[1], indices))


def _at(input, d: int, index: Tensor) -> Tensor:
    """`gather` for positions that are known to be there."""
    return _gather(input, d, index) if index._data.size else gather(input, d, index)


def _need_order(input, name: str, kernel: str | None = None) -> None:
    """TypeError, RuntimeError or NotImplementedError unless `input` is a tensor of numbers that have an order; with
    `kernel`, booleans have none.
    """
    need_tensor(input, name, "input", 1)
    if kernel is not None:
        need_order(input, kernel)
        if input.dtype is bool_ and name != "mode":
            raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")
    elif input.dtype.is_complex:
        raise RuntimeError(f" {name} does not support complex dtypes on CPU")


def sort(input, dim=-1, descending=False, stable=False, *, out=None):
    """(values, indices) in order along `dim`; always stable."""
    if isinstance(dim, bool):  # sort(stable, dim) by keyword aside, a bool here is `descending`
        dim, descending = -1, dim
    _need_order(input, "Sort" if isinstance(input, Tensor) else "sort")
    d = axis(dim, input._data.ndim)
    if input._data.ndim == 0:
        return _give("sort", input.clone(), wrap(np.zeros((), np.int64), input.device), out)
    index = wrap(np.ascontiguousarray(order(input._data, d, descending)), input.device)
    return _give("sort", _at(input, d, index), index, out)


def argsort(input, dim=-1, descending=False, stable=False):
    """The indices that sort along `dim`."""
    need_tensor(input, "argsort", "input", 1)
    return sort(input.detach(), dim, descending, stable).indices


def msort(input, *, out=None):
    """Values in order along the first dimension."""
    return write(out, sort(input, 0).values)


def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """(values, indices) of the k largest (or smallest) elements along `dim`, in order."""
    _need_order(input, "topk")
    if input.dtype is bool_:
        raise RuntimeError("topk does not support bool dtypes on CPU")
    check_apart(out and out[0], input)
    d = axis(dim, input._data.ndim)
    size = input._data.shape[d] if input._data.ndim else 1
    k = operator.index(k)
    if not 0 <= k <= size:
        raise RuntimeError("selected index k out of range")
    if input._data.ndim == 0:
        return _give("topk", input.clone(), wrap(np.zeros((), np.int64), input.device), out)
    index = wrap(np.ascontiguousarray(first(input._data, d, k, largest)), input.device)
    return _give("topk", _at(input, d, index), index, out)


def _picked(name, input, d, at, keepdim, out):
    """(values, indices) of one element per line; `at` has size 1 along d."""
    index = wrap(np.ascontiguousarray(at), input.device)
    values = gather(input, d, index)
    if not keepdim:
        values, index = values.squeeze(d), index.squeeze(d)
    return _give(name, values, index, out)


def _zero_dim(name, input, out):
    return _give(name, input.clone(), wrap(np.zeros((), np.int64), input.device), out)


def _need_elements(input, d: int, name: str) -> None:
    if input._data.ndim and input._data.shape[d] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def kthvalue(input, k, dim=-1, keepdim=False, *, out=None):
    """(value, index) of the k-th smallest element along `dim`, counted from 1."""
    _need_order(input, "kthvalue", "kthvalue_cpu")
    check_apart(out and out[0], input)
    d = axis(dim, input._data.ndim)
    _need_elements(input, d, "kthvalue")
    size = input._data.shape[d] if input._data.ndim else 1
    if not 1 <= k <= size:
        raise RuntimeError("kthvalue(): selected number k out of range for dimension " + str(d))
    if input._data.ndim == 0:
        return _zero_dim("kthvalue", input, out)
    return _picked("kthvalue", input, d, kth(input._data, d, k - 1), keepdim, out)


def median(input, dim=None, keepdim=False, *, out=None):
    """The median (the lower of two) of all, or (values, indices) along `dim`; NaN if there is one."""
    return _median("median", input, dim, keepdim, out)


def nanmedian(input, dim=None, keepdim=False, *, out=None):
    """`median` of the elements that are not NaN."""
    return _median("nanmedian", input, dim, keepdim, out)


def _middle(a, among_numbers: bool):
    """The median of all elements; NaN where there is one, unless it is sought among the others."""
    a = a.reshape(-1)
    nans = np.count_nonzero(a != a)
    if nans and (not among_numbers or nans == a.size):
        return a[np.argmax(a != a)]
    place = (a.size - nans - 1) // 2
    if a.dtype.kind == "V":
        return a[order(a, 0)[place]]
    a = a.copy()
    a.partition(place)
    return a[place]


_whole = {
    name: Op(f"{name.capitalize()}Backward0", _middle, params=("x", "among_numbers"), x=even_of_all)
    for name in ("median", "nanmedian")
}


def _median(name, input, dim, keepdim, out):
    _need_order(input, name, "median_cpu")
    if dim is None:
        if input._data.size == 0:
            return write(out, input.new_full((), float("nan")) + input.sum() * 0)
        return write(out, _whole[name].of_one(input, name == "nanmedian"))
    d = axis(dim, input._data.ndim)
    _need_elements(input, d, name)
    if input._data.ndim == 0:
        return _zero_dim(name, input, out)
    a = input._data.astype(np.float32) if input._data.dtype.kind == "V" else input._data
    n = a.shape[d]
    missing = np.isnan(a).sum(d, keepdims=True) if a.dtype.kind == "f" else None
    if missing is None or not missing.any():
        return _picked(name, input, d, kth(a, d, (n - 1) // 2), keepdim, out)
    if name == "nanmedian":
        at = np.where(missing == n, 0, (n - missing - 1) // 2)
    else:
        at = np.where(missing > 0, n - missing, (n - 1) // 2)  # the first NaN
    return _picked(name, input, d, np.take_along_axis(order(a, d), at, d), keepdim, out)


def mode(input, dim=-1, keepdim=False, *, out=None):
    """(values, indices) of the most frequent element along `dim`: the smallest of several, its last place."""
    _need_order(input, "mode", "mode_cpu")
    d = axis(dim, input._data.ndim)
    _need_elements(input, d, "mode")
    if input._data.ndim == 0:
        return _zero_dim("mode", input, out)
    rows = np.moveaxis(input._data, d, -1)
    sorting = order(rows, -1)
    ranked = np.take_along_axis(rows, sorting, -1)
    n = rows.shape[-1]
    position = np.arange(n)
    starts = np.concatenate([np.ones((*rows.shape[:-1], 1), bool), ranked[..., 1:] != ranked[..., :-1]], -1)
    run = position - np.maximum.accumulate(np.where(starts, position, 0), -1)  # how many equal ones stand before each
    at = np.take_along_axis(sorting, np.argmax(run, -1)[..., None], -1)
    return _picked("mode", input, d, np.moveaxis(at, -1, d), keepdim, out)


# -- quantiles --------------------------------------------------------------------------------------------------------
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """The q-th quantiles (q a number or a 1-D tensor, whose dimension comes first) along `dim`, or of all; NaN if there
    is one.
    """
    return write(out, _quantile("quantile", input, q, dim, keepdim, interpolation))


def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """`quantile` of the elements that are not NaN."""
    return write(out, _quantile("nanquantile", input, q, dim, keepdim, interpolation))


def _quantile(name, input, q, dim, keepdim, interpolation):
    _check_quantile(name, input, q, dim, interpolation)
    if not isinstance(q, Tensor):
        q = input.new_full((), q)
    original = input._data.ndim
    if dim is None:
        input, d = input.reshape(-1), 0
    else:
        d = axis(dim, original)
        input = input if original else input.reshape(1)
    ordered = sort(input.movedim(d, -1)).values
    n = ordered._data.shape[-1]
    missing = np.isnan(ordered._data).sum(-1, keepdims=True)
    last = n - 1 - missing if name == "nanquantile" else np.full_like(missing, n - 1)
    rank = q * wrap(last.astype(input._data.dtype), input.device)
    at = np.maximum(rank._data, 0)
    if interpolation == "nearest":
        at = np.rint(at)
    below = np.floor(at) if interpolation != "higher" else np.ceil(at)
    if name == "quantile":
        below = np.where(missing > 0, n - 1, below)
    below = below.astype(np.int64)
    result = gather(ordered, -1, wrap(below, input.device))
    if interpolation in ("linear", "midpoint"):
        above = np.minimum(np.maximum(np.ceil(at).astype(np.int64), below), n - 1)
        weight = rank - wrap(np.floor(at), input.device) if interpolation == "linear" else rank.detach() * 0 + 0.5
        if name == "quantile":
            weight = weight.masked_fill(wrap(missing > 0, input.device), 0)
        above = gather(ordered, -1, wrap(above, input.device))
        result = result.lerp(above, weight.broadcast_to(result._data.shape))
    result = result.movedim(-1, 0) if q._data.ndim else result.squeeze(-1)
    if not keepdim:
        return result
    kept = [1] * original if dim is None else [1 if i == d else s for i, s in enumerate(input._data.shape)][:original]
    return result.reshape([*q._data.shape, *kept])


def _check_quantile(name, input, q, dim, interpolation):
    """RuntimeError (PyTorch's texts) for what has no quantiles, and for a `q` or `interpolation` that is none."""
    if input.dtype.name not in ("float32", "float64"):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if input._data.size == 0 and (dim is None or input._data.shape[axis(dim, input._data.ndim)] == 0):
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if isinstance(q, Tensor):
        if q.dtype is not input.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        if q._data.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q._data.size and not (q._data.min() >= 0 and q._data.max() <= 1):
            raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    elif not 0 <= q <= 1:
        raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")


__all__ = ["argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "nanquantile", "quantile", "sort", "topk"]
