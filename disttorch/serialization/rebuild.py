"""What a file's names stand for: tensors rebuilt from storages, parameters, and plain types."""

import codecs
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np

from .. import devices, dtypes, meta
from ..autograd.variable import Tensor, wrap
from ..ops.shape import Size
from .names import BY_NAME, DTYPE_OF, StorageType
from .reader import Damaged, Refused
from .safe import find_safe

TENSOR_TYPE = object()  # what a file's torch.Tensor is: a name, not to be called


class LoadedStorage:
    """A storage's elements in one dimension, on the device where its tensors are to live."""

    def __init__(self, array: Any, where: devices.device):
        self.array, self.device = array, where


def rebuild_tensor(
    storage: LoadedStorage, offset: int, size: tuple, stride: tuple, requires_grad: bool = False, *_: Any
) -> Tensor:
    """The tensor of shape `size` whose elements lie in `storage` from `offset` on with `stride`; Damaged if they do
    not fit.
    """
    array = storage.array
    if not isinstance(storage, LoadedStorage) or len(size) != len(stride) or any(s < 0 for s in size):
        raise Damaged("a tensor without a storage, or with sizes and strides that do not match")
    last = offset + sum((s - 1) * st for s, st in zip(size, stride, strict=True)) if all(size) else offset - 1
    if offset < 0 or any(st < 0 for st in stride) or last >= array.size:
        raise Damaged(
            f"a tensor of size {list(size)} and strides {list(stride)} does not fit its storage of "
            f"{array.size} elements"
        )
    if all(size) and isinstance(array, np.ndarray) and storage.device is not devices.META:
        strides = tuple([st * array.itemsize for st in stride])
        data = np.ndarray(tuple(size), array.dtype, array.view(np.uint8), offset * array.itemsize, strides)
    elif all(size):
        view = devices.namespace(storage.device).lib.stride_tricks.as_strided
        data = view(array[offset:], tuple(size), tuple(st * array.itemsize for st in stride))
    else:
        data = array[:0].reshape(tuple(size))
    t = wrap(data, storage.device)
    t._rg = bool(requires_grad)
    return t


def _rebuild_meta(dtype: dtypes.dtype, size: tuple, stride: tuple, requires_grad: bool) -> Tensor:
    """A tensor without values."""
    count = 1 + sum((s - 1) * st for s, st in zip(size, stride, strict=True)) if all(size) else 0
    if not isinstance(dtype, dtypes.dtype) or min((*size, *stride, 0)) < 0 or not 0 <= count < 1 << 40:
        raise Damaged("a meta tensor of an unknown dtype or an impossible size")
    storage = LoadedStorage(meta.unbacked((count,), dtype.np), devices.META)
    return rebuild_tensor(storage, 0, size, stride, requires_grad)


def _rebuild_parameter(data: Tensor, requires_grad: bool, *_: Any) -> Tensor:
    from ..nn.parameter import Parameter

    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data: Tensor, requires_grad: bool, hooks: Any, state: dict) -> Tensor:
    return _with_attributes(_rebuild_parameter(data, requires_grad), state)


def _rebuild_from_type(function: Any, kind: type, args: tuple, state: Any) -> Tensor:
    """A tensor with attributes that a program gave it."""
    return _with_attributes(function(*args), state[0] if isinstance(state, tuple) else state)


def _with_attributes(t: Tensor, attributes: Any) -> Tensor:
    if not isinstance(t, Tensor) or not isinstance(attributes, dict):
        raise Damaged("a tensor with attributes that is no tensor, or whose attributes are no dict")
    for key, value in attributes.items():
        if isinstance(key, str) and not key.startswith("_") and not hasattr(t, key):
            setattr(t, key, value)
    return t


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, as protocol 2 writes them."""
    if encoding != "latin1":
        raise Refused(f"the encoding {encoding}")
    return codecs.encode(text, "latin1")


def _bytearray(data: Any = b"", encoding: str = "latin1") -> bytearray:
    """Bytes that may change, from bytes or text; not of a size that the file only claims."""
    if not isinstance(data, (bytes, str)):
        raise Damaged(f"a bytearray of a {type(data).__name__}")
    return bytearray(data if isinstance(data, bytes) else _encode(data, encoding.replace("-", "")))


_PLAIN = (set, frozenset, complex, slice, list, dict, tuple, int, float, str, bool)
_ALLOWED = {
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("torch", "Tensor"): TENSOR_TYPE,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _rebuild_meta,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter_with_state,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("collections", "Counter"): Counter,
    ("torch", "Size"): Size,
    ("torch", "device"): devices.device,
    ("torch.serialization", "_get_layout"): lambda name: name,
    ("_codecs", "encode"): _encode,
    **{(module, kind.__name__): kind for kind in _PLAIN for module in ("builtins", "__builtin__")},
    ("builtins", "bytearray"): _bytearray,
    ("__builtin__", "bytearray"): _bytearray,
}


def find(module: str, name: str) -> Any:
    """What a global of a file stands for; Refused for all but tensors, plain containers and what is safe."""
    if (module, name) in _ALLOWED:
        return _ALLOWED[module, name]
    if module in ("torch", "torch.storage") and name in DTYPE_OF:
        return StorageType(DTYPE_OF[name])
    if module == "torch.storage" and name == "UntypedStorage":
        return StorageType(dtypes.uint8)
    if module == "torch" and name in BY_NAME:
        return BY_NAME[name]
    found = find_safe(module, name)
    if found is None:
        raise Refused(f"{module}.{name}")
    return found
