"""From a list of samples to a batch."""

import copy
import re
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence

import numpy as np

from ... import dtypes
from ...autograd.variable import Tensor, wrap
from ...devices import CPU
from ...ops import as_tensor, stack, tensor

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)
np_str_obj_array_pattern = re.compile(r"[SaUO]")

# Makes the memory into which batches of (shape, NumPy dtype) are put: shared memory in a worker process. May give None.
make_batch_memory = None


def _stack(batch, *, collate_fn_map=None) -> Tensor:
    """Tensors of one shape as one with a new first dimension."""
    first = batch[0]._data
    shape, np_type = first.shape, first.dtype
    arrays = []
    for t in batch:
        if not isinstance(t, Tensor):
            return stack(list(batch))  # which complains
        a = t._data
        if a.shape != shape or a.dtype is not np_type or t.device is not CPU or t.requires_grad:
            return stack(list(batch))
        arrays.append(a)
    if not shape:
        return stack(list(batch))
    out = None if make_batch_memory is None else make_batch_memory((len(batch), *shape), np_type)
    if out is None:
        out = np.empty((len(batch), *shape), np_type)
    np.concatenate(arrays, out=out.reshape(len(batch) * shape[0], *shape[1:]))
    return wrap(out)


def _stack_arrays(batch, *, collate_fn_map=None) -> Tensor:
    if np_str_obj_array_pattern.search(batch[0].dtype.str) is not None:
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([as_tensor(a) for a in batch], collate_fn_map=collate_fn_map)


# Type (or tuple of types) of the samples -> function(batch, *, collate_fn_map). Programs may add to it.
default_collate_fn_map = {
    Tensor: _stack,
    np.ndarray: _stack_arrays,
    (np.bool_, np.number, np.object_): lambda batch, *, collate_fn_map=None: as_tensor(np.array(batch)),
    float: lambda batch, *, collate_fn_map=None: tensor(batch, dtype=dtypes.float64),
    int: lambda batch, *, collate_fn_map=None: tensor(batch),
    str: lambda batch, *, collate_fn_map=None: batch,
    bytes: lambda batch, *, collate_fn_map=None: batch,
}


def collate(batch, *, collate_fn_map=None):
    """Put samples together by the functions of `collate_fn_map`; mappings and sequences are taken apart first."""
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        function = collate_fn_map.get(kind)
        if function is None:
            function = next((f for t, f in collate_fn_map.items() if isinstance(first, t)), None)
        if function is not None:
            return function(batch, collate_fn_map=collate_fn_map)

    def together(samples):
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return _like_mapping(first, {key: together([d[key] for d in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*map(together, zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [together(column) for column in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _like_sequence(first, columns)
    raise TypeError(default_collate_err_msg_format.format(kind))


def _like_mapping(sample, items: dict):
    """`items` as the sample's own type, if that can be made."""
    try:
        if isinstance(sample, MutableMapping):
            made = copy.copy(sample)
            made.update(items)
            return made
        return type(sample)(items)
    except TypeError:
        return items


def _like_sequence(sample, columns: list):
    """`columns` as the sample's own type, if that can be made."""
    if type(sample) is list:
        return columns
    try:
        if isinstance(sample, MutableSequence):
            made = copy.copy(sample)
            for i, column in enumerate(columns):
                made[i] = column
            return made
        return type(sample)(columns)
    except TypeError:
        return columns


def default_collate(batch):
    """A list of samples as a batch: numbers, arrays and tensors get a new first dimension.

    Tensors (shape) -> (N, shape); numbers -> (N); text stays a list; in mappings, named tuples and sequences each entry
    is put together. TypeError for anything else; RuntimeError for tensors of several shapes.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data):
    """A single sample, with arrays and NumPy's numbers as tensors (batch_size=None)."""
    kind = type(data)
    if isinstance(data, Tensor):
        return data
    if isinstance(data, np.ndarray | np.generic):
        if isinstance(data, np.ndarray) and np_str_obj_array_pattern.search(data.dtype.str) is not None:
            return data
        return as_tensor(data) if not isinstance(data, np.str_ | np.bytes_) else data
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return kind(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _like_sequence(data, [default_convert(value) for value in data])
    return data
