"""Collectives of Python objects: plain values, containers of them, arrays and tensors. Nothing that comes in is ever
executed, unless the program has asked for pickling by `allow_pickle` or DISTTORCH_ALLOW_PICKLE=1.
"""

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgpack
import numpy as np

from ..autograd.variable import Tensor, wrap
from ..devices import device
from ..dtypes import ALL, dtype
from ..ops.dims import Size
from .arguments import outside, root_of
from .process_group import resolve

_TENSOR, _TUPLE, _COMPLEX, _PICKLED, _ARRAY, _VALUE = 1, 2, 3, 4, 5, 6
_BY_NAME: dict[str, dtype] = {d.name: d for d in ALL}
_PLAIN_ARRAYS = "?biufcSUmM"  # kinds of NumPy's own element types, but objects and records
_VALUES: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    # by name: a type, a value of it as plainer ones, and back
    "int": (int, str, int),
    "set": (set, list, set),
    "frozenset": (frozenset, list, frozenset),
    "range": (range, lambda r: [r.start, r.stop, r.step], lambda ends: range(*ends)),
    "slice": (slice, lambda s: [s.start, s.stop, s.step], lambda ends: slice(*ends)),
    "OrderedDict": (OrderedDict, lambda d: list(d.items()), OrderedDict),
    "timedelta": (timedelta, lambda t: [t.days, t.seconds, t.microseconds], lambda parts: timedelta(*parts)),
    "Size": (Size, list, Size),
    "dtype": (dtype, lambda d: d.name, lambda name: _BY_NAME[name]),
    "device": (device, str, device),
}
_pickling: bool | None = None


def allow_pickle(allow: bool = True) -> None:
    """Let this process send and take in objects of any type, by pickle. A pickled object can run any code where it is
    taken in: only for jobs all of whose ranks are trusted.
    """
    global _pickling
    _pickling = allow


def _may_pickle() -> bool:
    return os.environ.get("DISTTORCH_ALLOW_PICKLE") == "1" if _pickling is None else _pickling


def _pack(value: Any) -> Any:
    if isinstance(value, Tensor):
        data = np.asarray(value.detach().cpu()._data, order="C")
        return msgpack.ExtType(_TENSOR, msgpack.packb([value.dtype.name, list(data.shape), data.tobytes()]))
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _PLAIN_ARRAYS:
        data = np.asarray(value, order="C")
        scalar = isinstance(value, np.generic)
        return msgpack.ExtType(_ARRAY, msgpack.packb([data.dtype.str, list(data.shape), data.tobytes(), scalar]))
    for name, (kind, plainer, _) in _VALUES.items():
        if type(value) is kind:
            return msgpack.ExtType(_VALUE, dumps([name, plainer(value)]))
    if type(value) is tuple or (isinstance(value, tuple) and not _may_pickle()):  # a named one comes as a plain one
        return msgpack.ExtType(_TUPLE, dumps(list(value)))
    if isinstance(value, complex):
        return msgpack.ExtType(_COMPLEX, msgpack.packb([value.real, value.imag]))
    if _may_pickle():
        return msgpack.ExtType(_PICKLED, pickle.dumps(value))
    raise TypeError(
        f"cannot send an object of type {type(value).__name__}: only numbers, strings, bytes, None, lists, tuples, "
        "dicts, sets, arrays and tensors travel between ranks. Pickled objects could run code: "
        "disttorch.distributed.allow_pickle(), called on all ranks, lets them travel"
    )


def dumps(value: Any) -> bytes:
    """`value` as bytes; TypeError names the type that cannot be sent."""
    return msgpack.packb(value, default=_pack, strict_types=True)


def _unpack(code: int, data: bytes) -> Any:
    if code == _TENSOR:
        name, shape, raw = msgpack.unpackb(data)
        dtype = _BY_NAME[name]
        if len(raw) != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
            raise ValueError(f"a tensor of shape {shape} and dtype {name} came with {len(raw)} bytes")
        return wrap(np.frombuffer(bytearray(raw), dtype.np).reshape(shape))
    if code == _ARRAY:
        name, shape, raw, scalar = msgpack.unpackb(data)
        array = np.frombuffer(bytearray(raw), np.dtype(name)).reshape(shape)
        return array[()] if scalar else array
    if code == _VALUE:
        name, plainer = loads(data)
        return _VALUES[name][2](plainer)
    if code == _TUPLE:
        return tuple(loads(data))
    if code == _COMPLEX:
        return complex(*msgpack.unpackb(data))
    if code == _PICKLED:
        if not _may_pickle():
            raise TypeError("another rank sent a pickled object, which this one has not allowed: see allow_pickle()")
        return pickle.loads(data)
    raise ValueError(f"unknown extension type {code} in an object from another rank")


