"""A thread for each device, joined by an inproc group: what DataParallel's replicas run on."""

import queue
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ... import devices
from ...amp.autocast import state as autocasting
from ...autograd.mode import mode, watch
from ...autograd.variable import Tensor
from ...comm import inproc_groups
from ...comm.clock import spawn, this_thread
from ...distributed.packing import by_dtype, flat, host, pieces, placed
from ...random import drawing


class Team:
    """`run` gives each member (a thread whose current device is its own) a task; members talk through their comm
    groups.

    The threads end when the team is no longer used.
    """

    def __init__(self, team_devices: Sequence[devices.device]):
        self.devices = list(team_devices)
        groups = inproc_groups(len(self.devices))
        self._inboxes: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in self.devices]
        threads = [
            spawn(
                partial(_member, *member), f"replica{rank}"
            )  # holds no reference to the team: its end ends the threads
            for rank, member in enumerate(zip(self._inboxes, groups, self.devices, strict=True))
        ]
        weakref.finalize(self, _dismiss, self._inboxes, threads, groups)

    def run(self, task: Callable[[int, Any], Any]) -> list:
        """task(rank, group) on every member, under the caller's modes and with its generators; their results, or the
        first member's error.
        """
        answers: queue.SimpleQueue = queue.SimpleQueue()
        modes = {name: getattr(mode, name) for name in ("grad", "inference", "anomaly", "hooks")}
        for inbox in self._inboxes:
            inbox.put((task, modes, autocasting.dtypes, drawing.defaults, answers))
        results: list[Any] = [None] * len(self.devices)
        errors: dict[int, BaseException] = {}
        for _ in self.devices:
            rank, result, error = answers.get()
            results[rank] = result
            if error is not None:
                errors[rank] = error
        if errors:
            raise errors[min(errors)]
        return results

    def scatter(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """parts[r] moved to device r; they may differ in their first dimension."""
        dtype, arrays = parts[0]._data.dtype, [host(p) for p in parts]
        empty = np.empty(0, dtype)

        def task(rank: int, group: Any) -> Tensor:
            mine = np.empty(arrays[rank].shape, dtype)
            outputs = [mine.reshape(-1) if source == 0 else empty for source in range(group.size)]
            group.all_to_all(outputs, [a.reshape(-1) for a in arrays] if rank == 0 else [empty] * group.size)
            return placed(mine, self.devices[rank])

        return self.run(task)

    def gather(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """All parts (one on each device) moved to the first member's device."""
        dtype, arrays = parts[0]._data.dtype, [host(p) for p in parts]
        empty = np.empty(0, dtype)

        def task(rank: int, group: Any) -> list[Tensor]:
            into = [np.empty(a.shape, dtype) if rank == 0 else empty for a in arrays]
            group.all_to_all(
                [a.reshape(-1) for a in into],
                [arrays[rank].reshape(-1) if to == 0 else empty for to in range(group.size)],
            )
            return [placed(a, self.devices[0]) for a in into] if rank == 0 else []

        return self.run(task)[0]

    def broadcast(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        """Copies of `tensors` (which live on the first device) on every device; one message for each dtype."""

        def task(rank: int, group: Any) -> list[Tensor]:
            copies: list = [None] * len(tensors)
            for indices in by_dtype(tensors):
                packed = (
                    flat([tensors[i] for i in indices])
                    if rank == 0
                    else np.empty(sum(tensors[i]._data.size for i in indices), tensors[indices[0]]._data.dtype)
                )
                group.broadcast(packed, 0)
                for i, piece in zip(indices, pieces(packed, [tensors[i]._data.shape for i in indices]), strict=True):
                    copies[i] = placed(piece, self.devices[rank])
            return copies

        return self.run(task)

    def reduce(self, columns: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """columns[r][i] on device r summed over r, on the first device; the order of the sum is that of the devices."""
        first = columns[0]

        def task(rank: int, group: Any) -> list[Tensor]:
            sums: list = [None] * len(first)
            for indices in by_dtype(first):
                packed = flat([columns[rank][i] for i in indices])
                group.reduce(packed, 0)
                if rank == 0:
                    for i, piece in zip(indices, pieces(packed, [first[i]._data.shape for i in indices]), strict=True):
                        sums[i] = placed(piece, self.devices[0])
            return sums

        return self.run(task)[0]


def _member(inbox: queue.SimpleQueue, group: Any, where: devices.device) -> None:
    devices.set_current_cuda(where.index)
    while (order := inbox.get()) is not None:
        task, modes, autocasting.dtypes, drawing.defaults, answers = order
        watch(**modes)
        try:
            answers.put((group.rank, task(group.rank, group), None))
        except BaseException as error:  # raised again in the thread that waits for the answer
            answers.put((group.rank, None, error))
        del order, task, answers


def _dismiss(inboxes: list, threads: list, groups: list) -> None:
    for inbox in inboxes:
        inbox.put(None)
    for thread in threads:
        if thread is not this_thread():  # the garbage that was collected there may have held the team
            thread.join()
    for group in groups:
        group.close()
