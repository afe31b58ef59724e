"""All-reduces that are made once and carried out over and over, by ranks that compute meanwhile.

MPI calls such operations persistent (MPI 4.0, section 6.13). The ranks see one another's arrays in place, and each
counts those that it has started in a word that all see. So whoever computes can reduce its slice of an array as soon
as all have started it, while it lies in the caches: no thread works beside it, and the ranks meet only at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from disttorch.kernels.blas import address

from . import clock, observing
from .board import LINE, NOWHERE
from .call import Call, caller, fingerprint
from .direct import DirectEngine, bounds
from .errors import CollectiveMismatch
from .fences import Fence, light_fence
from .reduction import reduce_into

if TYPE_CHECKING:
    from .group import Group


class PersistentAllReduce:
    """All-reduces of every rank's `arrays`, round after round: start them one by one, then wait for all.

    A rank leaves an array alone from its start to the end of `wait`. Made by `Group.all_reduce_init`.
    """

    def __init__(
        self, group: Group, engine: DirectEngine, op: str, arrays: Sequence[np.ndarray],
        everyones: Sequence[Sequence[np.ndarray]],
    ):  # fmt: skip
        """everyones: by rank, its counter and its arrays."""
        self._group, self._engine, self._op = group, engine, op
        self._fence, self._settle = Fence(), light_fence()
        self._counters = [counter.data for counter, *_ in everyones]
        self._slices = []  # of every array: this rank's part of it, as each rank has it
        for own, *others in zip(arrays, *(arrays for _, *arrays in everyones), strict=True):
            low, high = bounds(own.size, group.size)[group.rank : group.rank + 2]
            self._slices.append([array[low:high] for array in others])
        marks = [fingerprint("all_reduce", array.dtype, array.shape, op, -1) for array in arrays]
        self._calls = [Call("all_reduce", mark, caller()) for mark in marks]
        alike = len({array.dtype for array in arrays}) == 1
        total = sum(array.size for array in arrays)
        self._mark = fingerprint("all_reduce_wait", arrays[0].dtype if alike else None, (total,), op, -1)
        self._base = -len(arrays)  # what this rank's counter said when the round began; this one is over
        self._started = self._reduced = len(arrays)  # of this round: how many this rank has started, and has done with

    def start(self, index: int) -> None:
        """This rank's array `index` is ready. All start them in order; the first begins a new round."""
        if index == 0:
            self._base += len(self._slices)
            self._reduced = 0
        self._fence()  # what was written to the array is out before the count
        self._started = index + 1
        self._counters[self._group.rank][0] = self._base + index + 1

    def progress(self) -> None:
        """Reduce this rank's slice of those arrays that all ranks have started. Waits for nobody."""
        if self._reduced == self._started:
            return
        counts = [counter[0] for counter in self._counters]
        if max(counts) > self._base + len(self._slices):
            return  # somebody has given this round up and begun another, as `wait` will say
        self._settle()  # the arrays are read after the counts
        for index in range(self._reduced, min(counts) - self._base):
            ended = observing.begin("collective", self._calls[index])
            reduce_into(self._slices[index], self._slices[index], self._op)
            ended()
            self._reduced += 1

    def give_up(self) -> None:
        """A collective, instead of `wait`: return when nobody reduces in this round any more, and leave the arrays as
        they are then.
        """
        self._reduced = self._started
        self._group.barrier()

    def wait(self) -> None:
        """A collective: return when all ranks have started all arrays, and these are reduced.

        Raises what every collective of the group does.
        """
        call = Call("all_reduce_wait", self._mark, caller(), clock.now())

        def finish() -> None:
            counts = [counter[0] - self._base for counter in self._counters]
            if set(counts) != {len(self._slices)}:
                here = self._group.members
                raise CollectiveMismatch(
                    {here[rank]: f"{call}, having started {count} arrays" for rank, count in enumerate(counts)},
                    "a rank has given up a round of all-reduces",
                )
            self.progress()

        self._group._start(
            call, lambda limit, patient: self._engine.together(call, limit, patient, finish), async_op=False
        )


def persistent_all_reduce(
    group: Group, engine: DirectEngine, arrays: Sequence[np.ndarray], op: str
) -> PersistentAllReduce | None:
    """Make one: a collective. None on all ranks if some array of one is not seen by the others.

    Raises CollectiveMismatch if the ranks' arrays differ in number or size.
    """
    board = engine.board
    shown = [group.allocate(LINE // 8, np.int64), *arrays]
    places = [board.lasting(address(array), array.nbytes) or (NOWHERE, 0, 0, 0) for array in shown]
    mine = np.array([(*place, array.nbytes) for place, array in zip(places, shown, strict=True)], np.int64)
    rows = [np.empty_like(mine) for _ in range(group.size)]
    group.all_gather(rows, mine)
    tables = [row.tolist() for row in rows]
    sizes = {group.members[rank]: [nbytes for *_, nbytes in table] for rank, table in enumerate(tables)}
    if len(set(map(tuple, sizes.values()))) > 1:
        raise CollectiveMismatch(
            {rank: f"all_reduce_init of arrays of {nbytes} bytes" for rank, nbytes in sizes.items()}
        )
    if any(serial == NOWHERE for table in tables for serial, *_ in table):
        return None
    everyones = [
        [
            array if rank == group.rank else board.resolve(rank, tuple(where), array.dtype, 0, array.size)
            for array, (*where, _) in zip(shown, table, strict=True)
        ]
        for rank, table in enumerate(tables)
    ]
    group.barrier()  # nobody leaves before all have found its arrays
    return PersistentAllReduce(group, engine, op, arrays, everyones)
