"""Elements chosen by a mask, and the indices of those that are not 0."""

import numpy as np

from .. import meta
from ..autograd.inplace import check_apart, write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..kernels.portable.masking import chosen
from .arguments import C_NAMES, need_tensor
from .fill import NUMBERS, element
from .indexing import _index
from .pointwise import broadcast_error, scalar_name
from .scatter import _pad_to
from .shape import broadcast_tensors


def _check_mask(mask, name):
    if mask._data.dtype.kind != "b":
        raise RuntimeError(
            f"{name}: expected BoolTensor for mask"
            if name == "masked_select"
            else f"{name} only supports boolean masks, but got mask with dtype {C_NAMES[mask.dtype.name]}"
        )


def _mask_filled(x, mask, value):
    return chosen(mask, np.asarray(value, x.dtype), x)


_masked_fill = Op(
    "MaskedFillBackward0",
    _mask_filled,
    params=("x", "mask", "value"),
    x=lambda g, mask: _masked_fill(g, mask, 0),
    value=lambda g, mask: _masked_fill(g, ~mask, 0).sum(),
)


def masked_fill(input, mask, value):
    """`input` with `value` where `mask` is true."""
    need_tensor(input, "masked_fill", "input", 1)
    need_tensor(mask, "masked_fill", "mask", 2)
    _check_mask(mask, "masked_fill_")
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._data.ndim} "
                "dimension(s)."
            )
        if value.dtype is not input.dtype:
            value = value.to(input.dtype) if value.requires_grad else element(value, input.dtype)
    elif isinstance(value, NUMBERS):
        value = element(value, input.dtype)
    else:
        raise TypeError(f"masked_fill(): argument 'value' (position 3) must be Number, not {type(value).__name__}")
    error = broadcast_error(input._data.shape, mask._data.shape)
    if error is not None:
        raise error
    if input.device is not mask.device:
        mask = mask.to(input.device) if mask._data.ndim == 0 else mask
    return _masked_fill(input, mask, value)


def masked_select(input, mask, *, out=None):
    """The elements where `mask` is true, in one dimension."""
    need_tensor(input, "masked_select", "input", 1)
    need_tensor(mask, "masked_select", "mask", 2)
    _check_mask(mask, "masked_select")
    meta.refuse("aten::masked_select", input, mask)
    check_apart(out, input, mask)
    input, mask = broadcast_tensors(input, mask)
    return write(out, _index(input, (mask._data,)).reshape(-1))


def _mask_scattered(x, mask, source):
    mask = np.broadcast_to(mask, x.shape)
    out = x.copy()
    out[mask] = source.reshape(-1)[: int(mask.sum())]
    return out


_masked_scatter = Op(
    "MaskedScatterBackward0",
    _mask_scattered,
    params=("x", "mask", "source"),
    x=lambda g, mask: _masked_fill(g, mask, 0),
    source=lambda g, mask, source_shape: _pad_to(masked_select(g, mask), (int(np.prod(source_shape)),)).reshape(
        source_shape
    ),
)


def masked_scatter(input, mask, source):
    """`input` with source's elements, in order, where `mask` is true."""
    need_tensor(input, "masked_scatter", "input", 1)
    _check_mask(mask, "masked_scatter_")
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"masked_scatter_: expected self and source to have same dtypes but got {scalar_name(input)} and "
            f"{scalar_name(source)}"
        )
    input, mask = broadcast_tensors(input, mask)
    if int(mask._data.sum()) > source._data.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return _masked_scatter(input, mask, source)


def nonzero(input, *, out=None, as_tuple=False):
    """The indices of the elements that are not 0: a row each, or with `as_tuple` a tensor per dimension."""
    need_tensor(input, "nonzero", "input", 1)
    meta.refuse("aten::nonzero", input)
    data = input._data
    found = np.nonzero(np.atleast_1d(data))
    if as_tuple:
        return tuple([wrap(f, input.device) for f in found])
    rows = np.stack(found, 1) if data.ndim else np.zeros((int(bool(data)), 0), np.int64)
    return write(out, wrap(rows, input.device))


def nonzero_static(input, *, size, fill_value=-1):
    """`nonzero` with exactly `size` rows: cut, or filled up with `fill_value`."""
    rows = nonzero(input)._data[:size]
    full = np.full((size, rows.shape[1]), fill_value, np.int64)
    full[: len(rows)] = rows
    return wrap(full, input.device)


def unravel_index(indices, shape):
    """Positions in the flattened tensor as an index tensor per dimension."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if indices._data.dtype.kind not in "iu":
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if any(s < 0 for s in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    total = int(np.prod(shape, dtype=np.int64))
    data = indices._data
    if data.size and (data.min() < 0 or data.max() >= total):
        raise ValueError(f"out of bounds index in 'indices' for shape {shape}")
    return tuple([wrap(np.asarray(i, np.int64), indices.device) for i in np.unravel_index(data, shape)])


def argwhere(input):
    """The indices of elements that are not 0, as (count, input.dim())."""
    return nonzero(input)


__all__ = ["argwhere", "masked_fill", "masked_scatter", "masked_select", "nonzero", "nonzero_static", "unravel_index"]
