"""Reductions over stretches of a dimension, given by their lengths or by where they begin."""

import numpy as np

from .. import dtypes
from ..autograd.variable import wrap
from .dims import axis as _axis
from .scatter import scatter_reduce

_KINDS = {"sum": "sum", "prod": "prod", "max": "amax", "min": "amin", "mean": "sum"}
_STARTS = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -float("inf"), "min": float("inf")}


def _bounds(lengths, offsets) -> np.ndarray:
    """Where the segments begin, and the last one ends: (..., segments + 1)."""
    if offsets is not None:
        return offsets._data
    ends = np.cumsum(lengths._data, -1)
    return np.concatenate([np.zeros((*ends.shape[:-1], 1), ends.dtype), ends], -1)


def segment_reduce(
    data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None
):  # fmt: skip
    """Each segment of dimension `axis` reduced to one entry.

    reduce   "sum", "mean", "max", "min" or "prod"
    lengths  (*data.shape[:axis], segments), or `offsets` (..., segments + 1): where each begins, and the last ends
    unsafe   the lengths are taken as they come: what they leave over of the dimension is left out
    initial  what each reduction starts with; without it an empty segment gives the reduction's neutral element, and
             a mean of nothing NaN
    RuntimeError for floats wanted and not given, for lengths that do not add up to the dimension.
    """
    if reduce not in _KINDS:
        raise RuntimeError(f"unsupported reduction given! {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    if not data.dtype.is_floating_point:
        raise RuntimeError(f"\"_segment_reduce_cpu\" not implemented for '{dtypes.SCALAR_NAMES[data.dtype]}'")
    d, size = _axis(axis, data.ndim), data.shape[axis]
    bounds = _bounds(lengths, offsets)
    if not unsafe and lengths is not None:
        if (lengths._data < 0).any():
            raise RuntimeError("lengths contains negative value!")
        if (bounds[..., -1] != size).any():
            raise RuntimeError(f"segment_reduce(): Expected all rows of lengths along axis to sum to data.size({d})")
    count = bounds.shape[-1] - 1
    # the segment of each entry; one behind the last for what belongs to none
    place = (np.arange(size)[..., None] >= bounds[..., None, 1:]).sum(-1)
    place = np.broadcast_to(place.reshape(*place.shape, *(1,) * (data.ndim - d - 1)), data.shape)
    shape = (*data.shape[:d], count + 1, *data.shape[d + 1 :])
    start = data.new_full(shape, _STARTS[reduce] if initial is None else initial)
    out = scatter_reduce(start, d, wrap(np.ascontiguousarray(place), data.device), data, _KINDS[reduce])
    out = out.narrow(d, 0, count)
    if reduce == "mean":
        number = np.diff(bounds, axis=-1).reshape(*bounds.shape[:-1], count, *(1,) * (data.ndim - d - 1))
        empty = np.broadcast_to(number == 0, out.shape)
        whole = out / wrap(np.maximum(number, 1).astype(data._data.dtype), data.device)
        return whole if initial is not None else whole.masked_fill(wrap(empty.copy(), data.device), float("nan"))
    return out


__all__ = ["segment_reduce"]
