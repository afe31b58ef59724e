"""Collectives handed to a real MPI, by mpi4py: for clusters whose MPI knows their network best.

Ranks and their number are MPI's (mpiexec's). Before each collective the ranks compare their calls' fingerprints, which
also waits until all have come, with a deadline; what MPI does after that it does without one. Who is dead is noticed by
mpiexec, which ends the job.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import clock
from .call import MAX_PLACE, Call, check_same, check_sizes, describe
from .clock import Deadline
from .errors import CommError
from .group import TIMEOUT, Group
from .reduction import divide, is_half
from .work import Work

POLL = 50e-6  # seconds between two looks at a request that is not done at once
SPINS = 200  # looks without sleep before that
MARKS = 512  # bytes of a call's fingerprint that are shown in a mismatch
TAGS = 32767  # what every MPI has at least
_BOOL = {"sum": "BOR", "max": "BOR", "product": "BAND", "min": "BAND", "band": "BAND", "bor": "BOR", "bxor": "BXOR"}
_NAMES = {"sum": "SUM", "avg": "SUM", "product": "PROD", "min": "MIN", "max": "MAX", "band": "BAND", "bor": "BOR",
          "bxor": "BXOR"}  # fmt: skip


def mpi_group(timeout: float = TIMEOUT) -> Group:
    """The group of all ranks that mpiexec has started (of this process alone, without mpiexec).

    Raises CommError where mpi4py or an MPI library is missing.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise CommError(f"the backend 'mpi' needs mpi4py and an MPI library, which cannot be loaded: {error}") from None
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise CommError("the backend 'mpi' needs an MPI library that serves several threads (MPI_THREAD_MULTIPLE)")
    return _group(MPI, MPI.COMM_WORLD, timeout)


def _group(mpi: Any, world: Any, timeout: float) -> Group:
    """A group over a duplicate of the communicator `world`."""
    rank, size = world.Get_rank(), world.Get_size()
    hosts = world.allgather(mpi.Get_processor_name())

    def split(ranks: list[int], number: int | str) -> Group:
        members = world.Get_group().Incl(ranks)
        return _group(mpi, world.Create_group(members, zlib.crc32(str(number).encode()) % TAGS), timeout)

    engine, p2p = MpiEngine(mpi, world.Dup()), MpiPointToPoint(mpi, world.Dup())
    return Group(rank, size, hosts, engine, p2p, kind="mpi", timeout=timeout, split=split)


def _done(request: Any, deadline: Deadline, status: Any = None) -> None:
    """Wait for a request of MPI, with a deadline."""
    looks = 0
    while not request.Test(status):
        looks += 1
        if looks > SPINS:
            deadline.check()
            clock.sleep(POLL)


