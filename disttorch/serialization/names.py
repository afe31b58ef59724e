"""The names that stand in PyTorch's files for the types of elements, and for the few functions that rebuild values."""

from .. import dtypes

STORAGE_OF = {  # dtype -> storage class in a file
    dtypes.float32: "FloatStorage", dtypes.float64: "DoubleStorage", dtypes.float16: "HalfStorage",
    dtypes.bfloat16: "BFloat16Storage", dtypes.int64: "LongStorage", dtypes.int32: "IntStorage",
    dtypes.int16: "ShortStorage", dtypes.int8: "CharStorage", dtypes.uint8: "ByteStorage", dtypes.bool_: "BoolStorage",
    dtypes.complex64: "ComplexFloatStorage", dtypes.complex128: "ComplexDoubleStorage",
}  # fmt: skip
DTYPE_OF = {name: d for d, name in STORAGE_OF.items()}
BY_NAME = {d.name: d for d in dtypes.ALL}


class Global:
    """A name of PyTorch's that a file refers to, such as torch._utils _rebuild_tensor_v2."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self, *args):
        raise TypeError(f"{self} is called by whoever reads the file, not while it is written")

    def __repr__(self):
        return f"{self.module}.{self.name}"


class StorageType:
    """The class of a storage in a file: what its bytes mean."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: dtypes.dtype):
        self.dtype = dtype
