"""FloatTensor, LongTensor and the like: constructors of tensors of one dtype, by size or from data."""

from typing import Any

from . import devices, dtypes, ops
from .autograd.variable import Tensor
from .storage import TypedStorage


class _TypedTensor(type):
    dtype: dtypes.dtype
    is_cuda: bool

    def __instancecheck__(cls, value) -> bool:
        return isinstance(value, Tensor) and value.dtype is cls.dtype and value.is_cuda == cls.is_cuda

    def __call__(cls, *args, size=None):
        if cls.is_cuda and not devices.device_count():
            name = f"{cls.__module__}.{cls.__name__}"
            raise TypeError(f"type {name} not available. Torch not compiled with CUDA enabled.")
        args = args if size is None else (ops.shape.Size(size),)
        return construct(cls.dtype, *args, device="cuda" if cls.is_cuda else None)


def construct(dtype: dtypes.dtype, *args, device=None) -> Tensor:
    """A tensor as the old constructors make it: of sizes (uninitialised), from a sequence or an array, over a storage,
    or empty.
    """
    if not args:
        return ops.empty(0, dtype=dtype, device=device)
    data = args[0]
    if len(args) > 1 or isinstance(data, (int, ops.shape.Size)):
        return ops.empty(*args, dtype=dtype, device=device)
    if isinstance(data, Tensor):
        if data.dtype is not dtype or (device == "cuda" and not data.is_cuda):
            raise TypeError(f"expected {'torch.cuda.' * (device == 'cuda')}{dtype.type_name} (got {data.type()})")
        return data.detach()
    if isinstance(data, TypedStorage):
        return ops.empty(0, dtype=dtype, device=device).set_(data)
    return ops.tensor(data, dtype=dtype, device=device)


def make(dtype: dtypes.dtype, cuda: bool = False) -> type:
    """The class of tensors of a dtype on the CPU, or on CUDA devices."""
    place = "torch.cuda" if cuda else "torch"
    return _TypedTensor(dtype.type_name, (), {"dtype": dtype, "__module__": place, "is_cuda": cuda})


def described(kind: Any) -> tuple[dtypes.dtype, str]:
    """(dtype, "cuda" or "cpu") of such a class, or of its name; ValueError for another name."""
    name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__name__}"
    room, _, last = name.rpartition(".")
    found = [d for d in dtypes.ALL if d.type_name == last]
    if not found or room not in ("torch", "torch.cuda"):
        raise ValueError(f"invalid type: '{name}'")
    return found[0], "cuda" if room == "torch.cuda" else "cpu"


FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor = map(
    make, (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16)
)
LongTensor, IntTensor, ShortTensor = map(make, (dtypes.int64, dtypes.int32, dtypes.int16))
CharTensor, ByteTensor, BoolTensor = map(make, (dtypes.int8, dtypes.uint8, dtypes.bool_))
