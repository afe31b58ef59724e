"""`save` and `load`: a zip archive of one pickle and the storages' bytes, as PyTorch writes it.

archive/data.pkl      the values, with references to storages
archive/data/0, 1…    the storages, uncompressed
archive/byteorder     "little"
archive/version       "3"

`load` also reads PyTorch's older format (`legacy.py`).
"""

import io
import os
import pickle
import secrets
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import devices
from . import legacy
from .names import StorageType
from .reader import Damaged, Machine, Refused
from .rebuild import TENSOR_TYPE, LoadedStorage, find
from .writer import Writer

DEFAULT_PROTOCOL = 2  # of pickle, in the files that `save` writes
ALIGNMENT = 64  # bytes: each storage begins at a multiple, so that files can be mapped
EPOCH = (1980, 1, 1, 0, 0, 0)  # no times in files: the same values give the same bytes


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write `obj` (tensors, state_dicts, plain containers) to a path or a file object.

    A path is written atomically: the file is whole or as it was before. Views that share memory still do when loaded.
    Other objects are pickled; `load` then wants `weights_only=False`.
    """
    buffer = io.BytesIO()
    writer = Writer(buffer)
    writer.dump(obj)
    if not isinstance(f, (str, os.PathLike)):
        if not hasattr(f, "write"):
            raise AttributeError(
                "expected 'f' to be string, path, or a file-like object with a 'write' attribute, "
                f"got {type(f).__name__}"
            )
        _write_archive(f, "archive", buffer.getvalue(), writer.storages)
        return
    path = os.fspath(f)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with open(temporary, "xb") as file:
            _write_archive(
                file, os.path.splitext(os.path.basename(path))[0] or "archive", buffer.getvalue(), writer.storages
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _write_archive(file: Any, name: str, pickled: bytes, storages: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _write_entry(archive, f"{name}/data.pkl", pickled)
        _write_entry(archive, f"{name}/byteorder", b"little")
        for key, array in storages.items():
            _write_entry(
                archive, f"{name}/data/{key}", memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
            )
        _write_entry(archive, f"{name}/version", b"3\n")


def _write_entry(archive: zipfile.ZipFile, name: str, data: Any) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    header = archive.fp.tell() + 30 + len(name.encode())
    padding = -(header + 4) % ALIGNMENT
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding  # PyTorch's own padding field
    archive.writestr(info, data)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what `save` (ours or PyTorch's) wrote to a path or a file object.

    map_location: where tensors go: a device, a dict of locations, or a function (storage, location) -> storage.
    weights_only: True (the default) reads tensors and plain containers and never runs code from the file; False
    unpickles whatever is there, which can run any code: only for files that you trust. Raises pickle.UnpicklingError
    naming what the file holds if it is refused, RuntimeError for a damaged file, FileNotFoundError.
    """
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _load(file, os.fspath(f), map_location, weights_only is not False)
    if not hasattr(f, "read") or not hasattr(f, "seek"):
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with 'read' and 'seek' attributes, got "
            f"{type(f).__name__}"
        )
    return _load(f, getattr(f, "name", "file"), map_location, weights_only is not False)


def _load(file: Any, what: str, map_location: Any, weights_only: bool) -> Any:
    start = file.read(4)
    file.seek(-len(start), os.SEEK_CUR)
    if not start:
        raise EOFError(f"Ran out of input: {what} is empty")
    old = start[:1] == b"\x80"
    unpickle, locate = _run_machine if weights_only else _run_code, _locator(map_location)
    try:
        if old:
            begin = file.tell()
            value, end = legacy.read(file.read(), unpickle, locate)
            file.seek(begin + end)  # several may follow one another in a file
            return value
        archive = _Archive(file)
        return unpickle(archive.pickled, 0, archive.storages(locate))[0]
    except Damaged as error:
        reading = "" if old else "PytorchStreamReader failed reading zip archive: "
        raise RuntimeError(f"{reading}{what} is damaged or not a checkpoint: {error}") from error
    except Refused as error:
        raise pickle.UnpicklingError(
            f"Weights only load failed: {what} holds {error}, which is neither a tensor nor a plain container. If you "
            "trust that class or function, allow it by torch.serialization.safe_globals([...]); if you trust the file, "
            "load(..., weights_only=False) reads it, running whatever code it names."
        ) from error


