"""Process groups written in Python: subclasses of ProcessGroup that bring collectives as methods of their own.

    class Mine(ProcessGroup):
        def allreduce(self, tensors, opts): ...; return work       # a handle with wait(timeout)

    Backend.register_backend("mine", lambda store, rank, size, timeout: Mine(rank, size), devices=["cpu"])
    init_process_group("mine")

`MethodComm` is what such a group has where others have a `comm.Group`: it hands arrays to the methods as tensors over
the same memory, so that the functions of `disttorch.distributed`, objects and DistributedDataParallel need not know.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from ..autograd.variable import Tensor, wrap
from ..comm.objects import Objects
from .group_methods import (
    AllgatherOptions,
    AllreduceOptions,
    AllToAllOptions,
    BarrierOptions,
    BroadcastOptions,
    GatherOptions,
    ReduceOptions,
    ReduceScatterOptions,
    ScatterOptions,
)
from .reduce_ops import ReduceOp


class HandedWork:
    """A method's handle, with what the handles of `comm` have besides."""

    def __init__(self, work: Any):
        self._work, self._ended = work, False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._ended and self._work is not None:
            self._work.wait(timedelta(seconds=timeout or 0))  # 0: the group's own limit, as in PyTorch
        self._ended = True
        return True

    def is_completed(self) -> bool:
        return self._ended or self._work is None or self._work.is_completed()

    def is_success(self) -> bool:
        return self.is_completed() and self.exception() is None

    def exception(self) -> BaseException | None:
        return None if self._work is None else self._work.exception()

    def result(self) -> Any:
        self.wait()
        return self._work.source_rank() if hasattr(self._work, "source_rank") else None


