"""Tensors in one message: packed into a flat host array for each dtype, and taken out again."""

from collections.abc import Sequence

import numpy as np

from .. import devices
from ..autograd.variable import Tensor, counter, wrap


def host(t: Tensor) -> np.ndarray:
    """The tensor's elements as a contiguous array in host memory (its own where it is one)."""
    data = t._data if t.device.host else devices.to_device(t._data, t.device, devices.CPU)
    return np.asarray(data, order="C")


def placed(array: np.ndarray, where: devices.device) -> Tensor:
    """A tensor on `where` of a host array (over it where the host computes)."""
    return wrap(array if where.host else devices.to_device(array, devices.CPU, where), where)


def by_dtype(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Indices of the tensors of each dtype."""
    kinds: dict = {}
    for i, t in enumerate(tensors):
        kinds.setdefault(t._data.dtype, []).append(i)
    return list(kinds.values())


def flat(tensors: Sequence[Tensor]) -> np.ndarray:
    """The elements of tensors of one dtype one after another."""
    return np.concatenate([host(t).reshape(-1) for t in tensors])


def pieces(packed: np.ndarray, shapes: Sequence[tuple]) -> list[np.ndarray]:
    """Views of what `flat` made, in the shapes given."""
    sizes = [int(np.prod(s, dtype=np.int64)) for s in shapes]
    ends = np.cumsum(sizes).tolist()
    return [packed[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]


def broadcast_tensors(comm, tensors: Sequence[Tensor], src: int, noticed: bool = True) -> None:
    """Rank `src`'s tensors to all ranks of a `comm.Group`, in one message; noticed: autograd hears of the change."""
    if comm.size == 1 or not tensors:
        return
    if comm.rank == src:
        comm.broadcast(np.concatenate([host(t).reshape(-1).view(np.uint8) for t in tensors]), src)
        return
    packed = np.empty(sum(t._data.nbytes for t in tensors), np.uint8)
    comm.broadcast(packed, src)
    start = 0
    for t in tensors:
        end = start + t._data.nbytes
        put(t, packed[start:end].view(t._data.dtype).reshape(t._data.shape), noticed)
        start = end


def put(t: Tensor, array: np.ndarray, noticed: bool = True) -> None:
    """Fill a tensor with a host array of its shape and dtype."""
    with devices.scope(t.device):
        t._data[...] = array if t.device.host else devices.to_device(array, devices.CPU, t.device)
    if noticed:
        counter(t)[0] += 1
