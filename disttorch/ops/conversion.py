"""Tensors from Python numbers, sequences, NumPy arrays, buffers and other libraries' arrays."""

import warnings

import numpy as np

from .. import dtypes
from ..autograd.variable import Tensor, wrap
from ..devices import CPU, META, cupy, device, namespace, resolve, scope, to_device
from .creation import as_dtype, leaf

_KINDS = {bool: dtypes.BOOL, int: dtypes.INTEGER, float: dtypes.FLOATING, complex: dtypes.COMPLEX}
_ONLY_ONE = "only one element tensors can be converted to Python scalars"


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A new tensor holding a copy of `data`: a number, a (nested) sequence of numbers, a NumPy array or scalar, a
    tensor.

    Without `dtype`, Python floats become the default dtype, ints int64; NumPy's types stay what they are. Raises
    ValueError for a ragged sequence, TypeError or RuntimeError for what holds no numbers.
    """
    d = as_dtype("tensor", dtype)
    if not isinstance(requires_grad, bool):
        raise TypeError(f"tensor(): argument 'requires_grad' must be bool, not {type(requires_grad).__name__}")
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            stacklevel=2,
        )
        return leaf(data.detach().to(device=device, dtype=d, copy=True), requires_grad)
    where = resolve(device)
    array = _array(data, d)
    if array is data:
        array = array.copy()
    return leaf(_placed(array, where), requires_grad)


def _placed(array: np.ndarray, where: device) -> Tensor:
    if where.host:
        return wrap(array, where)
    if where is META:
        return wrap(to_device(array, CPU, where), where)
    with scope(where):
        return wrap(cupy().asarray(array), where)


def _array(data, d: dtypes.dtype | None) -> np.ndarray:
    """`data` as an array of dtype `d` (None: its own); itself if it is one already."""
    if isinstance(data, np.ndarray | np.generic):
        return _of_numpy(data, d)
    kind = type(data)
    if kind in _KINDS:
        return _checked(_natural(data, _KINDS[kind]), d or dtypes.of_scalar(data))
    if isinstance(data, str | bytes):
        raise TypeError(f"new(): invalid data type '{kind.__name__}'")
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, dict):
        if hasattr(data, "__index__") or hasattr(data, "__float__"):
            return _array(data.__index__() if hasattr(data, "__index__") else data.__float__(), d)
        raise RuntimeError(f"Could not infer dtype of {kind.__name__}")
    return _of_sequence(data, d)


def _of_numpy(data, d):
    if not data.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )
    array = np.asarray(data)
    own = dtypes.FROM_NUMPY.get(array.dtype)
    if own is None:
        raise TypeError(
            f"can't convert np.ndarray of type {array.dtype.type.__module__}.{array.dtype.type.__name__}. The only "
            "supported types are: float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, "
            "uint32, uint16, uint8, and bool."
        )
    if d is None or d is own:
        return dtypes.as_kernels_know(array)
    with np.errstate(all="ignore"):
        return (array.real if own.is_complex and not d.is_complex else array).astype(d.np)


def _natural(data, category: int) -> np.ndarray:
    """Python numbers as an array of the type that holds them all."""
    try:
        return np.array(data, (np.bool_, np.int64, np.float64, np.complex128)[category])
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None


def _of_sequence(data, d):
    shape, flat = _flattened(data)
    kinds = set(map(type, flat))
    if kinds <= _KINDS.keys():
        category = max((_KINDS[k] for k in kinds), default=dtypes.FLOATING)
        own = (dtypes.bool_, dtypes.int64, dtypes.get_default_dtype(), dtypes.get_default_dtype().to_complex())[
            category
        ]
        return _checked(_natural(flat, category), d or own).reshape(shape)
    if all(isinstance(x, np.ndarray) for x in flat):
        sizes = {x.shape for x in flat}
        if len(sizes) > 1:
            raise ValueError(
                f"expected sequence of length {len(flat[0])} at dim {len(shape)} (got {_other_length(flat)})"
            )
        return _of_numpy(np.stack(flat), d).reshape(shape + flat[0].shape)
    parts = [_scalar(x, d) for x in flat]
    own = parts[0].dtype
    for part in parts[1:]:
        own = dtypes.promote_types(dtypes.FROM_NUMPY[np.dtype(own)], dtypes.FROM_NUMPY[part.dtype]).np
    return _checked(np.array([p.item() for p in parts]), d or dtypes.FROM_NUMPY[np.dtype(own)]).reshape(shape)


def _other_length(arrays) -> int:
    return next((len(a) for a in arrays if a.shape[:1] != arrays[0].shape[:1]), len(arrays[0]))


def _scalar(x, d) -> np.ndarray:
    """One element of a sequence that does not hold Python numbers alone."""
    if isinstance(x, Tensor):
        if x._data.size != 1:
            raise ValueError(_ONLY_ONE)
        return np.asarray(x.detach().to("cpu")._data).reshape(())
    if isinstance(x, list | tuple):
        raise TypeError(f"'{type(x).__name__}' object cannot be interpreted as an integer")
    return np.asarray(_array(x, None))


def _flattened(data) -> tuple[tuple, list]:
    """The shape of a nested sequence and its elements; ValueError (PyTorch's text) where its lengths differ."""
    shape, level = [len(data)], list(data)
    while level and _nested(level[0]):
        if isinstance(level[0], str):
            raise ValueError("too many dimensions 'str'")
        length, below = len(level[0]), []
        for part in level:
            if not _nested(part):
                raise TypeError("not a sequence")
            if len(part) != length:
                raise ValueError(f"expected sequence of length {length} at dim {len(shape)} (got {len(part)})")
            below.extend(part)
        shape.append(length)
        level = below
    return tuple(shape), level


def _nested(x) -> bool:
    if isinstance(x, list | tuple | str | range):
        return True
    return (
        hasattr(x, "__len__")
        and hasattr(x, "__getitem__")
        and not isinstance(x, Tensor | np.ndarray | np.generic | dict | bytes)
    )


def _checked(array: np.ndarray, d: dtypes.dtype) -> np.ndarray:
    """An array of Python numbers as dtype `d`; errors (PyTorch's texts) where one does not fit."""
    if array.dtype == d.np:
        return array
    if array.dtype.kind == "c" and not d.is_complex:
        raise TypeError("must be real number, not complex")
    if d.category == dtypes.INTEGER and array.size and array.dtype.kind != "b":
        info = dtypes.iinfo(d)
        low = info.min if d.is_signed else -info.max
        if not bool(((array >= low) & (array <= info.max)).all()):  # False for nan, too
            raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")
        if not d.is_signed:
            array = array.astype(np.int64)
    with np.errstate(over="ignore"):
        return array.astype(d.np)


def as_tensor(data, dtype=None, device=None):
    """`data` as a tensor that shares its memory where dtype and device allow; a tensor keeps its place in the graph."""
    d = as_dtype("as_tensor", dtype)
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=d)
    where = resolve(device)
    array = _array(data, d)
    if isinstance(data, np.ndarray) and any(s < 0 for s in array.strides):
        _refuse_negative_strides()
    if where.host and where is not CPU and array is data:
        array = array.copy()
    return _placed(array, where)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """`obj` as a tensor: shared where possible if `copy` is None or False, copied if it is True."""
    if isinstance(obj, Tensor):
        out = obj.detach() if not requires_grad else obj
        out = out.to(device=device, dtype=as_dtype("asarray", dtype), copy=bool(copy))
    elif isinstance(obj, bytes | bytearray | memoryview):
        out = frombuffer(obj, dtype=dtype or dtypes.get_default_dtype())
    else:
        out = tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype, device)
    if copy is False and not (
        isinstance(obj, Tensor | np.ndarray) and np.shares_memory(out._data, np.asarray(getattr(obj, "_data", obj)))
    ):
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    return leaf(out, requires_grad)


