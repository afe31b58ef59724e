"""Pickling for files: tensors as references to their storages under PyTorch's names, everything else as Python does."""

import io
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np

from .. import dtypes
from ..autograd.variable import Tensor
from ..devices import CPU, device, to_device
from ..ops.shape import Size
from .names import STORAGE_OF, Global

PROTOCOL = 2  # the newest that PyTorch's reader without code execution takes


class _Storage:
    """A storage's entry in the archive, written where a tensor refers to it."""

    def __init__(self, dtype: dtypes.dtype, key: str, location: str, count: int):
        self.dtype, self.key, self.location, self.count = dtype, key, location, count


class Writer(pickle._Pickler):
    """Collects `storages` (key -> contiguous array) while it pickles."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file, PROTOCOL)
        self.storages: dict[str, np.ndarray] = {}
        self._keys: dict[tuple, str] = {}
        self._held: list = []  # arrays whose addresses are keys must stay alive

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, _Storage):
            return ("storage", Global("torch", STORAGE_OF[obj.dtype]), obj.key, obj.location, obj.count)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Tensor):
            return self._tensor(obj)
        if isinstance(obj, Size):
            return Global("torch", "Size"), (tuple(obj),)
        if isinstance(obj, device):
            return Global("torch", "device"), (obj.type,) if obj.index is None else (obj.type, obj.index)
        return NotImplemented

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            self._write_global(obj)
        elif isinstance(obj, dtypes.dtype):
            self._write_global(Global("torch", obj.name))
        else:
            super().save(obj, save_persistent_id)

    def _write_global(self, obj: Global) -> None:
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

    def _tensor(self, t: Tensor) -> tuple:
        from ..nn.parameter import Parameter

        extra = {k: v for k, v in t.__dict__.items() if not k.startswith("_") and k not in ("device", "requires_grad")}
        if isinstance(t, Parameter):
            args = (t.detach(), t._rg, OrderedDict())
            if extra:
                return Global("torch._utils", "_rebuild_parameter_with_state"), (*args, extra)
            return Global("torch._utils", "_rebuild_parameter"), args
        if t.is_meta:
            strides = tuple(s // t._data.itemsize for s in t._data.strides)
            args = (t.dtype, tuple(t._data.shape), strides, t.requires_grad)
            return Global("torch._utils", "_rebuild_meta_tensor_no_storage"), args
        storage, offset, stride = self._storage(t)
        return Global("torch._utils", "_rebuild_tensor_v2"), (
            storage,
            offset,
            tuple(t._data.shape),
            stride,
            t.requires_grad,
            OrderedDict(),
        )

    def _storage(self, t: Tensor) -> tuple[_Storage, int, tuple]:
        """The storage that holds the elements of `t`, the first one's place and the strides. Views share their
        owner's storage.
        """
        if t.dtype not in STORAGE_OF:
            raise TypeError(f"cannot save a tensor of dtype {t.dtype}: PyTorch's file format has no storage for it")
        data = t._data if t.device.host else to_device(t._data, t.device, CPU)
        owner = data
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        item = data.itemsize
        offset = (data.ctypes.data - owner.ctypes.data) // item
        usable = owner.dtype == data.dtype and all(s >= 0 for s in data.strides)
        if usable and not owner.flags.c_contiguous:  # e.g. channels-last by strides: still one dense block
            usable = owner.flags.f_contiguous or _dense(owner)
            owner = owner.transpose(np.argsort([-s for s in owner.strides], kind="stable")) if usable else owner
        if not usable:
            data = owner = np.asarray(data, order="C")  # not ascontiguousarray, which knows no 0 dimensions
            offset = 0
        key = (owner.ctypes.data, owner.nbytes, str(t.device), t.dtype)
        if key not in self._keys:
            self._keys[key] = str(len(self._keys))
            self._held.append(owner)
            self.storages[self._keys[key]] = owner
        return (
            _Storage(t.dtype, self._keys[key], str(t.device), owner.size),
            offset,
            tuple(s // item for s in data.strides),
        )


def _dense(a: np.ndarray) -> bool:
    """Whether the elements fill one block of memory, in whatever order of dimensions."""
    expected = a.itemsize
    for stride, size in sorted(zip(a.strides, a.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True