class MethodComm(Objects):
    """Collectives of arrays by the methods of a group of tensors."""

    kind = "python"

    def __init__(self, group: Any, rank: int, size: int, timeout: float):
        self._group, self.rank, self.size, self.timeout = group, rank, size, timeout
        self.hosts = ("",) * size
        self._engine = _Engine(self)

    def _hand(self, name: str, *arguments: Any, async_op: bool = False) -> HandedWork | None:
        method = getattr(self._group, name, None)
        if method is None:
            raise RuntimeError(f"Backend {self._group.getBackendName()} does not support {name}")
        work = HandedWork(method(*arguments))
        if async_op:
            return work
        work.wait()
        return None

    def barrier(self, *, timeout: float | None = None, async_op: bool = False) -> Any:
        limit = timedelta(seconds=self.timeout if timeout is None else timeout)
        return self._hand("barrier", BarrierOptions(limit), async_op=async_op)

    def all_reduce(self, array: np.ndarray, op: str = "sum", *, async_op: bool = False) -> Any:
        """An average is a sum of what has been divided before, as few backends have averages."""
        if op == "avg":
            np.divide(array, self.size, out=array)
        return self._hand("allreduce", [wrap(array)], AllreduceOptions(reduceOp=_sum_for(op)), async_op=async_op)

    def broadcast(self, array: np.ndarray, src: int, *, async_op: bool = False) -> Any:
        return self._hand("broadcast", [wrap(array)], BroadcastOptions(rootRank=src), async_op=async_op)

    def reduce(self, array: np.ndarray, dst: int, op: str = "sum", *, async_op: bool = False) -> Any:
        if op == "avg":
            np.divide(array, self.size, out=array)
        options = ReduceOptions(rootRank=dst, reduceOp=_sum_for(op))
        return self._hand("reduce", [wrap(array)], options, async_op=async_op)

    def all_gather(self, outputs: Sequence[np.ndarray], array: np.ndarray, *, async_op: bool = False) -> Any:
        return self._hand("allgather", [_tensors(outputs)], [wrap(array)], AllgatherOptions(), async_op=async_op)

    def gather(self, array: np.ndarray, outputs: Any, dst: int, *, async_op: bool = False) -> Any:
        into = [_tensors(outputs)] if outputs else []
        return self._hand("gather", into, [wrap(array)], GatherOptions(rootRank=dst), async_op=async_op)

    def scatter(self, output: np.ndarray, inputs: Any, src: int, *, async_op: bool = False) -> Any:
        parts = [_tensors(inputs)] if inputs else []
        return self._hand("scatter", [wrap(output)], parts, ScatterOptions(rootRank=src), async_op=async_op)

    def reduce_scatter(
        self, output: np.ndarray, inputs: Sequence[np.ndarray], op: str = "sum", *, async_op: bool = False
    ) -> Any:
        parts = [part / self.size for part in inputs] if op == "avg" else inputs
        options = ReduceScatterOptions(reduceOp=_sum_for(op))
        return self._hand("reduce_scatter", [wrap(output)], [_tensors(parts)], options, async_op=async_op)

    def all_to_all(self, outputs: Sequence, inputs: Sequence, *, async_op: bool = False) -> Any:
        return self._hand("alltoall", _tensors(outputs), _tensors(inputs), AllToAllOptions(), async_op=async_op)

    def monitored_barrier(self, timeout: float | None = None) -> None:
        self.barrier(timeout=timeout)

    def isend(self, array: np.ndarray, dst: int, tag: int = 0) -> Any:
        return self._hand("send", [wrap(array)], dst, tag, async_op=True)

    def irecv(self, array: np.ndarray, src: int | None = None, tag: int = 0) -> Any:
        if src is None:
            return self._hand("recv_anysource", [wrap(array)], tag, async_op=True)
        return _From(self._hand("recv", [wrap(array)], src, tag, async_op=True), src)

    def send(self, array: np.ndarray, dst: int, tag: int = 0) -> None:
        self.isend(array, dst, tag).wait()

    def recv(self, array: np.ndarray, src: int | None = None, tag: int = 0) -> int:
        return self.irecv(array, src, tag).result()

    def allocate(self, shape: Any, dtype: Any = np.float32) -> np.ndarray:
        return np.zeros(shape, dtype)

    def split(self, ranks: Sequence[int], **_settings: Any) -> Any:
        raise RuntimeError(
            "No backend for the parent process group or its backend does not support splitting: "
            f"{self._group.getBackendName()} is written in Python"
        )

    def close(self, patience: float = 0.0) -> None:
        """What the group does to end, if it has a `shutdown`."""
        if hasattr(self._group, "shutdown"):
            self._group.shutdown()

    # What `Objects` builds on: it works by an engine's operations, one after another

    def _call(self, name: str, root: int = -1) -> str:
        return name

    def _check_rank(self, rank: int, name: str) -> int:
        return rank

    def _start(self, call: str, run: Any, async_op: bool) -> Any:
        return run(None, False)


class _From(HandedWork):
    """A receive from a known rank."""

    def __init__(self, work: Any, src: int):
        super().__init__(work)
        self._src = src

    def result(self) -> int:
        self.wait()
        return self._src


class _Engine:
    """A MethodComm's collectives as operations of an engine, which get the call and its deadline first."""

    def __init__(self, comm: MethodComm):
        self._comm = comm

    def broadcast(self, call: Any, limit: Any, patient: bool, array: np.ndarray, src: int) -> None:
        self._comm.broadcast(array, src)

    def all_gather(self, call: Any, limit: Any, patient: bool, outputs: Sequence, array: np.ndarray) -> None:
        self._comm.all_gather(outputs, array)

    def gather(self, call: Any, limit: Any, patient: bool, array: np.ndarray, outputs: Sequence, dst: int) -> None:
        self._comm.gather(array, outputs, dst)

    def scatter(self, call: Any, limit: Any, patient: bool, output: np.ndarray, inputs: Sequence, src: int) -> None:
        self._comm.scatter(output, inputs, src)


def _tensors(arrays: Sequence[np.ndarray]) -> list[Tensor]:
    return [wrap(array) for array in arrays]


def _sum_for(op: str) -> Any:
    """The ReduceOp of a name; a sum for "avg"."""
    return ReduceOp.SUM if op == "avg" else getattr(ReduceOp, op.upper())
