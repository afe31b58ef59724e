"""The CUDA devices that this machine offers to workers: real or simulated, as CUDA_VISIBLE_DEVICES leaves them.

`visible` is the plan, `real_devices` the reading of the machine. Devices are known by their unique names alone (GPU-…,
MIG-…, SIM-…): no CUDA context is made and CuPy is not imported, so a launch stays cheap.
"""

import ctypes
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import UsageError

NVIDIA_DRIVERS = ("/dev/nvidiactl", "/dev/dxg")  # Linux; Windows' Linux


@dataclass(frozen=True)
class Device:
    """A CUDA device: its unique name and, for a slice of a GPU, that GPU's name."""

    uuid: str
    parent: str | None = None


def visible_devices(environ: Mapping[str, str]) -> list[str]:
    """The unique names of the devices that workers will see, in their order (`cuda:0` first).

    DISTTORCH_SIM_DEVICES=n stands n simulated devices in the place of the real ones.
    Raises UsageError where CUDA_VISIBLE_DEVICES names a device that is not there.
    """
    simulated = environ.get("DISTTORCH_SIM_DEVICES", "").strip()
    if simulated and not simulated.isdigit():
        raise UsageError(f"DISTTORCH_SIM_DEVICES must be a number of devices, got {simulated!r}")
    there = [Device(f"SIM-{i}") for i in range(int(simulated))] if simulated else real_devices()
    return visible(environ.get("CUDA_VISIBLE_DEVICES"), there)


def visible(chosen: str | None, there: Sequence[Device]) -> list[str]:
    """The names of those devices of `there` that CUDA_VISIBLE_DEVICES=`chosen` leaves, in its order.

    `chosen` holds indices or (beginnings of) unique names; None leaves all; empty or "-1" leaves none. CUDA stops
    silently at the first entry that it does not know; a launch would then miss workers, so that is an error here.
    Raises UsageError for an entry that is not there, fits several devices or is there twice.
    """
    whole = [device for device in there if device.parent is None]
    if chosen is None:
        return [device.uuid for device in whole]
    found: list[str] = []
    for entry in (part.strip() for part in chosen.split(",")):
        if entry in ("", "-1", "NoDevFiles"):
            break
        name = _find(entry, whole, there, chosen)
        if name in found:
            raise UsageError(f"CUDA_VISIBLE_DEVICES={chosen} names a device twice: {entry}")
        found.append(name)
    return found


def _find(entry: str, whole: Sequence[Device], there: Sequence[Device], chosen: str) -> str:
    if entry.isdecimal():
        matches = [device.uuid for i, device in enumerate(whole) if i == int(entry)]
    else:
        matches = [device.uuid for device in there if device.uuid.startswith(entry)]
    if not matches:
        raise UsageError(f"CUDA_VISIBLE_DEVICES={chosen}: there is no device {entry!r}; {_inventory(there)}")
    if len(matches) > 1:
        raise UsageError(f"CUDA_VISIBLE_DEVICES={chosen}: {entry!r} fits several devices: {', '.join(matches)}")
    return matches[0]


def _inventory(there: Sequence[Device]) -> str:
    whole = [device for device in there if device.parent is None]
    slices = [device.uuid for device in there if device.parent is not None]
    if not whole:
        return "this machine has none (unset CUDA_VISIBLE_DEVICES, or simulate some with DISTTORCH_SIM_DEVICES=4)"
    count = f"this machine has {len(whole)}: 0 to {len(whole) - 1}" if len(whole) > 1 else "this machine has only 0"
    return count + (f" and {', '.join(slices)}" if slices else "")


def real_devices() -> list[Device]:
    """This machine's NVIDIA GPUs and their MIG slices, asked of the driver's management library; [] without one."""
    if not any(os.path.exists(path) for path in NVIDIA_DRIVERS):
        return []
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []  # a device node without a driver: CUDA could not use it either
    if nvml.nvmlInit_v2() != 0:
        return []
    try:
        return _enumerate(nvml)
    finally:
        nvml.nvmlShutdown()


def _enumerate(nvml: ctypes.CDLL) -> list[Device]:
    """Every GPU in the driver's order, each followed by its MIG slices (if it is cut into some)."""
    count = ctypes.c_uint()
    _check(nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)))
    devices = []
    for i in range(count.value):
        gpu = ctypes.c_void_p()
        _check(nvml.nvmlDeviceGetHandleByIndex_v2(i, ctypes.byref(gpu)))
        name = _uuid(nvml, gpu)
        devices.append(Device(name))
        slices = ctypes.c_uint()
        if nvml.nvmlDeviceGetMaxMigDeviceCount(gpu, ctypes.byref(slices)) != 0:
            continue  # an older GPU: not supported
        for j in range(slices.value):
            piece = ctypes.c_void_p()
            if (
                nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, j, ctypes.byref(piece)) == 0
            ):  # else: no slice in this slot
                devices.append(Device(_uuid(nvml, piece), parent=name))
    return devices


def _uuid(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> str:
    text = ctypes.create_string_buffer(96)  # NVML_DEVICE_UUID_V2_BUFFER_SIZE
    _check(nvml.nvmlDeviceGetUUID(handle, text, len(text)))
    return text.value.decode()


def _check(status: int) -> None:
    if status != 0:
        raise UsageError(f"the NVIDIA driver does not answer (NVML error {status}); nvidia-smi may say more")