class _Archive:
    """A checkpoint's entries, each read only if the file really is as large as its header says."""

    def __init__(self, file: Any):
        self._zip = _checked("its directory", zipfile.ZipFile, file)
        here = file.seek(0, os.SEEK_END)
        self._size = here
        records = {i.filename.partition("/")[2]: i for i in self._zip.infolist()}
        if "data.pkl" not in records:
            raise Damaged("it has no data.pkl")
        self._records = records
        if "byteorder" in records and self.read("byteorder") != b"little":
            raise Damaged("its numbers are big-endian")
        self.pickled = self.read("data.pkl")

    def read(self, name: str) -> bytes:
        info = self._records.get(name)
        if info is None:
            raise Damaged(f"the entry {name} is missing")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise Damaged(f"the entry {name} is compressed")
        if info.header_offset + info.file_size > self._size:
            raise Damaged(f"the entry {name} claims {info.file_size} bytes, the file has {self._size}")
        return _checked(f"the entry {name}", self._zip.read, info)

    def storages(self, locate: Callable) -> Callable:
        """The function from a pickle's reference to a storage; each storage is read once."""
        made: dict[str, LoadedStorage] = {}

        def persistent(reference: Any) -> LoadedStorage:
            if not isinstance(reference, tuple) or len(reference) != 5 or reference[0] != "storage":
                raise Damaged(f"an unknown reference {reference!r}"[:200])
            _, kind, key, location, count = reference
            if not isinstance(kind, StorageType) or not isinstance(key, str) or not isinstance(count, int):
                raise Damaged("a storage of an unknown type")
            if key not in made:
                raw = self.read(f"data/{key}")
                if len(raw) != count * kind.dtype.itemsize:
                    raise Damaged(f"storage {key} has {len(raw)} bytes, not those of {count} elements of {kind.dtype}")
                array = np.frombuffer(bytearray(raw), kind.dtype.np)
                where = locate(location)
                made[key] = LoadedStorage(
                    array if where is devices.CPU else devices.to_device(array, devices.CPU, where), where
                )
            return made[key]

        return persistent


def _checked(what: str, read: Callable, source: Any) -> Any:
    """read(source), whose many errors for malformed archives are all Damaged."""
    try:
        return read(source)
    except (zipfile.BadZipFile, ValueError, OverflowError, RuntimeError, EOFError, struct.error) as error:
        raise Damaged(f"{what} cannot be read: {error}") from error


def _locator(map_location: Any) -> Callable[[str], devices.device]:
    """The device for a location that stands in a file."""
    if map_location is None:
        return _restore
    if isinstance(map_location, dict):
        return lambda location: (
            devices.resolve(map_location[location]) if location in map_location else _restore(location)
        )
    if callable(map_location):
        return lambda location: _placed_by(map_location, location)
    where = devices.resolve(map_location)
    return lambda location: where


def _restore(location: str) -> devices.device:
    where = devices.device(location)
    if where.type == "cuda" and not devices.device_count():
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you are "
            "running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your "
            "storages to the CPU."
        )
    return devices.resolve(where)


class _Located:
    """The storage that a map_location function is shown."""

    def __init__(self, where: devices.device):
        self.device = where

    def cpu(self) -> "_Located":
        return _Located(devices.CPU)

    def cuda(self, device: Any = None) -> "_Located":
        return _Located(devices.resolve("cuda" if device is None else devices.device(device)))


def _placed_by(function: Callable, location: str) -> devices.device:
    answer = function(_Located(devices.CPU), location)
    return (
        _restore(location)
        if answer is None
        else answer.device
        if isinstance(answer, _Located)
        else devices.resolve(answer)
    )


def _run_machine(data: bytes, begin: int, persistent: Callable) -> tuple[Any, int]:
    """The value of the pickle at `begin`, without running code, and the pickle's end."""
    machine = Machine(data, find, persistent, begin)
    return machine.run(), machine.at


def _run_code(data: bytes, begin: int, persistent: Callable) -> tuple[Any, int]:
    """The value of the pickle at `begin`, running whatever it names, and the pickle's end."""
    stream = io.BytesIO(data)
    stream.seek(begin)
    try:
        return _Unpickler(stream, persistent).load(), stream.tell()
    except (EOFError, pickle.UnpicklingError) as error:
        raise Damaged(f"malformed pickle: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Ordinary unpickling, for files that the caller trusts; `torch…` names are answered with ours."""

    def __init__(self, stream: io.BytesIO, persistent: Callable):
        super().__init__(stream)
        self._persistent = persistent

    def persistent_load(self, reference: Any) -> Any:
        if isinstance(reference, tuple) and reference[:1] == ("module",):  # a class, with its source beside it
            return reference[1]
        return self._persistent(reference)

    def find_class(self, module: str, name: str) -> Any:
        try:
            found = find(module, name)
            if found is not TENSOR_TYPE:
                return found
        except Refused:
            pass
        head, dot, rest = module.partition(".")
        ours = {"torch": "disttorch", "torchvision": "disttorch.vision"}.get(head, head)
        return super().find_class(ours + dot + rest, name)
