"""Devices: the CPU, CUDA devices through CuPy, and simulated CUDA devices computed by NumPy.

This is the only file that imports CuPy, and only when a CUDA device is first asked for.
"""

import contextlib
import os
import threading
from functools import cache
from typing import ClassVar

import numpy as np

from . import meta

_TYPES = (
    "cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, mps, meta, hpu, "
    "mtia, privateuseone"
)


class _Current(threading.local):
    """What each thread has chosen: its CUDA device, and the device that factories use."""

    cuda = 0
    default = None


_current = _Current()
_simulated: int | None = None  # how many devices to simulate; None: none


class device:
    """A device: `device("cuda:1")`, `device("cuda", 1)`, `device(1)`; equal descriptions are one object.

    Attributes: type ("cpu", "cuda", "meta", or another that PyTorch knows: no tensor lives there), index (int or None
    for "the current one"), host (True where NumPy computes).
    Raises RuntimeError (PyTorch's text) for a malformed description. As a context manager it is the factories' default.
    """

    __slots__ = ("_outer", "host", "index", "type")
    _known: ClassVar[dict[tuple, "device"]] = {}

    def __new__(cls, type="cpu", index: int | None = None):
        if isinstance(type, device):
            return type
        if isinstance(type, int) and not isinstance(type, bool):
            kind, index = "cuda", type
        elif isinstance(type, str):
            kind, index = _parse(type, index)
        else:
            raise TypeError(f"device(): argument 'type' must be str, int or device, not {type.__class__.__name__}")
        key = (kind, index, _simulated is not None)
        self = cls._known.get(key)
        if self is None:
            self = object.__new__(cls)
            self.type, self.index = kind, index
            self.host = kind == "cpu" or key[2]
            self = cls._known.setdefault(key, self)
        return self

    def __repr__(self):
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other):
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash((self.type, self.index))

    def __reduce__(self):
        return (device, (self.type, self.index))

    def __enter__(self):
        self_stack = _stack()
        self_stack.append(_current.default)
        _current.default = self
        return self

    def __exit__(self, *exc):
        _current.default = _stack().pop()


def _stack() -> list:
    if not hasattr(_current, "stack"):
        _current.stack = []
    return _current.stack


def _parse(text: str, index: int | None) -> tuple[str, int | None]:
    kind, colon, number = text.partition(":")
    if kind not in _TYPES.split(", "):
        raise RuntimeError(f"Expected one of {_TYPES} device type at start of device string: {kind}")
    if colon:
        if index is not None:
            raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {text}")
        if not number.isdigit() or (len(number) > 1 and number[0] == "0"):
            raise RuntimeError(f"Invalid device string: '{text}'")
        index = int(number)
    if index is not None and index < 0:
        raise RuntimeError(f"Device index must not be negative, got {index}")
    return kind, index


CPU = device("cpu")
META = device("meta")  # no values: meta.py


@cache
def cupy():
    """CuPy, imported on first use; RuntimeError says how to install it."""
    try:
        import cupy
    except ImportError:
        raise RuntimeError(
            "CUDA devices need CuPy: pip install 'disttorch[cuda12]' or 'disttorch[cuda13]' (or simulate devices with "
            "DISTTORCH_SIM_DEVICES=4)"
        ) from None
    return cupy


def simulate(count: int | None) -> None:
    """Let `count` CUDA devices exist as far as any script can tell, computed by NumPy; None ends it.

    CUDA_VISIBLE_DEVICES applies to them as to real ones (read when the count is set, as CUDA reads it once).
    Raises ValueError for a negative count.
    """
    global _simulated
    if count is not None and count < 0:
        raise ValueError(f"simulate(): count must not be negative, got {count}")
    _simulated = None if count is None else _visible(count)
    _current.cuda = 0


def _visible(count: int) -> int:
    """How many of `count` devices CUDA_VISIBLE_DEVICES leaves: it is read up to the first entry that names none."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return count
    seen: list[int] = []
    for entry in (e.strip() for e in chosen.split(",")):
        number = entry.removeprefix("SIM-") if entry.startswith("SIM-") else entry
        if not number.isdigit() or int(number) >= count or int(number) in seen:
            break
        seen.append(int(number))
    return len(seen)


def is_simulated() -> bool:
    """Whether CUDA devices are simulated by NumPy."""
    return _simulated is not None


def device_count() -> int:
    """The number of CUDA devices that this process can use (0 without CUDA)."""
    return _simulated if _simulated is not None else _real_count()


@cache
def _real_count() -> int:
    try:
        import cupy
    except ImportError:
        return 0
    return cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0


def current_cuda() -> int:
    """The index of this thread's CUDA device."""
    return _current.cuda


def set_current_cuda(index: int) -> None:
    """Choose this thread's CUDA device; RuntimeError if it is not there."""
    check_cuda(index)
    _current.cuda = index
    if _simulated is None:
        cupy().cuda.Device(index).use()


def check_cuda(index: int) -> None:
    """RuntimeError, with a way out, unless there is a CUDA device of this index."""
    count = device_count()
    if count == 0:
        raise RuntimeError(
            "Found no NVIDIA driver on your system or no CuPy to use it. Please check that you have an NVIDIA GPU and "
            "installed a driver, and 'disttorch[cuda12]' or 'disttorch[cuda13]'; or simulate devices with "
            "DISTTORCH_SIM_DEVICES=4"
        )
    if not 0 <= index < count:
        raise RuntimeError(
            f"CUDA error: invalid device ordinal: cuda:{index} was asked for, and this process sees {count} device(s): "
            f"0 to {count - 1} (CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')})"
        )


def resolve(where=None) -> device:
    """The device meant by `where` (None: the factories' default), with an index; RuntimeError if it is not there."""
    if where is None:
        where = _current.default
        if where is None:
            return CPU
    d = where if isinstance(where, device) else device(where)
    if d.type == "cpu":
        return CPU
    if d.type == "meta":
        return META
    if d.type != "cuda":
        raise RuntimeError(
            f"device type '{d.type}' is not supported here: tensors live on cpu, cuda (real or simulated) and meta"
        )
    index = _current.cuda if d.index is None else d.index
    check_cuda(index)
    return device("cuda", index)


def get_default_device() -> device:
    """Where factories without a `device=` make their tensors in this thread."""
    return resolve(None)


def set_default_device(where) -> None:
    """The device on which factories without a `device=` make their tensors, for this thread; None: the CPU."""
    _current.default = None if where is None else device(where)


_HERE = contextlib.nullcontext()


def scope(d: device):
    """A context in which `d` is CuPy's current device (nothing to do where NumPy computes)."""
    return _HERE if d.host or d is META else cupy().cuda.Device(d.index)


def namespace(d: device):
    """The array namespace that computes on `d`: numpy or cupy."""
    return np if d.host or d is META else cupy()


def to_device(array, source: device, target: device):
    """`array` copied from `source` to `target` (always a copy if they differ). NotImplementedError from META."""
    if target is META:
        return meta.unbacked(array.shape, array.dtype)
    if source is META:
        raise NotImplementedError(meta.NO_DATA)
    if source.host and target.host:
        return array.copy(order="K")
    if target.host:
        with scope(source):
            return cupy().asnumpy(array)
    with scope(target):
        return cupy().array(array)


if os.environ.get("DISTTORCH_SIM_DEVICES", "").strip():
    text = os.environ["DISTTORCH_SIM_DEVICES"].strip()
    if not text.isdigit():
        raise ValueError(f"DISTTORCH_SIM_DEVICES must be a number of devices, got {text!r}")
    simulate(int(text))
