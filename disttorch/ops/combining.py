"""Grids: all combinations of the elements of vectors."""

import itertools
import warnings

import numpy as np

from ..autograd.variable import wrap
from ..devices import namespace
from .arguments import need_tensor, need_tensors


def meshgrid(*tensors, indexing=None):
    """One tensor per given vector, constant along the other dimensions. indexing: "ij" (rows first) or "xy"."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tensors[0]
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", stacklevel=2
        )
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    need_tensors(tensors)
    if any(t._data.ndim > 1 for t in tensors):
        odd = next(t for t in tensors if t._data.ndim > 1)
        raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {odd}")
    if len({t.dtype for t in tensors}) > 1:
        raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    swap = indexing == "xy" and len(tensors) > 1
    if swap:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple([t._data.size for t in tensors])
    rank = len(shape)
    grids = [
        t.reshape([-1 if k == i else 1 for k in range(rank)]).expand(shape) for i, t in enumerate(tensors)
    ]  # fmt: skip
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors):
    """All combinations of one element from each vector, a row each; of one vector, itself."""
    from .joining import stack

    need_tensors(tensors)
    for t in tensors:
        if t._data.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t._data.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input, r=2, with_replacement=False):
    """All combinations of `r` elements of a vector, a row each, in the order of itertools."""
    need_tensor(input, "combinations", "input", 1)
    if input._data.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input._data.shape)}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input._data.size), r)), np.int64).reshape(-1, r)
    return input[wrap(namespace(input.device).asarray(rows), input.device)]


__all__ = ["cartesian_prod", "combinations", "meshgrid"]