def from_numpy(ndarray):
    """A tensor over the array's own memory: changes of either are seen by both."""
    if not isinstance(ndarray, np.ndarray):
        name = f"numpy.{type(ndarray).__name__}" if isinstance(ndarray, np.generic) else type(ndarray).__name__
        raise TypeError(f"expected np.ndarray (got {name})")
    if any(s < 0 for s in ndarray.strides):
        _refuse_negative_strides()
    array = _of_numpy(ndarray, None)
    if not array.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means "
            "writing to this tensor will result in an error. You may want to copy the array to protect its data or "
            "make it writable before converting it to a tensor.",
            stacklevel=2,
        )
    return wrap(array)


def _refuse_negative_strides():
    raise ValueError(
        "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently "
        "supported. (You can probably work around this by making a copy of your array  with array.copy().) "
    )


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A vector over the memory of an object with Python's buffer interface."""
    d = as_dtype("frombuffer", dtype)
    whole, size = memoryview(buffer).nbytes, d.itemsize
    if whole == 0 or count == 0:
        raise ValueError(f"both buffer length ({whole}) and count ({count}) must not be 0")
    if not 0 <= offset < whole:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({whole} bytes) minus 1"
        )
    if count < 0 and (whole - offset) % size:
        raise ValueError(
            f"buffer length ({whole - offset} bytes) after offset ({offset} bytes) must be a multiple of element "
            f"size ({size})"
        )
    if count > 0 and offset + count * size > whole:
        raise ValueError(
            f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be greater than "
            f"actual buffer length ({whole} bytes)"
        )
    if memoryview(buffer).readonly:
        warnings.warn(
            "The given buffer is not writable, and PyTorch does not support non-writable tensors. This means writing "
            "to this tensor will result in an error. You may want to copy the buffer before converting it to a tensor.",
            stacklevel=2,
        )
    return leaf(wrap(np.frombuffer(buffer, d.np, count, offset)), requires_grad)


class _Capsule:
    """What `__dlpack__` gave, of host memory, as an array that has it."""

    def __init__(self, capsule):
        self._capsule = capsule

    def __dlpack__(self, **_options):
        return self._capsule

    def __dlpack_device__(self):
        return 1, 0


def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor over the memory of another library's array (anything with `__dlpack__`, or a capsule of host memory)."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.to(device=device, copy=bool(copy))
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Capsule(ext_tensor)
    kind, index = ext_tensor.__dlpack_device__()
    where = CPU if kind in (1, 3) else resolve(f"cuda:{index}")
    made = wrap(namespace(where).from_dlpack(ext_tensor), where)
    return made.to(device=device, copy=bool(copy))


__all__ = ["as_tensor", "asarray", "from_dlpack", "from_numpy", "frombuffer", "tensor"]
