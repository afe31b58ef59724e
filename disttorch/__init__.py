"""disttorch: PyTorch's API and torchrun's command line on a small NumPy/CuPy code base.

Operations are here at once; rooms such as `nn` or `distributed` are imported when first used.
"""

from importlib import import_module as _import_module

from .autograd.mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)  # fmt: skip
from .devices import device, get_default_device, set_default_device
from .dtypes import (
    bfloat16,
    can_cast,
    cdouble,
    cfloat,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    short,
    uint8,
    uint16,
    uint32,
    uint64,
)  # fmt: skip
from .dtypes import bool_ as bool
from .dtypes import float_ as float
from .dtypes import int_ as int
from .kernels import get_num_threads, set_num_threads
from .ops import *
from .ops.ranges import range_ as range
from .printing import set_printoptions
from .random import (
    Generator,
    default_generator,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)  # fmt: skip
from .tensors import Tensor
from .version import __version__

_ROOMS = frozenset(
    "_C _dynamo _utils accelerator alias amp autograd backends comm compiler cpu cuda distributed distributions fft "
    "func functional futures fx hub jit launcher linalg masked multiprocessing nn onnx optim overrides profiler random "
    "serialization signal sparse special testing types utils version vision".split()
)
_HOMES = {  # names that live in rooms which are imported when first used
    "accelerator": "Event Stream",
    "amp": (
        "autocast is_autocast_enabled set_autocast_enabled get_autocast_dtype set_autocast_dtype "
        "is_autocast_cpu_enabled get_autocast_cpu_dtype get_autocast_gpu_dtype is_autocast_cache_enabled "
        "clear_autocast_cache"
    ),
    "cuda.memory": "OutOfMemoryError",
    "constants": "e inf layout memory_format nan newaxis pi sparse_coo sparse_csr strided",
    "in_place": (
        "abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_ asinh_ atan_ "
        "atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ erf_ erfc_ exp2_ exp_ "
        "expm1_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ "
        "negative_ rad2deg_ reciprocal_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_"
    ),
    "jit": "ScriptModule",
    "nn.modules.module": "typename",
    "serialization": "PyTorchFileReader load save",
    "storage": (
        "BFloat16Storage BoolStorage ByteStorage CharStorage DoubleStorage FloatStorage HalfStorage IntStorage "
        "LongStorage ShortStorage TypedStorage UntypedStorage"
    ),
    "sparse": "sparse_coo_tensor sparse_csr_tensor spmm",
    "programs": (
        "compile get_num_interop_threads set_num_interop_threads set_float32_matmul_precision is_tensor is_storage "
        "vmap get_float32_matmul_precision use_deterministic_algorithms are_deterministic_algorithms_enabled "
        "is_deterministic_algorithms_warn_only_enabled "
        "_assert _check get_device_module set_default_tensor_type set_flush_denormal is_warn_always_enabled "
        "set_warn_always"
    ),
    "typed": (
        "FloatTensor DoubleTensor HalfTensor BFloat16Tensor LongTensor IntTensor ShortTensor CharTensor ByteTensor "
        "BoolTensor"
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str):
    if name in _ROOMS:
        return _import_module("." + name, __name__)
    if name in _HOME_OF:
        value = getattr(_import_module("." + _HOME_OF[name], __name__), name)
        globals()[name] = value
        return value
    if name.startswith("_amp_"):
        return getattr(_import_module(".amp.scaling", __name__), name)
    if name.startswith("_foreach_"):
        return getattr(_import_module(".foreach", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_ROOMS, *_HOME_OF})