def loads(data: bytes) -> Any:
    return msgpack.unpackb(data, ext_hook=_unpack, strict_map_key=False)


def all_gather_object(object_list: list, obj: Any, group=None) -> None:
    """object_list[r] becomes rank r's `obj`. IndexError, after the exchange, for a list that is too short."""
    if not outside(group, "all_gather_object"):
        _fill(object_list, resolve(group).comm.all_gather_object(dumps(obj)))


def _fill(object_list: list, found: Sequence[bytes]) -> None:
    for i, data in enumerate(found):
        object_list[i] = loads(data)


def gather_object(obj: Any, object_gather_list: list | None = None, dst=None, group=None, group_dst=None) -> None:
    """object_gather_list[r] of rank `dst` becomes rank r's `obj`."""
    if outside(group, "gather_object"):
        return
    g = resolve(group)
    root = root_of(g, 0 if dst is None and group_dst is None else dst, group_dst, "dst")
    if g.rank() == root:
        if not object_gather_list:
            raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    elif object_gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    found = g.comm.gather_object(dumps(obj), root)
    if found is not None and object_gather_list is not None:
        _fill(object_gather_list, found)


def broadcast_object_list(object_list: list, src=None, group=None, device=None, group_src=None) -> None:
    """object_list becomes that of rank `src`, on every rank."""
    if outside(group, "broadcast_object_list"):
        return
    g = resolve(group)
    root = root_of(g, 0 if src is None and group_src is None else src, group_src, "src")
    sent = loads(g.comm.broadcast_object(dumps(list(object_list)), root))
    if g.rank() != root:
        _take_over(object_list, sent, root, "broadcast_object_list")


def _take_over(object_list: list, sent: list, sender: int, what: str) -> None:
    if len(sent) != len(object_list):
        raise ValueError(f"{what}: rank {sender} sent {len(sent)} objects, this rank expects {len(object_list)}")
    object_list[:] = sent


def scatter_object_list(
    scatter_object_output_list: list, scatter_object_input_list=None, src=None, group=None, group_src=None
) -> None:
    """scatter_object_output_list[0] becomes this rank's object of rank `src`'s list."""
    if outside(group, "scatter_object_list"):
        return
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    g = resolve(group)
    root = root_of(g, 0 if src is None and group_src is None else src, group_src, "src")
    given = None
    if g.rank() == root:
        if scatter_object_input_list is None or len(scatter_object_input_list) != g.size():
            raise ValueError(f"scatter_object_input_list must hold one object for each of the {g.size()} ranks")
        given = [dumps(obj) for obj in scatter_object_input_list]
    scatter_object_output_list[0] = loads(g.comm.scatter_object(given, root))


def send_object_list(
    object_list: list, dst=None, group=None, device=None, group_dst=None, use_batch: bool = False
) -> None:
    """Send a list of objects to rank `dst`. use_batch: accepted for PyTorch's sake; one way serves both."""
    if outside(group, "send_object_list"):
        return
    g = resolve(group)
    g.comm.send_object(dumps(list(object_list)), root_of(g, dst, group_dst, "dst"))


def recv_object_list(
    object_list: list, src=None, group=None, device=None, group_src=None, use_batch: bool = False
) -> int:
    """Receive as many objects as the list has from rank `src` (anyone if None); returns the sender's global rank, -1
    outside the group.
    """
    if outside(group, "recv_object_list"):
        return -1
    g = resolve(group)
    data, sender = g.comm.recv_object(None if src is None and group_src is None else root_of(g, src, group_src, "src"))
    _take_over(object_list, loads(data), g.ranks[sender], "recv_object_list")
    return g.ranks[sender]
