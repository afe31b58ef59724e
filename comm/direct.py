"""Collectives of ranks that share memory: everyone shows its arrays, meets the others, and takes what it needs.

A collective is a series of exchanges. An array that the others can see in place (`Group.allocate`; any array, between
threads) is shown there and nothing is copied; any other goes through the staging areas, a slice after the other.
All arrays here are flat. Letters: n ranks, `part` the piece of a stacked array that belongs to one rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .board import NOWHERE, STAGE, STAGED, Board
from .call import Call, check_same, describe
from .clock import Deadline
from .reduction import reduce_into

SMALL = 256 << 10  # bytes of all ranks' arrays up to which each rank sums everything itself: one meeting, not two
View = Callable[[int, int, int, int], np.ndarray]  # (rank, part, low, high) -> those elements of the rank's part
Where = tuple[int, int, int, int]  # see Board.locate


def bounds(count: int, pieces: int, align: int = 64) -> list[int]:
    """Where to cut `count` elements into `pieces` near-equal slices, at multiples of `align` elements.

    Aligned, so that two ranks do not write to one cache line. Returns pieces + 1 positions.
    """
    lines = -(-count // align)
    return [min(lines * index // pieces * align, count) for index in range(pieces + 1)]


class DirectEngine:
    """Every collective of a group on one board. Each method takes the call, its deadline, and flat arrays."""

    def __init__(self, board: Board):
        self.board, self.rank, self.size = board, board.rank, board.size
        self._ranks = range(board.size)
        self._heard: list[tuple[bytes, bytes]] = []  # every rank's last call: fingerprint and place

    def barrier(self, call: Call, deadline: Deadline, patient: bool) -> None:
        self.board.turn()
        self._meet(call, deadline, patient)

    def all_reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, op: str) -> None:
        if array.nbytes * self.size <= SMALL:
            self.board.turn()
            views = self.board.all_staging(array.dtype, array.size)
            views[self.rank][...] = array
            self._meet(call, deadline, patient, (STAGED, 0, 0, 0))
            reduce_into([array], views, op)
            return
        where = self._locate([array])
        step = STAGE // array.dtype.itemsize
        self.board.turn()
        if not where:
            self._stage([array[:step]], step)
        places = self._meet(call, deadline, patient, where or (STAGED, 0, 0, 0))
        if all(place[0] != STAGED for place in places):
            arrays = [self.board.resolve(r, places[r], array.dtype, array.size) for r in self._ranks]
            mine = slice(*bounds(array.size, self.size)[self.rank : self.rank + 2])
            first = [array, *(other for r, other in enumerate(arrays) if r != self.rank)]
            reduce_into([a[mine] for a in first], [a[mine] for a in arrays], op)
            self._meet(None, deadline, patient)
            return
        for low in range(0, array.size, step):
            piece = array[low : low + step]
            if low:
                self.board.turn()
                if not where:
                    self._stage([piece], step)
                self._meet(None, deadline, patient)
            cuts = bounds(piece.size, self.size)
            self._sum_slice(piece, low, cuts, places, op)
            self._meet(None, deadline, patient)
            for r in self._ranks:
                if r != self.rank:
                    piece[cuts[r] : cuts[r + 1]] = self.board.staging(r, array.dtype, cuts[r + 1] - cuts[r])

    def _sum_slice(self, piece: np.ndarray, low: int, cuts: list[int], places: list[Where], op: str) -> None:
        """Reduce this rank's slice of everyone's piece, into its own and into the other staging area."""
        start, end = cuts[self.rank], cuts[self.rank + 1]
        sources = [
            self.board.staging(r, piece.dtype, end - start, start * piece.itemsize)
            if places[r][0] == STAGED
            else self.board.resolve(r, places[r], piece.dtype, low + end)[low + start :]
            for r in self._ranks
        ]
        self.board.turn()
        reduce_into([piece[start:end], self.board.staging(self.rank, piece.dtype, end - start)], sources, op)

    def broadcast(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, src: int) -> None:
        def take(view: View, low: int, high: int) -> None:
            if self.rank != src:
                array[low:high] = view(src, 0, low, high)

        shown = [array] if self.rank == src else []
        self._exchange(call, deadline, patient, shown, 1, array.size, array.dtype, take)

    def reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, dst: int, op: str) -> None:
        def take(view: View, low: int, high: int) -> None:
            if self.rank == dst:
                reduce_into([array[low:high]], [view(r, 0, low, high) for r in self._ranks], op)

        self._exchange(call, deadline, patient, [array], 1, array.size, array.dtype, take)

    def all_gather(
        self, call: Call, deadline: Deadline, patient: bool, outputs: Sequence[np.ndarray], array: np.ndarray
    ) -> None:
        def take(view: View, low: int, high: int) -> None:
            for peer, out in enumerate(outputs):
                out[low:high] = array[low:high] if peer == self.rank else view(peer, 0, low, high)

        self._exchange(call, deadline, patient, [array], 1, array.size, array.dtype, take)

    def gather(
        self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, outputs: Sequence[np.ndarray], dst: int
    ) -> None:
        """outputs: n arrays on rank `dst`, none elsewhere."""
        self.all_gather(call, deadline, patient, outputs, array)

    def scatter(
        self, call: Call, deadline: Deadline, patient: bool, output: np.ndarray, inputs: Sequence[np.ndarray], src: int
    ) -> None:
        """inputs: n arrays on rank `src`, none elsewhere."""

        def take(view: View, low: int, high: int) -> None:
            output[low:high] = view(src, self.rank, low, high)

        self._exchange(call, deadline, patient, inputs, self.size, output.size, output.dtype, take)

    def reduce_scatter(
        self, call: Call, deadline: Deadline, patient: bool, output: np.ndarray, inputs: Sequence[np.ndarray], op: str
    ) -> None:
        def take(view: View, low: int, high: int) -> None:
            reduce_into([output[low:high]], [view(r, self.rank, low, high) for r in self._ranks], op)

        self._exchange(call, deadline, patient, inputs, self.size, output.size, output.dtype, take)

    def all_to_all(
        self,
        call: Call,
        deadline: Deadline,
        patient: bool,
        outputs: Sequence[np.ndarray],
        inputs: Sequence[np.ndarray],
        largest: int,
    ) -> None:
        """Parts may differ in size; `largest` is the most elements that any rank sends any other."""

        def take(view: View, low: int, high: int) -> None:
            for peer, out in enumerate(outputs):
                end = min(high, out.size)
                if low < end:
                    out[low:end] = view(peer, self.rank, low, end)

        dtype = outputs[0].dtype
        even = all(part.size == largest for part in (*inputs, *outputs))
        self._exchange(call, deadline, patient, inputs, self.size, largest, dtype, take, in_place=even)

    def last_operation(self, peer: int) -> str:
        """What `peer` is last known to have called."""
        return describe(*self._heard[peer]) if self._heard else ""

    def leave(self, words: str = "") -> None:
        """Tell the others that this rank will not take part again; `words` say why, if something failed."""
        self.board.leave(words)

    def close(self) -> None:
        """Let go of the shared memory."""
        self.board.close()

    # One exchange

    def _exchange(
        self,
        call: Call,
        deadline: Deadline,
        patient: bool,
        parts: Sequence[np.ndarray],
        n_parts: int,
        count: int,
        dtype: np.dtype,
        take: Callable[[View, int, int], None],
        in_place: bool = True,
    ) -> None:
        """Show `parts` (n_parts arrays of at most `count` elements, or none) and let `take` read everybody's."""
        step = STAGE // (dtype.itemsize * n_parts)
        big = count * dtype.itemsize * n_parts * self.size > SMALL
        where = self._locate(parts) if in_place and big and parts else None
        self.board.turn()
        if parts and not where:
            self._stage([part[:step] for part in parts], step)
        here = where or ((STAGED, 0, 0, 0) if parts else (NOWHERE, 0, 0, 0))
        places = self._meet(call, deadline, patient, here)
        staged = any(place[0] == STAGED for place in places)
        if not staged:
            step = max(count, 1)

        def view(rank: int, part: int, low: int, high: int) -> np.ndarray:
            if places[rank][0] == STAGED:
                offset = part * step * dtype.itemsize
                return self.board.staging(rank, dtype, high - low, offset)
            return self.board.resolve(rank, places[rank], dtype, n_parts * count)[part * count :][low:high]

        for low in range(0, max(count, 1), step):
            if low:
                self.board.turn()
                if parts and not where:
                    self._stage([part[low : low + step] for part in parts], step)
                self._meet(None, deadline, patient)
            take(view, low, min(low + step, count))
        if any(place[0] not in (STAGED, NOWHERE) for place in places):
            self._meet(None, deadline, patient)  # nobody may change what it shows before everyone has read it

    def _meet(
        self, call: Call | None, deadline: Deadline, patient: bool, where: Where = (NOWHERE, 0, 0, 0)
    ) -> list[Where]:
        """Arrive with `call` (None: a further step of the same one) and return where each rank's data lie."""
        if call is None:
            self.board.meet(deadline, patient)
            return []
        board = self.board
        mine = board.show(call.fingerprint, call.place, where)
        board.meet(deadline, patient)
        if all(board.shows(rank, mine) for rank in self._ranks):
            self._heard = [(call.fingerprint, call.place)] * self.size
            return [where] * self.size
        shown = [board.shown(rank) for rank in self._ranks]
        self._heard = [(mark, place) for mark, place, _ in shown]
        if any(mark != call.fingerprint for mark, _, _ in shown):
            check_same({board.names[rank]: (mark, place) for rank, (mark, place, _) in enumerate(shown)})
        return [place for _, _, place in shown]

    def _stage(self, parts: Sequence[np.ndarray], step: int) -> None:
        """Copy `parts` into this rank's staging area, each at a multiple of `step` elements."""
        for index, part in enumerate(parts):
            if part.size:
                self.board.staging(self.rank, part.dtype, part.size, index * step * part.itemsize)[...] = part

    def _locate(self, parts: Sequence[np.ndarray]) -> Where | None:
        """Where the others see `parts` in place: only if they lie one behind the other in shared memory."""
        address, size = parts[0].__array_interface__["data"][0], parts[0].nbytes
        for index, part in enumerate(parts[1:], 1):
            if part.__array_interface__["data"][0] != address + index * size:
                return None
        return self.board.locate(address, size * len(parts))
