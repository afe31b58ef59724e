"""A thread for each device, joined by an inproc group: what DataParallel's replicas run on."""

import queue
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ... import devices
from ...autograd.mode import mode
from ...autograd.variable import Tensor, wrap
from ...comm import inproc_groups
from ...comm.clock import spawn


class Team:
    """`run` gives each member (a thread whose current device is its own) a task; members talk through their comm groups.

    The threads end when the team is no longer used.
    """

    def __init__(self, team_devices: Sequence[devices.device]):
        self.devices = list(team_devices)
        groups = inproc_groups(len(self.devices))
        self._inboxes: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in self.devices]
        threads = [
            spawn(partial(_member, *member), f"replica{rank}")  # holds no reference to the team: its end ends the threads
            for rank, member in enumerate(zip(self._inboxes, groups, self.devices, strict=True))
        ]
        weakref.finalize(self, _dismiss, self._inboxes, threads, groups)

    def run(self, task: Callable[[int, Any], Any]) -> list:
        """task(rank, group) on every member, under the caller's modes; their results, or the first member's error."""
        answers: queue.SimpleQueue = queue.SimpleQueue()
        modes = (mode.grad, mode.inference, mode.anomaly)
        for inbox in self._inboxes:
            inbox.put((task, modes, answers))
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
        dtype, arrays = parts[0]._data.dtype, [_host(p) for p in parts]
        empty = np.empty(0, dtype)

        def task(rank: int, group: Any) -> Tensor:
            mine = np.empty(arrays[rank].shape, dtype)
            outputs = [mine.reshape(-1) if source == 0 else empty for source in range(group.size)]
            group.all_to_all(outputs, [a.reshape(-1) for a in arrays] if rank == 0 else [empty] * group.size)
            return _placed(mine, self.devices[rank])

        return self.run(task)

    def gather(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """All parts (one on each device) moved to the first member's device."""
        dtype, arrays = parts[0]._data.dtype, [_host(p) for p in parts]
        empty = np.empty(0, dtype)

        def task(rank: int, group: Any) -> list[Tensor]:
            into = [np.empty(a.shape, dtype) if rank == 0 else empty for a in arrays]
            group.all_to_all([a.reshape(-1) for a in into], [arrays[rank].reshape(-1) if to == 0 else empty for to in range(group.size)])
            return [_placed(a, self.devices[0]) for a in into] if rank == 0 else []

        return self.run(task)[0]

    def broadcast(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        """Copies of `tensors` (which live on the first device) on every device; one message for each dtype."""

        def task(rank: int, group: Any) -> list[Tensor]:
            copies: list = [None] * len(tensors)
            for indices in _by_dtype(tensors):
                flat = _flat([tensors[i] for i in indices]) if rank == 0 else np.empty(_total(tensors, indices), tensors[indices[0]]._data.dtype)
                group.broadcast(flat, 0)
                for i, piece in zip(indices, _pieces(flat, [tensors[i]._data.shape for i in indices]), strict=True):
                    copies[i] = _placed(piece, self.devices[rank])
            return copies

        return self.run(task)

    def reduce(self, columns: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """columns[r][i] on device r summed over r, on the first device; the order of the sum is that of the devices."""
        first = columns[0]

        def task(rank: int, group: Any) -> list[Tensor]:
            sums: list = [None] * len(first)
            for indices in _by_dtype(first):
                flat = _flat([columns[rank][i] for i in indices])
                group.reduce(flat, 0)
                if rank == 0:
                    for i, piece in zip(indices, _pieces(flat, [first[i]._data.shape for i in indices]), strict=True):
                        sums[i] = _placed(piece, self.devices[0])
            return sums

        return self.run(task)[0]


def _member(inbox: queue.SimpleQueue, group: Any, where: devices.device) -> None:
    devices.set_current_cuda(where.index)
    while (order := inbox.get()) is not None:
        task, (mode.grad, mode.inference, mode.anomaly), answers = order
        try:
            answers.put((group.rank, task(group.rank, group), None))
        except BaseException as error:  # raised again in the thread that waits for the answer
            answers.put((group.rank, None, error))
        del order, task, answers


def _dismiss(inboxes: list, threads: list, groups: list) -> None:
    for inbox in inboxes:
        inbox.put(None)
    for thread in threads:
        thread.join()
    for group in groups:
        group.close()


def _host(t: Tensor) -> np.ndarray:
    data = t._data if t.device.host else devices.to_device(t._data, t.device, devices.CPU)
    return np.asarray(data, order="C")


def _placed(array: np.ndarray, where: devices.device) -> Tensor:
    return wrap(array if where.host else devices.to_device(array, devices.CPU, where), where)


def _by_dtype(tensors: Sequence[Tensor]) -> list[list[int]]:
    kinds: dict = {}
    for i, t in enumerate(tensors):
        kinds.setdefault(t._data.dtype, []).append(i)
    return list(kinds.values())


def _total(tensors: Sequence[Tensor], indices: Sequence[int]) -> int:
    return sum(tensors[i]._data.size for i in indices)


def _flat(tensors: Sequence[Tensor]) -> np.ndarray:
    return np.concatenate([_host(t).reshape(-1) for t in tensors])


def _pieces(flat: np.ndarray, shapes: Sequence[tuple]) -> list[np.ndarray]:
    sizes = [int(np.prod(s, dtype=np.int64)) for s in shapes]
    ends = np.cumsum(sizes).tolist()
    return [flat[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]
