"""Functions of the top level that set modes or ask about programs, most of them with nothing to do here."""

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import devices, dtypes
from .autograd.variable import Tensor


def is_tensor(obj) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj) -> bool:
    """Whether `obj` is a storage, typed or not."""
    from .storage import TypedStorage, UntypedStorage

    return isinstance(obj, (TypedStorage, UntypedStorage))


def compile(
    model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None, disable=False, **settings
):
    """`model` itself: operations are run one by one, there is no compiler. Without a model, a decorator."""
    return (lambda function: function) if model is None else model


def _check(cond: Any, message: Callable | None = None) -> None:
    """RuntimeError, with the text that `message()` gives, unless `cond`."""
    if not cond:
        text = "Expected cond to be True, but got False." if message is None else str(message())
        raise RuntimeError(text)


def _assert(condition: Any, message: str) -> None:
    """AssertionError unless `condition`."""
    if not condition:
        raise AssertionError(message)


def get_device_module(device: Any = None) -> ModuleType:
    """torch.cuda or torch.cpu, for a device or its name; None: for CUDA devices where there are some."""
    if device is None:
        device = "cuda" if devices.device_count() else "cpu"
    elif not isinstance(device, (str, devices.device)):
        raise RuntimeError(f"Invalid value of device '{device}', expect torch.device, str, or None")
    return importlib.import_module(f"disttorch.{devices.device(device).type}")


def set_default_tensor_type(t) -> None:
    """The type (torch.DoubleTensor, "torch.FloatTensor") of tensors made from Python floats."""
    from .typed import described

    try:
        dtype, place = described(t)
    except ValueError:
        raise TypeError(f"invalid type object: {t}") from None
    dtypes.set_default_dtype(dtype)
    if place == "cuda":
        devices.set_default_device("cuda")


_matmul_precision = "highest"
_deterministic = True
_deterministic_warns = False
_interop_threads = 1


def set_float32_matmul_precision(precision: str) -> None:
    """ "highest", "high" or "medium": kept and read back; products on the CPU are always computed in float32."""
    global _matmul_precision
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"precision must be one of highest, high, medium, got {precision!r}")
    _matmul_precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was given last; "highest" before."""
    return _matmul_precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Every algorithm here is deterministic; the setting is kept and read back."""
    global _deterministic, _deterministic_warns
    _deterministic, _deterministic_warns = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was given last; True before."""
    return _deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """The `warn_only` that `use_deterministic_algorithms` was given last; False before."""
    return _deterministic_warns


def set_num_interop_threads(n: int) -> None:
    """Operations are started by the threads that call them: kept and read back."""
    global _interop_threads
    if n <= 0:
        raise RuntimeError("set_num_interop_threads expects a positive integer")
    _interop_threads = n


def get_num_interop_threads() -> int:
    """What `set_num_interop_threads` was given last; 1 before."""
    return _interop_threads


def set_flush_denormal(mode: bool) -> bool:
    """Flush denormal numbers to zero, or no longer, in this thread and those that compute for it. Returns whether that
    can be set here (x86-64 with glibc). RuntimeError if `mode` is no bool.
    """
    if not isinstance(mode, bool):
        raise RuntimeError(f"flush_denormal expects a bool, but got {type(mode).__name__}")
    from .kernels.subnormals import flush_subnormals

    return flush_subnormals(mode)


def set_warn_always(b: bool) -> None:
    """Whether a warning is shown every time instead of once."""
    warnings.simplefilter("always" if b else "default")


def is_warn_always_enabled() -> bool:
    """Whether `set_warn_always(True)` holds."""
    return bool(warnings.filters) and warnings.filters[0][0] == "always"


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """`func` over the entries of a dimension; see `disttorch.func.vmap`."""
    from .func import vmap as mapped

    return mapped(func, in_dims, out_dims, randomness, chunk_size=chunk_size)
