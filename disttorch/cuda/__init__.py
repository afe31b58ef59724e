"""CUDA devices, real (through CuPy) or simulated (`DISTTORCH_SIM_DEVICES=4` or `disttorch.cuda.simulate(4)`)."""

from ..devices import is_simulated, simulate
from . import comm, nvtx, profiler
from .memory import (
    OutOfMemoryError,
    empty_cache,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)  # fmt: skip
from .profiler import cudart
from .properties import (
    current_device,
    device,
    device_count,
    device_of,
    get_arch_list,
    get_device_capability,
    get_device_name,
    get_device_properties,
    init,
    ipc_collect,
    is_available,
    is_bf16_supported,
    is_initialized,
    set_device,
    synchronize,
)  # fmt: skip
from .seeds import (
    default_generators,
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)  # fmt: skip
from .streams import Event, Stream, StreamContext, current_stream, default_stream, set_stream, stream
from .tensors import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
)  # fmt: skip


def _is_in_bad_fork() -> bool:
    """False: simulated devices can be used in a forked process; of real ones nothing is known before they fail."""
    return False


def is_current_stream_capturing() -> bool:
    """False: there are no graphs that operations could be captured into."""
    return False


def _sleep(cycles: int) -> None:
    """Nothing. Programs keep a device busy with it, to see what happens meanwhile."""


def _lazy_call(callable, **kwargs) -> None:
    """Call it: devices need no preparation that it would have to wait for."""
    callable()


def __getattr__(name: str):
    if name == "amp":
        from importlib import import_module

        return import_module(".amp", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
