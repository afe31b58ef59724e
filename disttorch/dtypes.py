"""Element types under PyTorch's names, and PyTorch's rules for mixing them.

Source of the promotion rules: PyTorch's notes on tensor attributes ("torch.dtype", type promotion).
"""

from functools import lru_cache

import ml_dtypes
import numpy as np

# Categories in the order in which they win over one another.
BOOL, INTEGER, FLOATING, COMPLEX = range(4)


class dtype:
    """The type of a tensor's elements, printed as PyTorch prints it (`torch.float32`).

    Attributes: name, np (the NumPy dtype), category, itemsize (bytes), is_floating_point, is_complex, is_signed.
    """

    __slots__ = ("category", "is_complex", "is_floating_point", "is_signed", "itemsize", "name", "np", "type_name")

    def __init__(self, name: str, np_type, category: int, type_name: str):
        self.name, self.np, self.category, self.type_name = name, np.dtype(np_type), category, type_name
        self.itemsize = self.np.itemsize
        self.is_floating_point, self.is_complex = category == FLOATING, category == COMPLEX
        self.is_signed = not (category == BOOL or name.startswith("uint"))

    def __repr__(self):
        return "torch." + self.name

    def __reduce__(self):
        return (_by_name, (self.name,))

    def to_real(self) -> "dtype":
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> "dtype":
        return {"float64": complex128, "complex128": complex128}.get(self.name, complex64)


bool_ = dtype("bool", np.bool_, BOOL, "BoolTensor")
uint8 = dtype("uint8", np.uint8, INTEGER, "ByteTensor")
int8 = dtype("int8", np.int8, INTEGER, "CharTensor")
int16 = short = dtype("int16", np.int16, INTEGER, "ShortTensor")
int32 = int_ = dtype("int32", np.int32, INTEGER, "IntTensor")
int64 = long = dtype("int64", np.int64, INTEGER, "LongTensor")
uint16 = dtype("uint16", np.uint16, INTEGER, "UInt16Tensor")
uint32 = dtype("uint32", np.uint32, INTEGER, "UInt32Tensor")
uint64 = dtype("uint64", np.uint64, INTEGER, "UInt64Tensor")
float16 = half = dtype("float16", np.float16, FLOATING, "HalfTensor")
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, FLOATING, "BFloat16Tensor")
float32 = float_ = dtype("float32", np.float32, FLOATING, "FloatTensor")
float64 = double = dtype("float64", np.float64, FLOATING, "DoubleTensor")
complex64 = cfloat = dtype("complex64", np.complex64, COMPLEX, "ComplexFloatTensor")
complex128 = cdouble = dtype("complex128", np.complex128, COMPLEX, "ComplexDoubleTensor")

ALL = (
    bool_,
    uint8,
    int8,
    int16,
    int32,
    int64,
    uint16,
    uint32,
    uint64,
    float16,
    bfloat16,
    float32,
    float64,
    complex64,
    complex128,
)
FROM_NUMPY = {d.np: d for d in ALL}


def as_kernels_know(array):
    """The array with the very dtype object that kernels look for: one that came in a pickle has an equal one."""
    own = FROM_NUMPY.get(array.dtype)
    return array if own is None or array.dtype is own.np else array.view(own.np)


_BARE = (uint16, uint32, uint64)  # PyTorch promotes these to floating dtypes alone
SCALAR_NAMES = {  # the names that PyTorch's error texts use
    bool_: "Bool", uint8: "Byte", int8: "Char", int16: "Short", int32: "Int", int64: "Long",
    uint16: "UInt16", uint32: "UInt32", uint64: "UInt64", float16: "Half", bfloat16: "BFloat16",
    float32: "Float", float64: "Double", complex64: "ComplexFloat", complex128: "ComplexDouble",
}  # fmt: skip


def _by_name(name: str) -> dtype:
    return next(d for d in ALL if d.name == name)


@lru_cache(None)
def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype of at least both arguments' size and kind (torch.promote_types)."""
    a, b = type1, type2
    if a is b:
        return a
    if a.category < b.category:
        a, b = b, a
    if a.category != FLOATING and (a in _BARE or b in _BARE):
        raise RuntimeError(
            "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
            f"{SCALAR_NAMES[a]} and {SCALAR_NAMES[b]}"
        )
    if a.category == COMPLEX:
        return complex128 if b.to_complex() is complex128 and b.category >= FLOATING else a
    if a.category != b.category:
        return a
    if a.category == FLOATING:
        return float32 if {a, b} == {float16, bfloat16} else max(a, b, key=lambda d: d.itemsize)
    unsigned, signed = (b, a) if a.is_signed else (a, b)
    if unsigned is uint8 and signed is int8:
        return int16
    return max(a, b, key=lambda d: d.itemsize)


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether a value of `from_` may be stored as `to` (torch.can_cast): the kind may only grow."""
    return from_.category <= to.category


_default = float32


def get_default_dtype() -> dtype:
    """The dtype of tensors made from Python floats."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """The dtype of tensors made from Python floats. TypeError unless `d` is floating."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    _default = d


def of_scalar(value) -> dtype:
    """The dtype that a Python number has on its own."""
    if isinstance(value, bool | np.bool_):
        return bool_
    if isinstance(value, int | np.integer):
        return int64
    if isinstance(value, float | np.floating):
        return _default
    if isinstance(value, complex | np.complexfloating):
        return _default.to_complex()
    if isinstance(value, np.generic) and value.dtype.kind == "V":  # bfloat16 and its kin
        return _default
    raise TypeError(f"expected a Python number, got {type(value).__name__}")


class _Info:
    def __repr__(self):
        shown = (f"{k}={v}" if isinstance(v, str) else f"{k}={v:g}" for k, v in vars(self).items())
        return f"{type(self).__name__}({', '.join(shown)})"


class finfo(_Info):
    """Numerical limits of a floating dtype (torch.finfo): resolution, min, max, eps, smallest_normal, tiny, dtype."""

    def __init__(self, type: dtype | None = None):
        d = (_default if type is None else type).to_real()
        if not d.is_floating_point:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d}'")
        info = ml_dtypes.finfo(d.np) if d is bfloat16 else np.finfo(d.np)
        self.resolution, self.min, self.max = 10.0**-info.precision, float(info.min), float(info.max)
        self.eps, self.smallest_normal = float(info.eps), float(info.smallest_normal)
        self.tiny, self.dtype = self.smallest_normal, d.name

    @property
    def bits(self) -> int:
        return 8 * _by_name(self.dtype).itemsize


class iinfo(_Info):
    """Numerical limits of an integer dtype (torch.iinfo): min, max, dtype."""

    def __init__(self, type: dtype):
        if type.category != INTEGER:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'")
        info = np.iinfo(type.np)
        self.min, self.max, self.dtype = int(info.min), int(info.max), type.name

    @property
    def bits(self) -> int:
        return 8 * _by_name(self.dtype).itemsize
