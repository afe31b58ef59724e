"""disttorch: PyTorch's API and torchrun's command line on a small NumPy/CuPy code base."""

from .dtypes import bool_ as bool
from .dtypes import (
    bfloat16, can_cast, cdouble, cfloat, complex64, complex128, double, dtype, finfo, float16, float32, float64, get_default_dtype,
    half, iinfo, int8, int16, int32, int64, long, promote_types, set_default_dtype, short, uint8, uint16, uint32, uint64,
)  # fmt: skip
from .dtypes import float_ as float
from .dtypes import int_ as int
from .devices import device, get_default_device, set_default_device
from .autograd.mode import (
    enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled,
)  # fmt: skip
from .tensors import Tensor
from .ops import *
