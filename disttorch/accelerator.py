"""torch.accelerator: the kind of device that programs should use, whichever it is (here CUDA, real or simulated)."""

from . import cuda
from .cuda.streams import AcceleratorEvent as Event  # noqa: F401
from .cuda.streams import Stream  # noqa: F401
from .devices import device


def is_available() -> bool:
    """Whether there is an accelerator."""
    return cuda.is_available()


def device_count() -> int:
    """The number of accelerators, 0 where there are none."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """The accelerator's type as a device without an index; None where there is none."""
    return device("cuda") if is_available() else None


def current_device_index() -> int:
    """The index of this thread's current device."""
    return cuda.current_device()


current_device_idx = current_device_index


def set_device_index(device: int) -> None:
    """Make this the current device."""
    cuda.set_device(device)


set_device_idx = set_device_index


def synchronize(device=None) -> None:
    """Wait until the device has done all that it was given."""
    cuda.synchronize(device)


def current_stream(device=None):
    """The stream on which this thread's work for the device goes."""
    return cuda.current_stream(device)


def empty_cache() -> None:
    """Give memory that is kept for reuse back to the device."""
    cuda.empty_cache()
