"""Memory of tensors that several processes see: mapped files without a name, gone when the last process ends."""

import mmap
import os
import tempfile
import weakref

import numpy as np

from ..autograd.variable import Tensor


class SharedMemory(mmap.mmap):
    """A mapped file without a name; `fd` lets other processes map it, `key` tells it from all others."""

    fd: int
    key: tuple[int, int]


_mapped: weakref.WeakValueDictionary[tuple[int, int], SharedMemory] = weakref.WeakValueDictionary()


def create(size: int) -> SharedMemory:
    """`size` bytes of zeroed memory that other processes can map."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("disttorch-tensor", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, max(size, 1))
    except BaseException:
        os.close(fd)
        raise
    return attach(fd)


def attach(fd: int) -> SharedMemory:
    """The memory behind `fd`, which is closed when nothing lives in it any more; the same file is mapped only once."""
    found = os.fstat(fd)
    key = (found.st_dev, found.st_ino)
    memory = _mapped.get(key)
    if memory is not None:
        os.close(fd)
        return memory
    try:
        memory = SharedMemory(fd, found.st_size)
    except BaseException:
        os.close(fd)
        raise
    memory.fd, memory.key = fd, key
    weakref.finalize(memory, os.close, fd).atexit = False
    _mapped[key] = memory
    return memory


def find(data: np.ndarray) -> SharedMemory | None:
    """The shared memory in which an array lies, if it does."""
    owner = data
    while isinstance(owner, np.ndarray):
        owner = owner.base
    behind = owner.obj if isinstance(owner, memoryview) else owner
    return behind if isinstance(behind, SharedMemory) else None


def array(memory: SharedMemory, np_type: np.dtype, shape: tuple, strides: tuple, offset: int = 0) -> np.ndarray:
    """The elements that lie in `memory` from byte `offset` on; ValueError if they do not fit."""
    return np.ndarray(shape, np_type, np.frombuffer(memory, np.uint8), offset, strides)


def is_shared(tensor: Tensor) -> bool:
    """Whether processes started from this one see changes of the tensor. Memory of a CUDA device counts as shared."""
    return not tensor.device.host or tensor.device.type == "cuda" or find(tensor._data) is not None


def share(tensor: Tensor) -> Tensor:
    """The tensor itself, its elements moved to shared memory unless they are there.

    Views of the tensor made before keep the old memory.
    """
    if is_shared(tensor):
        return tensor
    data = tensor._data
    moved = np.empty_like(data)  # keeps the order of dimensions, channels-last for one, and closes gaps
    moved = array(create(data.nbytes), data.dtype, data.shape, moved.strides)
    moved[...] = data
    tensor._data = moved
    return tensor
