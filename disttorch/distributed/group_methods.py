"""Collectives as methods of a process group: `group.allreduce([tensor]).wait()`.

Each returns a handle at once. Where PyTorch takes a list of tensors, one for each device of a process, a tensor or a
list of one is taken. Roots are ranks of the group. A timeout, in options or alone, is that of this call.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from .group_checks import check_absent, check_like, check_parts, check_root, fail, only
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


def timed(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let the timeout among a method's arguments, alone or in options, be that of the collectives it starts."""

    @functools.wraps(method)
    def limited(self: Any, *arguments: Any, **named: Any) -> Any:
        limits = (getattr(value, "timeout", value) for value in (*arguments, *named.values()))
        limit = next((limit for limit in limits if isinstance(limit, timedelta) and limit != UNSET), None)
        if limit is None:
            return method(self, *arguments, **named)
        with self.comm.within(limit.total_seconds()):
            return method(self, *arguments, **named)

    return limited


class GroupMethods:
    """What a ProcessGroup inherits; see the functions of `torch.distributed` of nearly the same names."""

    rank: Any
    size: Any

    def _call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        from . import collectives

        work = getattr(collectives, name)(*arguments, group=self, async_op=True, **keywords)
        work.group = self  # which ends when nobody has it any more
        return work

    def _root(self, what: str, given: Any, tensors: Any = (None,)) -> int:
        """The root of options, or given as a number."""
        root = getattr(given, "rootRank", given)
        check_root(what, root, self.size(), tensors, getattr(given, "rootTensor", 0))
        return root

    @timed
    def broadcast(self, tensors: Any, opts: Any = None, root: int = 0, timeout: timedelta = UNSET) -> Any:
        source = self._root("broadcast", root if opts is None else opts, tensors)
        return self._call("broadcast", only("broadcast", tensors), group_src=source)

    @timed
    def allreduce(self, tensors: Any, opts: Any = None, op: Any = ReduceOp.SUM, timeout: timedelta = UNSET) -> Any:
        return self._call("all_reduce", only("allreduce", tensors), _op(op if opts is None else opts))

    @timed
    def allreduce_coalesced(self, tensors: Any, opts: Any = ReduceOp.SUM) -> Any:
        from .coalesced import start_all_reduce

        if not tensors:
            fail("allreduce_coalesced", "requires non-empty tensor list")
        if len({(t.dtype, t.device.type) for t in tensors}) > 1:
            fail("allreduce_coalesced", "tensors must all have the same type")
        return start_all_reduce(list(tensors), _op(opts), self)

    @timed
    def reduce(self, tensors: Any, root: Any = 0, op: Any = ReduceOp.SUM, timeout: timedelta = UNSET) -> Any:
        op, target = getattr(root, "reduceOp", op), self._root("reduce", root, tensors)
        return self._call("reduce", only("reduce", tensors), op=op, group_dst=target)

    @timed
    def allgather(self, output_tensors: Any, input_tensors: Any, opts: Any = None) -> Any:
        if isinstance(input_tensors, list | tuple) and not input_tensors:
            fail("allgather", "requires non-empty input tensor list")
        nested = bool(output_tensors) and isinstance(output_tensors[0], list | tuple)
        if not output_tensors or (nested and len(output_tensors) != 1):
            fail("allgather", "requires input/output tensor lists to have the same length")
        outputs, mine = output_tensors[0] if nested else output_tensors, only("allgather", input_tensors)
        if len(outputs) != self.size():
            text = f"invalid output tensor list at index 0 (expected length {self.size()}, got {len(outputs)})"
            fail("allgather", text)
        for i, output in enumerate(outputs):
            check_like("allgather", output, mine, i)
        return self._call("all_gather", outputs, mine)

    @timed
    def allgather_coalesced(self, output_lists: Any, input_list: Any, opts: Any = None) -> Any:
        from .coalesced import start_all_gather

        return start_all_gather(output_lists, list(input_list), self)

    @timed
    def gather(self, output_tensors: Any, input_tensors: Any, opts: Any = None, root: int = 0) -> Any:
        target, mine = self._root("gather", root if opts is None else opts), only("gather", input_tensors, "input")
        outputs = None
        if self.rank() == target:
            outputs = check_parts("gather", output_tensors, mine, self.size(), "output")
        else:
            check_absent("gather", output_tensors, "output")
        return self._call("gather", mine, outputs, group_dst=target)

    @timed
    def scatter(self, output_tensors: Any, input_tensors: Any, opts: Any = None, root: int = 0) -> Any:
        source, mine = self._root("scatter", root if opts is None else opts), only("scatter", output_tensors, "output")
        inputs = None
        if self.rank() == source:
            inputs = check_parts("scatter", input_tensors, mine, self.size(), "input")
        else:
            check_absent("scatter", input_tensors, "input")
        return self._call("scatter", mine, inputs, group_src=source)

    @timed
    def reduce_scatter(self, output_tensors: Any, input_tensors: Any, opts: Any = ReduceOp.SUM) -> Any:
        mine = only("reduce_scatter", output_tensors)
        inputs = check_parts("reduce_scatter", input_tensors, mine, self.size(), "input")
        return self._call("reduce_scatter", mine, inputs, _op(opts))

    @timed
    def allgather_into_tensor_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        from .coalesced import together

        pairs = zip(outputs, inputs, strict=True)
        return together([self._call("all_gather_into_tensor", out, mine) for out, mine in pairs])

    @timed
    def reduce_scatter_tensor_coalesced(self, outputs: Any, inputs: Any, opts: Any = ReduceOp.SUM) -> Any:
        from .coalesced import together

        pairs = zip(outputs, inputs, strict=True)
        return together([self._call("reduce_scatter_tensor", out, mine, _op(opts)) for out, mine in pairs])

    @timed
    def alltoall(self, output_tensors: Any, input_tensors: Any, opts: Any = None) -> Any:
        return self._call("all_to_all", list(output_tensors), list(input_tensors))

    @timed
    def alltoall_base(self, output: Any, input: Any, output_sizes: Any, input_sizes: Any, opts: Any = None) -> Any:
        return self._call("all_to_all_single", output, input, output_sizes, input_sizes)

    def barrier(self, opts: Any = None) -> Any:
        limit = getattr(opts, "timeout", UNSET)
        return self._call("barrier", timeout=None if limit == UNSET else limit)

    @timed
    def _allgather_base(self, output: Any, input: Any, opts: Any = None) -> Any:
        return self._call("all_gather_into_tensor", output, input)

    @timed
    def _reduce_scatter_base(self, output: Any, input: Any, opts: Any = ReduceOp.SUM) -> Any:
        return self._call("reduce_scatter_tensor", output, input, _op(opts))

    def send(self, tensors: Any, dst: int, tag: int = 0) -> Any:
        from .point_to_point import isend

        return isend(only("send", tensors), group=self, tag=tag, group_dst=dst)

    def recv(self, tensors: Any, src: int, tag: int = 0) -> Any:
        from .point_to_point import irecv

        return irecv(only("recv", tensors), group=self, tag=tag, group_src=src)

    def recv_anysource(self, tensors: Any, tag: int = 0) -> Any:
        from .point_to_point import irecv

        return irecv(only("recv_anysource", tensors), group=self, tag=tag)
