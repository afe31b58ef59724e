"""Storages: the one-dimensional memory under a tensor, for programs that look at it."""

import os
import weakref
from typing import Any

import numpy as np

from . import dtypes
from .autograd.variable import Tensor, wrap
from .devices import CPU, META, device

_shrunk: dict[int, int] = {}  # by the id of the memory: the bytes that a storage was made to have, fewer than there are


class UntypedStorage:
    """Bytes. `UntypedStorage(n)` makes n of them, `tensor.untyped_storage()` gives those that a tensor lives in."""

    def __init__(self, size: int = 0):
        self._owner, self.device = np.empty(size, np.uint8), CPU

    @classmethod
    def of(cls, tensor: Tensor) -> "UntypedStorage":
        """All the memory that a tensor and its views share."""
        owner = tensor._data
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        return cls._over(owner, tensor.device)

    @classmethod
    def _over(cls, owner: np.ndarray, where: device) -> "UntypedStorage":
        self = cls.__new__(cls)
        self._owner, self.device = owner, where
        return self

    @classmethod
    def from_file(cls, filename: str | os.PathLike, shared: bool = False, nbytes: int = 0) -> "UntypedStorage":
        """A file's first `nbytes` bytes, mapped; with `shared` changes reach the file. RuntimeError if it has fewer."""
        if nbytes > os.path.getsize(filename):
            raise RuntimeError(f"{os.fspath(filename)} has {os.path.getsize(filename)} bytes, {nbytes} are wanted")
        mapped = np.memmap(filename, "u1", "r+" if shared else "c", shape=(nbytes,)) if nbytes else np.empty(0, "u1")
        return cls._over(mapped, CPU)

    def data_ptr(self) -> int:
        if self.device is META:
            return 0
        return self._owner.ctypes.data if self.device.host else self._owner.data.ptr

    def nbytes(self) -> int:
        return _shrunk.get(id(self._owner), self._owner.nbytes)

    def resize_(self, size: int) -> "UntypedStorage":
        """Let it be `size` elements long, no more than its memory has. That stays: tensors lie in it. RuntimeError for
        more.
        """
        wanted, there = size * self.element_size(), self._owner.nbytes
        if wanted > there:
            raise RuntimeError(f"resize_(): the storage's memory has {there} bytes, and cannot grow to {wanted}")
        if id(self._owner) not in _shrunk:
            weakref.finalize(self._owner, _shrunk.pop, id(self._owner), None)
        _shrunk[id(self._owner)] = wanted
        return self

    size = __len__ = nbytes

    def element_size(self) -> int:
        return 1

    def untyped(self) -> "UntypedStorage":
        """The same memory as bytes."""
        return UntypedStorage._over(self._owner, self.device)

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def _elements(self) -> np.ndarray:
        return self._owner.reshape(-1, order="A").view(np.uint8)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return UntypedStorage._over(self._elements()[i], self.device)
        return self._elements()[i].item()

    def __setitem__(self, i: Any, value: Any) -> None:
        self._elements()[i] = value

    def __iter__(self):
        return iter(self._elements().tolist())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        found = self._elements()
        return found if dtype is None else found.astype(dtype, copy=False)

    def __eq__(self, other):
        return isinstance(other, UntypedStorage) and self._owner is other._owner

    __hash__ = object.__hash__

    def tolist(self) -> list:
        return self._elements().tolist()


class TypedStorage(UntypedStorage):
    """A storage read as elements of one dtype."""

    @classmethod
    def of(cls, tensor: Tensor) -> "TypedStorage":
        self = super().of(tensor)
        self.dtype = tensor.dtype
        return self

    def _elements(self) -> np.ndarray:
        return self._owner.reshape(-1, order="A").view(self.dtype.np)

    def element_size(self) -> int:
        return self.dtype.itemsize

    def size(self) -> int:
        return self.nbytes() // self.element_size()

    __len__ = size

    def tensor(self) -> Tensor:
        """All elements, as a tensor of one dimension that shares them."""
        return wrap(self._elements(), self.device)


class _Kind(type):
    """FloatStorage and the like: what they make is a TypedStorage of their dtype."""

    dtype: dtypes.dtype

    def __instancecheck__(cls, value) -> bool:
        return isinstance(value, TypedStorage) and value.dtype is cls.dtype

    def __call__(cls, given: Any = 0) -> TypedStorage:
        """Of so many elements, or of the elements given."""
        return cls._over(np.empty(given, cls.dtype.np) if isinstance(given, int) else np.array(given, cls.dtype.np))

    def from_buffer(cls, buffer: Any, byte_order: str = "native") -> TypedStorage:
        """Of a copy of bytes, whose order is "native", "little" or "big"."""
        order = {"native": "=", "little": "<", "big": ">"}[byte_order]
        return cls._over(np.frombuffer(buffer, cls.dtype.np.newbyteorder(order)).astype(cls.dtype.np))

    _from_buffer = from_buffer

    def _over(cls, elements: np.ndarray) -> TypedStorage:
        return TypedStorage.of(wrap(elements))


def _kind(dtype: dtypes.dtype) -> type:
    name = dtype.type_name.replace("Tensor", "Storage")
    return _Kind(name, (), {"dtype": dtype, "__module__": "torch"})


FloatStorage, DoubleStorage, HalfStorage, BFloat16Storage = map(
    _kind, (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16)
)
LongStorage, IntStorage, ShortStorage = map(_kind, (dtypes.int64, dtypes.int32, dtypes.int16))
CharStorage, ByteStorage, BoolStorage = map(_kind, (dtypes.int8, dtypes.uint8, dtypes.bool_))
