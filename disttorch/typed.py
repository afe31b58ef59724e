"""FloatTensor, LongTensor and the like: constructors of tensors of one dtype, by size or from data."""

from . import dtypes, ops
from .autograd.variable import Tensor


class _TypedTensor(type):
    dtype: dtypes.dtype

    def __instancecheck__(cls, value) -> bool:
        return isinstance(value, Tensor) and value.dtype is cls.dtype and not value.is_cuda

    def __call__(cls, *args):
        return construct(cls.dtype, *args)


def construct(dtype: dtypes.dtype, *args, device=None) -> Tensor:
    """A tensor as the old constructors make it: of sizes (uninitialised), from a sequence or an array, or empty."""
    if not args:
        return ops.empty(0, dtype=dtype, device=device)
    data = args[0]
    if len(args) > 1 or isinstance(data, (int, ops.shape.Size)):
        return ops.empty(*args, dtype=dtype, device=device)
    if isinstance(data, Tensor):
        if data.dtype is not dtype:
            raise TypeError(f"expected {dtype.type_name} (got {data.type()})")
        return data.detach()
    return ops.tensor(data, dtype=dtype, device=device)


def _make(dtype: dtypes.dtype) -> type:
    return _TypedTensor(dtype.type_name, (), {"dtype": dtype, "__module__": "torch", "is_cuda": False})


FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor = map(
    _make, (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16)
)
LongTensor, IntTensor, ShortTensor = map(_make, (dtypes.int64, dtypes.int32, dtypes.int16))
CharTensor, ByteTensor, BoolTensor = map(_make, (dtypes.int8, dtypes.uint8, dtypes.bool_))
