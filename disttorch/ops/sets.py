"""Values as sets and histograms: unique, isin, searchsorted, bincount, histc."""

import numpy as np

from .. import dtypes, meta
from ..autograd.inplace import write
from ..autograd.variable import Tensor, wrap
from .arguments import C_NAMES, need_floating, need_tensor
from .dims import axis
from .extremes import need_order
from .named import named
from .pointwise import scalar_name


def _results(parts, where, wanted):
    made = [wrap(np.asarray(p, order="C"), where) for p, want in zip(parts, (True, *wanted), strict=True) if want]
    return made[0] if len(made) == 1 else tuple(made)


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements in order (or slices along `dim`), with where each came from and how often if asked for."""
    need_tensor(input, "unique", "input", 1)
    meta.refuse("aten::_unique2", input)
    need_order(input, "unique")
    a = input._data
    if dim is not None:
        dim = axis(dim, a.ndim)
        if a.size == 0 and a.shape[dim] == 0 and sum(s == 0 for s in a.shape) > 1:
            raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
        if a.size == 0 and a.shape[dim]:
            raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    if a.ndim == 0 and dim is not None:
        a = a.reshape(1)
    values, inverse, counts = np.unique(a, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    inverse = inverse.reshape(input._data.shape if dim is None else (-1,)).astype(np.int64)
    return _results((values, inverse, counts.astype(np.int64)), input.device, (return_inverse, return_counts))


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """Runs of equal elements (or slices along `dim`) reduced to one each."""
    need_tensor(input, "unique_consecutive", "input", 1)
    meta.refuse("aten::unique_consecutive", input)
    a = input._data
    if dim is None:
        rows = a.reshape(-1, 1)
    else:
        dim = axis(dim, a.ndim)
        if a.size == 0 and a.shape[dim]:
            raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
        rows = np.moveaxis(a, dim, 0).reshape(a.shape[dim], a.size // max(a.shape[dim], 1))
    n = len(rows)
    starts = np.concatenate([np.ones(min(n, 1), bool), (rows[1:] != rows[:-1]).any(1)])
    at = np.flatnonzero(starts)
    values = a.reshape(-1)[at] if dim is None else np.take(a, at, axis=dim)
    inverse = np.cumsum(starts) - 1
    counts = np.diff(np.append(at, n))
    inverse = inverse.reshape(a.shape if dim is None else (-1,)).astype(np.int64)
    return _results((values, inverse, counts.astype(np.int64)), input.device, (return_inverse, return_counts))


def isin(elements, test_elements, *, assume_unique=False, invert=False, out=None):
    """Whether each element is among `test_elements`."""
    if not isinstance(elements, Tensor):
        need_tensor(test_elements, "isin", "test_elements", 2)
    where = elements.device if isinstance(elements, Tensor) else test_elements.device
    for t in (elements, test_elements):
        if isinstance(t, Tensor) and t.dtype in (dtypes.bool_, dtypes.complex64, dtypes.complex128):
            raise RuntimeError(f"Unsupported input type encountered for isin(): {scalar_name(t)}")
    a, b = (t._data if isinstance(t, Tensor) else np.asarray(t) for t in (elements, test_elements))
    return write(out, wrap(np.asarray(np.isin(a, b, invert=invert)), where))


# -- places in sorted sequences ---------------------------------------------------------------------------------------
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None, out=None):
    """Where `input` would be inserted to keep the innermost dimension of `sorted_sequence` in order."""
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if right and side == "left":
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    need_tensor(sorted_sequence, "searchsorted", "sorted_sequence", 1)
    if not isinstance(input, Tensor):
        input = sorted_sequence.new_full((), input)
    if sorted_sequence._data.ndim == 0:
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we got "
            "boundaries tensor dim(0) and input value's dim(0) numel(1)"
        )
    if input.dtype is not sorted_sequence.dtype:
        d = dtypes.promote_types(input.dtype, sorted_sequence.dtype)
        input, sorted_sequence = input.to(d), sorted_sequence.to(d)
    if input._data.ndim == 0 and sorted_sequence._data.ndim != 1 and input._data.size == 1:
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we got "
            f"boundaries tensor dim({sorted_sequence._data.ndim}) and input value's dim(0) numel(1)"
        )
    side = "right" if right or side == "right" else "left"
    a, v = sorted_sequence._data, input._data
    if sorter is not None:
        a = _in_order(a, sorter)
    if a.ndim > 1 and a.shape[:-1] != v.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor {list(a.shape)} and input value "
            f"tensor {list(v.shape)}"
        )
    if a.ndim == 1:
        found = np.asarray(np.searchsorted(a, v, side))
    else:
        found = np.empty(v.shape, np.int64)
        for row in np.ndindex(a.shape[:-1]):
            found[row] = np.searchsorted(a[row], v[row], side)
    found = np.where(v != v, a.shape[-1], found)  # no boundary is past NaN
    return write(out, wrap(found.astype(np.int32 if out_int32 else np.int64), sorted_sequence.device))


def _in_order(a, sorter):
    """The boundaries as `sorter` puts them in order; RuntimeError if it cannot."""
    if sorter._data.shape != a.shape:
        raise RuntimeError(
            "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
            f"{list(a.shape)}and got sorter tensor {list(sorter._data.shape)}"
        )
    if sorter.dtype is not dtypes.int64:
        raise RuntimeError(
            f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {C_NAMES[sorter.dtype.name]}"
        )
    if sorter._data.size and not (sorter._data.min() >= 0 and sorter._data.max() < a.shape[-1]):
        raise RuntimeError("torch.searchsorted(): sorter index out of range")
    return np.take_along_axis(a, sorter._data, -1)


def bucketize(input, boundaries, *, out_int32=False, right=False, out=None):
    """The index of the bucket of `boundaries` (1-D, in order) into which each element falls."""
    need_tensor(input, "bucketize", "input", 1)
    need_tensor(boundaries, "bucketize", "boundaries", 2)
    if boundaries._data.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries._data.ndim})")
    if not isinstance(input, Tensor):
        input = boundaries.new_full((), input)
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


# -- counts -----------------------------------------------------------------------------------------------------------
def bincount(input, weights=None, minlength=0):
    """How often (or with which summed weight) each value of a 1-D tensor of non-negative integers occurs."""
    need_tensor(input, "bincount", "input", 1)
    meta.refuse("aten::bincount", input)
    a = input._data
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if a.ndim != 1 or a.dtype.kind not in "iu" or (a.size and a.min() < 0):
        if a.dtype.kind not in "iu":
            raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{scalar_name(input)}'")
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and weights._data.shape != a.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    counts = np.bincount(a, None if weights is None else weights._data, minlength)
    if weights is not None and weights.dtype is dtypes.float32:
        counts = counts.astype(np.float32)
    return wrap(
        counts.astype(np.float64) if weights is not None and counts.dtype != np.float32 else counts, input.device
    )


def histc(input, bins=100, min=0, max=0, *, out=None):
    """The number of elements in each of `bins` equal intervals of [min, max] (by default of the elements' range)."""
    need_tensor(input, "histc", "input", 1)
    need_floating(input, "histogram_cpu")
    if bins <= 0:
        raise RuntimeError(f"torch.histc(): bins must be > 0, but got {bins}")
    a = input._data
    low, high = (float(v) for v in (min, max))
    if low == high and a.size:
        low, high = float(a.min()), float(a.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    inside = a[(a >= low) & (a <= high)]
    at = np.minimum(((inside - low) / (high - low) * bins).astype(np.int64), bins - 1)
    return write(out, wrap(np.bincount(at, minlength=bins).astype(a.dtype), input.device))


def _limits(a) -> tuple[float, float]:
    """What the bins of these values span."""
    low, high = (float(a.min()), float(a.max())) if a.size else (0.0, 1.0)
    return (low, high) if low != high else (low - 0.5, high + 0.5)


def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """(hist, bin_edges): counts of `bins` intervals (a number, or a tensor of edges)."""
    need_tensor(input, "histogram", "input", 1)
    edges = bins._data if isinstance(bins, Tensor) else bins
    if isinstance(bins, int) and bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins}")
    a = input._data.reshape(-1)
    if isinstance(bins, int):
        edges = np.linspace(*(_limits(a) if range is None else range), bins + 1).astype(a.dtype)
    w = None if weight is None else weight._data.reshape(-1)
    hist, edges = np.histogram(a, edges, weights=w, density=density)
    made = (wrap(hist.astype(a.dtype), input.device), wrap(np.asarray(edges, a.dtype), input.device))
    kind = named("histogram", "hist", "bin_edges")
    return kind(*made) if out is None else kind(*[write(o, t) for o, t in zip(out, made, strict=True)])


def _bin(edges, x):
    """How many of the edges stand at or below each x, by bisection, as PyTorch's for edges in disorder too."""
    low, length = np.zeros(x.shape, np.int64), np.full(x.shape, len(edges))
    while length.any():
        half = length // 2
        right = (length > 0) & (edges[np.minimum(low + half, len(edges) - 1)] <= x)
        low = np.where(right, low + half + 1, low)
        length = np.where(right, length - half - 1, half)
    return low


def _counts(points, edges: list, weights):
    """The histogram of points (P, N); the last bin of a dimension holds its upper edge too."""
    inside = np.ones(len(points), bool)
    at = []
    for x, e in zip(points.T, edges, strict=True):
        inside &= (x >= e[0]) & (x <= e[-1])
        at.append(np.clip(_bin(e, x) - 1, 0, len(e) - 2))
    shape = tuple([len(e) - 1 for e in edges])
    flat = np.ravel_multi_index(at, shape)[inside]
    total = int(np.prod(shape))
    return np.bincount(flat, None if weights is None else weights[inside], minlength=total).reshape(shape)


def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """(hist, bin_edges) of points (*, N) in N dimensions: counts of shape (bins of each dimension), a tuple of edges.

    bins     a number of bins, one for each dimension, or N tensors of edges
    range    (least, greatest, least, ...) of the N dimensions; the points' own unless given
    weight   (*,): what each point counts; density: the counts' integral is 1
    """
    need_tensor(input, "histogramdd", "input", 1)
    n = input._data.shape[-1]
    bins = [bins] * n if isinstance(bins, int) else list(bins)
    if len(bins) != n:
        raise RuntimeError(
            "histogramdd: The size of bins must be equal to the innermost dimension of the input."
            if not isinstance(bins[0], Tensor)
            else f"torch.histogramdd(): expected {n} sequences of bin edges for a {n}-dimensional histogram but got "
            f"{len(bins)}"
        )
    points = input._data.reshape(-1, n)
    edges = []
    for k, b in enumerate(bins):
        if isinstance(b, Tensor):
            edges.append(b._data)
        else:
            limits = _limits(points[:, k]) if range is None else tuple(range[2 * k : 2 * k + 2])
            edges.append(np.linspace(*limits, b + 1).astype(points.dtype))
    hist = _counts(points, edges, None if weight is None else weight._data.reshape(-1))
    if density:
        with np.errstate(all="ignore"):
            hist = hist / hist.sum()
            for k, e in enumerate(edges):
                hist = hist / np.diff(e).reshape(-1, *(1,) * (n - 1 - k))
    made = wrap(hist.astype(points.dtype), input.device), tuple([wrap(e, input.device) for e in edges])
    return named("histogramdd", "hist", "bin_edges")(*made)


__all__ = [
    "bincount", "bucketize", "histc", "histogram", "histogramdd", "isin", "searchsorted", "unique",
    "unique_consecutive",
]  # fmt: skip
