"""Which CUDA devices there are, which is current, and what they can do."""

from dataclasses import dataclass

from .. import devices


def is_available() -> bool:
    """Whether this process can use a CUDA device (a simulated one counts: `is_simulated()` tells)."""
    return devices.device_count() > 0


def device_count() -> int:
    """How many CUDA devices this process sees; CUDA_VISIBLE_DEVICES is respected."""
    return devices.device_count()


def is_initialized() -> bool:
    """Whether CUDA can be used; nothing has to be set up first."""
    return is_available()


def init() -> None:
    """RuntimeError where there is no CUDA device."""
    devices.check_cuda(0)


def _index(device=None) -> int:
    """The index meant by None (the current device), an int, a name or a device."""
    if device is None:
        devices.check_cuda(devices.current_cuda())
        return devices.current_cuda()
    if isinstance(device, int):
        if device >= 0:
            devices.check_cuda(device)
        return device
    where = devices.device(device)
    if where.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {device}")
    return devices.current_cuda() if where.index is None else where.index


def current_device() -> int:
    """The index of this thread's current device."""
    return _index()


def set_device(device) -> None:
    """Make `device` this thread's current one; a negative index changes nothing."""
    index = _index(device)
    if index >= 0:
        devices.set_current_cuda(index)


class device:
    """`with device(1):` makes cuda:1 current inside; None or a negative index changes nothing."""

    def __init__(self, device):
        self.idx = -1 if device is None else _index(device)

    def __enter__(self):
        self._before = devices.current_cuda()
        if self.idx >= 0:
            devices.set_current_cuda(self.idx)

    def __exit__(self, *exc):
        if self.idx >= 0:
            devices.set_current_cuda(self._before)


class device_of(device):
    """`with device_of(tensor):` makes the tensor's device current, if it is a CUDA one."""

    def __init__(self, obj):
        super().__init__(obj.get_device() if obj.is_cuda else None)


def synchronize(device=None) -> None:
    """Wait until the device has done all that was asked of it. Simulated devices always have."""
    index = _index(device)
    if not devices.is_simulated():
        with devices.cupy().cuda.Device(index):
            devices.cupy().cuda.Device(index).synchronize()


@dataclass(frozen=True)
class DeviceProperties:
    """What a device is: name, compute capability (major, minor), total_memory in bytes, multi_processor_count."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def _host_memory() -> int:
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def get_device_properties(device=None) -> DeviceProperties:
    """A simulated device reports the host's memory shared evenly, and capability (0, 0): it has no CUDA cores."""
    index = _index(device)
    if devices.is_simulated():
        return DeviceProperties(
            "Simulated CUDA device (NumPy)", 0, 0, _host_memory() // max(devices.device_count(), 1), 1
        )
    found = devices.cupy().cuda.runtime.getDeviceProperties(index)
    return DeviceProperties(
        found["name"].decode(), found["major"], found["minor"], found["totalGlobalMem"], found["multiProcessorCount"]
    )


def get_device_name(device=None) -> str:
    """The device's name, as its maker gives it; simulated ones say so."""
    return get_device_properties(device).name


def get_device_capability(device=None) -> tuple[int, int]:
    """(major, minor) of the device's compute capability."""
    properties = get_device_properties(device)
    return properties.major, properties.minor


def get_arch_list() -> list[str]:
    """No architectures: kernels are not compiled beforehand."""
    return []


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 can be computed: simulated devices emulate it."""
    return is_available() and (devices.is_simulated() or get_device_capability()[0] >= 8 or including_emulation)


def ipc_collect() -> None:
    """Nothing to collect: memory is not shared by CUDA IPC."""
