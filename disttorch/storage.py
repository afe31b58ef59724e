"""Storages: the one-dimensional memory under a tensor, for programs that look at it."""

import numpy as np

from .autograd.variable import Tensor, wrap


class UntypedStorage:
    """The bytes that a tensor (and all its views) live in."""

    def __init__(self, tensor: Tensor):
        owner = tensor._data
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        self._owner, self.device = owner, tensor.device

    def data_ptr(self) -> int:
        return self._owner.ctypes.data

    def nbytes(self) -> int:
        return self._owner.nbytes

    size = __len__ = nbytes

    def _elements(self):
        return self._owner.reshape(-1).view(np.uint8)

    def __getitem__(self, i):
        return self._elements()[i].item()

    def __iter__(self):
        return iter(self._elements().tolist())

    def __eq__(self, other):
        return isinstance(other, UntypedStorage) and self._owner is other._owner

    __hash__ = object.__hash__

    def tolist(self) -> list:
        return self._elements().tolist()


class TypedStorage(UntypedStorage):
    """A storage read as elements of the tensor's dtype."""

    def __init__(self, tensor: Tensor):
        super().__init__(tensor)
        self.dtype = tensor.dtype

    def _elements(self):
        return self._owner.reshape(-1).view(self.dtype.np)

    def size(self) -> int:
        return self._elements().size

    __len__ = size

    def tensor(self) -> Tensor:
        return wrap(self._elements(), self.device)