class MpiEngine:
    """The same operations as the other engines, over a communicator."""

    def __init__(self, mpi: Any, world: Any):
        self._mpi, self._world = mpi, world
        self.rank, self.size = world.Get_rank(), world.Get_size()
        self._heard: list[tuple[bytes, bytes]] = []  # every rank's call at the last mismatch, or the last common one

    def _meet(self, call: Call, deadline: Deadline) -> None:
        """Wait until all have come, and see that they have made the same call."""
        mark = zlib.crc32(call.fingerprint)
        least = np.empty(2, np.int64)
        _done(self._world.Iallreduce(np.array([mark, -mark], np.int64), least, self._mpi.MIN), deadline)
        if least[0] != -least[1]:
            check_same(dict(enumerate(self._world.allgather((call.fingerprint[:MARKS], call.place[:MAX_PLACE])))))
        self._heard = [(call.fingerprint, call.place)]

    def _reduced(self, array: np.ndarray, op: str, reduce: Any) -> np.ndarray:
        """What `reduce(sent, received, operation)` makes of the array, in the array's dtype."""
        wide = array.view(np.uint8) if array.dtype == bool else array
        wide = wide.astype(np.float32) if is_half(array.dtype) else np.ascontiguousarray(wide)
        name = _BOOL[op] if array.dtype == bool else _NAMES[op]
        total = reduce(wide, getattr(self._mpi, name))
        if op == "avg":
            divide(total, self.size)
        return total.view(bool) if array.dtype == bool else total.astype(array.dtype, copy=False)

    def barrier(self, call: Call, deadline: Deadline, patient: bool) -> None:
        self._meet(call, deadline)

    monitored_barrier = barrier

    def all_reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, op: str) -> None:
        self._meet(call, deadline)

        def reduce(sent: np.ndarray, operation: Any) -> np.ndarray:
            total = array if sent is array else np.empty_like(sent)
            self._world.Allreduce(self._mpi.IN_PLACE if total is sent else sent, total, operation)
            return total

        total = self._reduced(array, op, reduce)
        if total is not array:
            array[...] = total

    def broadcast(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, src: int) -> None:
        self._meet(call, deadline)
        self._world.Bcast(array.view(np.uint8), src)

    def reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, dst: int, op: str) -> None:
        self._meet(call, deadline)

        def reduce(sent: np.ndarray, operation: Any) -> np.ndarray:
            total = np.empty_like(sent)
            self._world.Reduce(sent, total, operation, dst)
            return total

        total = self._reduced(array, op, reduce)
        if self.rank == dst:
            array[...] = total

    def all_gather(self, call: Call, deadline: Deadline, patient: bool, outputs: Sequence, array: np.ndarray) -> None:
        self._meet(call, deadline)
        every = np.empty((self.size, array.nbytes), np.uint8)
        self._world.Allgather(array.view(np.uint8), every)
        for out, data in zip(outputs, every, strict=True):
            out.view(np.uint8)[...] = data

    def gather(
        self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, outputs: Sequence, dst: int
    ) -> None:
        self._meet(call, deadline)
        every = np.empty((self.size, array.nbytes), np.uint8) if self.rank == dst else None
        self._world.Gather(array.view(np.uint8), every, dst)
        for out, data in zip(outputs, every if every is not None else [], strict=True):
            out.view(np.uint8)[...] = data

    def scatter(
        self, call: Call, deadline: Deadline, patient: bool, output: np.ndarray, inputs: Sequence, src: int
    ) -> None:
        self._meet(call, deadline)
        every = np.stack([part.view(np.uint8) for part in inputs]) if self.rank == src else None
        self._world.Scatter(every, output.view(np.uint8), src)

    def reduce_scatter(
        self, call: Call, deadline: Deadline, patient: bool, output: np.ndarray, inputs: Sequence, op: str
    ) -> None:
        self._meet(call, deadline)

        def reduce(sent: np.ndarray, operation: Any) -> np.ndarray:
            total = np.empty(output.size, sent.dtype)
            self._world.Reduce_scatter_block(sent, total, operation)
            return total

        output[...] = self._reduced(np.concatenate(inputs), op, reduce)

    def all_to_all(self, call: Call, deadline: Deadline, patient: bool, outputs: Sequence, inputs: Sequence) -> None:
        self._meet(call, deadline)
        table = np.empty((self.size, 2 * self.size), np.int64)
        self._world.Allgather(np.array([part.size for part in (*inputs, *outputs)], np.int64), table)
        check_sizes(table.tolist(), lambda rank: str(call) if rank == self.rank else call.name)
        sent = np.concatenate([part.view(np.uint8) for part in inputs])
        got = np.empty(sum(out.nbytes for out in outputs), np.uint8)
        byte = self._mpi.BYTE
        self._world.Alltoallv(
            [sent, [part.nbytes for part in inputs], byte], [got, [out.nbytes for out in outputs], byte]
        )
        for out, data in zip(outputs, np.split(got, np.cumsum([out.nbytes for out in outputs])[:-1]), strict=True):
            out.view(np.uint8)[...] = data

    def last_operation(self, peer: int) -> str:
        """What all are last known to have called."""
        return describe(*self._heard[-1]) if self._heard else ""

    def leave(self, words: str = "") -> None:
        """MPI has no word for it: who waits for this rank runs into its own deadline."""

    def close(self) -> None:
        """Nothing to release before MPI_Finalize: freeing a communicator would wait for the others."""


class MpiWork(Work):
    """A send or receive that MPI carries out; its result is the sender's rank."""

    def __init__(self, mpi: Any, name: str, request: Any, array: np.ndarray, limit: float):
        super().__init__(name)
        self._request, self._array = request, array  # MPI uses the array until the end
        self._status, self._deadline = mpi.Status(), Deadline(limit, name)

    def is_completed(self) -> bool:
        if not self._ended and self._request.Test(self._status):
            self.complete(self._status.Get_source())
        return self._ended

    def _finish(self, timeout: float | None) -> None:
        if not self._ended:
            limit = self._deadline if timeout is None else Deadline(timeout, f"waiting for {self.name}")
            _done(self._request, limit, self._status)
            self.complete(self._status.Get_source())


class MpiPointToPoint:
    """Messages over a communicator. A message longer than its receiver's array is MPI's error."""

    def __init__(self, mpi: Any, world: Any):
        self._mpi, self._world = mpi, world

    def send(self, call: Call, flat: np.ndarray, dst: int, tag: int, limit: float) -> MpiWork:
        return MpiWork(self._mpi, call.name, self._world.Isend(flat, dst, tag), flat, limit)

    def receive(
        self, call: Call, flat: np.ndarray, src: int | None, tag: int, limit: float, attended: bool = True
    ) -> MpiWork:
        source = self._mpi.ANY_SOURCE if src is None else src
        return MpiWork(self._mpi, call.name, self._world.Irecv(flat, source, tag), flat, limit)

    def departed(self, peer: int) -> None:
        """MPI does not say who has left."""

    def nudge(self) -> None:
        """MPI moves messages by itself."""

    def leave(self, words: str = "") -> None:
        """As `MpiEngine.leave`."""

    def close(self) -> None:
        """As `MpiEngine.close`."""
