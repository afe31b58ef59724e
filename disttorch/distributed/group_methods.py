"""Collectives as methods of a process group: `group.allreduce([tensor]).wait()`.

Each returns a handle at once. Where PyTorch takes a list of tensors, one for each device of a process, a tensor or a
list of one is taken. Roots are ranks of the group.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from .reduce_ops import ReduceOp

UNSET = timedelta(milliseconds=-1)  # a timeout that is the group's


@dataclass
class _Options:
    timeout: timedelta = UNSET


@dataclass
class _Reducing(_Options):
    reduceOp: Any = ReduceOp.SUM


@dataclass
class _Rooted(_Options):
    rootRank: int = 0
    rootTensor: int = 0


class AllreduceOptions(_Reducing):
    """Options of `allreduce`: reduceOp."""


class AllreduceCoalescedOptions(_Reducing):
    """Options of `allreduce_coalesced`: reduceOp."""


class ReduceScatterOptions(_Reducing):
    """Options of `reduce_scatter`: reduceOp."""


@dataclass
class ReduceOptions(_Rooted):
    """Options of `reduce`: reduceOp, rootRank."""

    reduceOp: Any = ReduceOp.SUM


class BroadcastOptions(_Rooted):
    """Options of `broadcast`: rootRank."""


class GatherOptions(_Rooted):
    """Options of `gather`: rootRank."""


class ScatterOptions(_Rooted):
    """Options of `scatter`: rootRank."""


@dataclass
class BarrierOptions(_Options):
    """Options of `barrier`: timeout."""

    device_ids: list[int] = field(default_factory=list)


class AllgatherOptions(_Options):
    """Options of `allgather`."""


class AllToAllOptions(_Options):
    """Options of `alltoall`."""


def _op(given: Any) -> Any:
    return getattr(given, "reduceOp", given)


def _root(given: Any) -> int:
    return getattr(given, "rootRank", given)


def _one(values: Any, what: str) -> Any:
    """The only tensor (or list of tensors) in `values`, or `values` itself if it is a tensor."""
    if not isinstance(values, list | tuple):
        return values
    if len(values) != 1:
        text = "requires non-empty tensor list" if not values else "requires a single-element tensor list"
        raise ValueError(f"ProcessGroup::{what}: {text}, got {len(values)} tensors")
    return values[0]


def _lists(values: Any, what: str) -> Any:
    """A list of tensors, given as it is or as the only element of a list; None for an empty list."""
    if values and isinstance(values[0], list | tuple):
        return _one(values, what)
    return values or None


class GroupMethods:
    """What a ProcessGroup inherits; see the functions of `torch.distributed` of nearly the same names."""

    def _call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        from . import collectives

        return getattr(collectives, name)(*arguments, group=self, async_op=True, **keywords)

    def broadcast(self, tensors: Any, opts: Any = None, root: int = 0, timeout: timedelta = UNSET) -> Any:
        return self._call("broadcast", _one(tensors, "broadcast"), group_src=_root(root if opts is None else opts))

    def allreduce(self, tensors: Any, opts: Any = None, op: Any = ReduceOp.SUM, timeout: timedelta = UNSET) -> Any:
        return self._call("all_reduce", _one(tensors, "allreduce"), _op(op if opts is None else opts))

    def allreduce_coalesced(self, tensors: Any, opts: Any = ReduceOp.SUM) -> Any:
        return self._call("all_reduce_coalesced", list(tensors), _op(opts))

    def reduce(self, tensors: Any, root: Any = 0, op: Any = ReduceOp.SUM, timeout: timedelta = UNSET) -> Any:
        op = getattr(root, "reduceOp", op)
        return self._call("reduce", _one(tensors, "reduce"), op=op, group_dst=_root(root))

    def allgather(self, output_tensors: Any, input_tensors: Any, opts: Any = None) -> Any:
        return self._call("all_gather", _lists(output_tensors, "allgather") or [], _one(input_tensors, "allgather"))

    def allgather_coalesced(self, output_lists: Any, input_list: Any, opts: Any = None) -> Any:
        return self._call("all_gather_coalesced", output_lists, list(input_list))

    def gather(self, output_tensors: Any, input_tensors: Any, opts: Any = None, root: int = 0) -> Any:
        outputs, root = _lists(output_tensors, "gather"), _root(root if opts is None else opts)
        return self._call("gather", _one(input_tensors, "gather"), outputs, group_dst=root)

    def scatter(self, output_tensors: Any, input_tensors: Any, opts: Any = None, root: int = 0) -> Any:
        inputs, root = _lists(input_tensors, "scatter"), _root(root if opts is None else opts)
        return self._call("scatter", _one(output_tensors, "scatter"), inputs, group_src=root)

    def reduce_scatter(self, output_tensors: Any, input_tensors: Any, opts: Any = ReduceOp.SUM) -> Any:
        inputs = _lists(input_tensors, "reduce_scatter") or []
        return self._call("reduce_scatter", _one(output_tensors, "reduce_scatter"), inputs, _op(opts))

    def alltoall(self, output_tensors: Any, input_tensors: Any, opts: Any = None) -> Any:
        return self._call("all_to_all", list(output_tensors), list(input_tensors))

    def alltoall_base(self, output: Any, input: Any, output_sizes: Any, input_sizes: Any, opts: Any = None) -> Any:
        return self._call("all_to_all_single", output, input, output_sizes, input_sizes)

    def barrier(self, opts: Any = None) -> Any:
        limit = getattr(opts, "timeout", UNSET)
        return self._call("barrier", timeout=None if limit == UNSET else limit)

    def _allgather_base(self, output: Any, input: Any, opts: Any = None) -> Any:
        return self._call("all_gather_into_tensor", output, input)

    def _reduce_scatter_base(self, output: Any, input: Any, opts: Any = ReduceOp.SUM) -> Any:
        return self._call("reduce_scatter_tensor", output, input, _op(opts))

    def send(self, tensors: Any, dst: int, tag: int = 0) -> Any:
        from .point_to_point import isend

        return isend(_one(tensors, "send"), group=self, tag=tag, group_dst=dst)

    def recv(self, tensors: Any, src: int, tag: int = 0) -> Any:
        from .point_to_point import irecv

        return irecv(_one(tensors, "recv"), group=self, tag=tag, group_src=src)

    def recv_anysource(self, tensors: Any, tag: int = 0) -> Any:
        from .point_to_point import irecv

        return irecv(_one(tensors, "recv_anysource"), group=self, tag=tag)
