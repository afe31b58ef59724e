"""Blocks of memory shared by a worker process and the main one, so that the bulk of a batch is never copied.

A block is an anonymous file in memory (memfd): it has no name that could be left behind, and is gone with the last
process that has it. The worker makes blocks and puts arrays into them, `Lender`; the main process maps each once and
gives it back when the last array over it is gone, `Borrower`. Where the system has no such files, everything is copied.
"""

import io
import mmap
import os
import pickle
import weakref

import numpy as np

from ...autograd.variable import Tensor, wrap
from ...devices import CPU
from ...dtypes import as_kernels_know

SMALL = 4096  # bytes; a smaller array is cheaper to send than to share
MOST = 64  # blocks of a worker: a program that keeps all batches must not run out of file descriptors
AVAILABLE = hasattr(os, "memfd_create")


class _Block:
    """One block in the worker. It is free when nobody holds it: neither the worker's array nor the main process."""

    def __init__(self, number: int, size: int):
        self.number, self.size, self.holders = number, size, 0
        self.fd = os.memfd_create("disttorch-batch", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.fd, size)
            self.memory = mmap.mmap(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise


class Lender:
    """The worker's side: makes memory for batches and pickles batches without the contents of what lies in it."""

    def __init__(self):
        self.blocks: list[_Block] = []
        self.unsent: list[_Block] = []  # the main process has not got their files yet
        self._by_array: dict[int, _Block] = {}  # id of a living array that spans the block's used part

    def memory(self, shape: tuple, np_type: np.dtype) -> np.ndarray | None:
        """An uninitialised array in a free block; None if it is too small for one or there are too many."""
        size = int(np.prod(shape)) * np_type.itemsize
        if not AVAILABLE or size < SMALL or np_type.hasobject:
            return None
        block = self._free_block(size)
        if block is None:
            return None
        whole = np.frombuffer(block.memory, np.uint8, size)
        self._by_array[id(whole)] = block
        block.holders += 1
        weakref.finalize(whole, self._dropped, id(whole)).atexit = False
        return whole.view(np_type).reshape(shape)

    def _free_block(self, size: int) -> _Block | None:
        fitting = [b for b in self.blocks if not b.holders and b.size >= size]
        if fitting:
            return min(fitting, key=lambda b: b.size)
        if len(self.blocks) == MOST:
            return None
        try:
            block = _Block(len(self.blocks), 1 << (size - 1).bit_length())
        except OSError:  # no memory or no file descriptor left for sharing
            return None
        self.blocks.append(block)
        self.unsent.append(block)
        return block

    def _dropped(self, key: int):
        self._by_array.pop(key).holders -= 1

    def given_back(self, numbers: list[int]):
        """The main process has no more use for what it was lent in these blocks."""
        for number in numbers:
            self.blocks[number].holders -= 1

    def lend(self, data: np.ndarray) -> int | None:
        """The number of the block that holds just `data`, which may be copied there; None if there is none."""
        block = self._by_array.get(id(data.base))
        if block is None or not data.flags.c_contiguous or data.nbytes != data.base.nbytes:
            copy = self.memory(data.shape, data.dtype)
            if copy is None:
                return None
            copy[...] = data
            block = self._by_array[id(copy.base)]
        block.holders += 1
        return block.number

    def pickled(self, batch) -> bytes:
        """The batch with references for what lies in blocks."""
        out = io.BytesIO()
        _Pickler(out, self).dump(batch)
        return out.getvalue()


class _Pickler(pickle.Pickler):
    def __init__(self, file, lender: Lender):
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.lender = lender

    def persistent_id(self, value):
        if type(value) is Tensor and value.device is CPU and not value.requires_grad:
            data = value._data
        elif type(value) is np.ndarray:
            data = value
        else:
            return None
        if data.nbytes < SMALL:
            return None
        number = self.lender.lend(data)
        return None if number is None else (number, data.shape, data.dtype, data is not value)


class Borrower:
    """The main process's side of one worker's blocks."""

    def __init__(self):
        self.memories: list[mmap.mmap] = []
        self.returned: list[int] = []  # numbers of blocks to give back with the next message

    def add(self, fd: int, size: int):
        """Map a block of which the worker has sent the file."""
        try:
            self.memories.append(mmap.mmap(fd, size))
        finally:
            os.close(fd)

    def array(self, number: int, shape: tuple, np_type: np.dtype) -> np.ndarray:
        size = int(np.prod(shape)) * np_type.itemsize
        whole = np.frombuffer(self.memories[number], np.uint8, size)
        weakref.finalize(whole, self.returned.append, number).atexit = False
        return whole.view(np_type).reshape(shape)

    def take_returned(self) -> list[int]:
        numbers = []
        while self.returned:  # finalizers may add to it meanwhile
            numbers.append(self.returned.pop())
        return numbers

    def unpickled(self, data: bytes):
        return _Unpickler(io.BytesIO(data), self).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, borrower: Borrower):
        super().__init__(file)
        self.borrower = borrower

    def persistent_load(self, reference):
        number, shape, np_type, is_tensor = reference
        array = as_kernels_know(self.borrower.array(number, shape, np_type))
        return wrap(array) if is_tensor else array
