"""Which devices workers will see, and how many cores."""

import ctypes

import pytest
from disttorch.launcher import devices
from disttorch.launcher.devices import Device, visible, visible_devices
from disttorch.launcher.errors import UsageError

GPUS = [Device("GPU-aaaa-1"), Device("GPU-aabb-2"), Device("MIG-cc-1", "GPU-aabb-2"), Device("MIG-cd-2", "GPU-aabb-2")]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, ["GPU-aaaa-1", "GPU-aabb-2"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", ["GPU-aabb-2"]),
        ("1,0", ["GPU-aabb-2", "GPU-aaaa-1"]),
        (" 0 , 1 ", ["GPU-aaaa-1", "GPU-aabb-2"]),
        ("0,-1,1", ["GPU-aaaa-1"]),
        ("GPU-aab", ["GPU-aabb-2"]),
        ("GPU-aaaa-1,GPU-aabb-2", ["GPU-aaaa-1", "GPU-aabb-2"]),
        ("MIG-cd-2,MIG-cc-1", ["MIG-cd-2", "MIG-cc-1"]),
    ],
)
def test_visible(chosen, expected):
    assert visible(chosen, GPUS) == expected


@pytest.mark.parametrize(
    ("chosen", "there", "message"),
    [
        (
            "9",
            GPUS,
            "CUDA_VISIBLE_DEVICES=9: there is no device '9'; this machine has 2: 0 to 1 and MIG-cc-1, MIG-cd-2",
        ),
        ("0,2", GPUS[:1], "there is no device '2'; this machine has only 0"),
        ("0", [], "there is no device '0'; this machine has none"),
        ("GPU-zz", GPUS, "there is no device 'GPU-zz'"),
        ("GPU-aa", GPUS, "'GPU-aa' fits several devices: GPU-aaaa-1, GPU-aabb-2"),
        ("0,0", GPUS, "names a device twice: 0"),
        ("0,GPU-aaaa-1", GPUS, "names a device twice: GPU-aaaa-1"),
    ],
)
def test_devices_that_are_not_there(chosen, there, message):
    with pytest.raises(UsageError, match=message):
        visible(chosen, there)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DISTTORCH_SIM_DEVICES": "3"}, ["SIM-0", "SIM-1", "SIM-2"]),
        ({"DISTTORCH_SIM_DEVICES": "3", "CUDA_VISIBLE_DEVICES": "2,SIM-0"}, ["SIM-2", "SIM-0"]),
        ({"DISTTORCH_SIM_DEVICES": "0"}, []),
    ],
)
def test_simulated_devices(environ, expected):
    assert visible_devices(environ) == expected


def test_a_wrong_number_of_simulated_devices():
    with pytest.raises(UsageError, match="DISTTORCH_SIM_DEVICES must be a number of devices, got 'four'"):
        visible_devices({"DISTTORCH_SIM_DEVICES": "four"})


class Nvml:
    """The driver's library of a machine with two GPUs, the second one cut into two slices (slot 1 is empty)."""

    names = {10: b"GPU-0", 11: b"GPU-1", 20: b"MIG-0", 22: b"MIG-2"}  # noqa: RUF012

    def __init__(self, path: str) -> None:
        assert path == "libnvidia-ml.so.1"
        self.open = False

    def nvmlInit_v2(self) -> int:
        self.open = True
        return 0

    def nvmlShutdown(self) -> int:
        self.open = False
        return 0

    def nvmlDeviceGetCount_v2(self, count) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle) -> int:
        handle._obj.value = 10 + index
        return 0

    def nvmlDeviceGetMaxMigDeviceCount(self, handle, count) -> int:
        count._obj.value = 3
        return 0 if handle.value == 11 else 3  # NVML_ERROR_NOT_SUPPORTED

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index: int, piece) -> int:
        piece._obj.value = 20 + index
        return 0 if index != 1 else 6  # NVML_ERROR_NOT_FOUND

    def nvmlDeviceGetUUID(self, handle, text, length: int) -> int:
        assert self.open
        assert length == ctypes.sizeof(text)
        text.value = self.names[handle.value]
        return 0


def test_real_devices_come_from_the_driver(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "NVIDIA_DRIVERS", (str(tmp_path),))
    monkeypatch.setattr(devices.ctypes, "CDLL", Nvml)
    whole = [Device("GPU-0"), Device("GPU-1")]
    assert devices.real_devices() == [*whole, Device("MIG-0", "GPU-1"), Device("MIG-2", "GPU-1")]


def test_no_driver_no_devices(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "NVIDIA_DRIVERS", (str(tmp_path / "missing"),))
    assert devices.real_devices() == []
