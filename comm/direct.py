"""Collectives of ranks that share memory: everyone shows its arrays, meets the others, and takes what it needs.

A collective is a series of exchanges. An array that the others can reach in place (`Group.allocate`; any array, where
the kernel lets ranks read one another's memory) is shown there; any other, and any short one, goes through the staging
areas, a slice after the other. All arrays here are flat. Letters: n ranks, `part` the piece of a stacked array that
belongs to one rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .board import DISTANT, LISTED, NOWHERE, STAGE, STAGED, Board, Where
from .call import Call, check_same, check_sizes, describe
from .clock import Deadline
from .reduction import block_length, reduce_into
from .windows import DistantWindow, Window

SMALL = 256 << 10  # bytes of all ranks' arrays up to which each rank sums everything itself: one meeting, not two
ROW = 5  # numbers that tell where a listed part lies: its `Where`, and its elements
Look = Callable[[int, int], Window | DistantWindow]  # (rank, part) -> a window on the rank's part


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

    monitored_barrier = barrier  # whose error names all who have not come

    def all_reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, op: str) -> None:
        if array.nbytes * self.size <= SMALL:
            self.board.turn()
            views = self.board.all_staging(array.dtype, array.size)
            views[self.rank][...] = array
            self._meet(call, deadline, patient, (STAGED, 0, 0, 0))
            reduce_into([array], views, op)
            return
        where = self._locate(array)
        step = STAGE // array.dtype.itemsize
        self.board.turn()
        if not where:
            self._stage([array[:step]], step)
        places = self._meet(call, deadline, patient, where or (STAGED, 0, 0, 0))
        serials = {place[0] for place in places}
        if STAGED in serials:
            self._reduce_staged(deadline, patient, array, op, step, where, places)
        elif DISTANT in serials:
            self._reduce_distant(deadline, patient, array, op, places)
        else:
            arrays = [self.board.resolve(r, places[r], array.dtype, array.size) for r in self._ranks]
            mine = slice(*bounds(array.size, self.size)[self.rank : self.rank + 2])
            first = [array, *(other for r, other in enumerate(arrays) if r != self.rank)]
            reduce_into([a[mine] for a in first], [a[mine] for a in arrays], op)
            self._meet(None, deadline, patient)

    def _reduce_distant(
        self, deadline: Deadline, patient: bool, array: np.ndarray, op: str, places: list[Where]
    ) -> None:
        """Each rank reduces its slice of all arrays, which it may only read, then takes the others' slices."""
        cuts = bounds(array.size, self.size)

        def look(rank: int, piece: int) -> Window | DistantWindow:
            return self._window(rank, places[rank], array, cuts[piece], cuts[piece + 1])

        mine = array[cuts[self.rank] : cuts[self.rank + 1]]
        self._combine(mine, [look(rank, self.rank) for rank in self._ranks], op)
        self._meet(None, deadline, patient)
        for rank in self._ranks:
            if rank != self.rank:
                look(rank, rank).copy(array[cuts[rank] : cuts[rank + 1]])
        self._meet(None, deadline, patient)

    def _reduce_staged(
        self, deadline: Deadline, patient: bool, array: np.ndarray, op: str, step: int, where: Where | None,
        places: list[Where],
    ) -> None:  # fmt: skip
        for low in range(0, array.size, step):
            piece = array[low : low + step]
            if low:
                self.board.turn()
                if not where:
                    self._stage([piece], step)
                self._meet(None, deadline, patient)
            cuts = bounds(piece.size, self.size)
            self._sum_slice(piece, array, low, cuts, places, op)
            self._meet(None, deadline, patient)
            for r in self._ranks:
                if r != self.rank:
                    piece[cuts[r] : cuts[r + 1]] = self.board.staging(r, array.dtype, cuts[r + 1] - cuts[r])

    def _sum_slice(
        self, piece: np.ndarray, array: np.ndarray, low: int, cuts: list[int], places: list[Where], op: str
    ) -> None:
        """Reduce this rank's slice of everyone's piece, into its own and into the other staging area."""
        start, end = cuts[self.rank], cuts[self.rank + 1]
        sources = [
            Window(self.board.staging(r, piece.dtype, end - start, start * piece.itemsize))
            if places[r][0] == STAGED
            else self._window(r, places[r], array, low + start, low + end)
            for r in self._ranks
        ]
        self.board.turn()
        self._combine(piece[start:end], sources, op)
        self.board.staging(self.rank, piece.dtype, end - start)[...] = piece[start:end]

    def broadcast(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, src: int) -> None:
        def take(look: Look, low: int, high: int) -> None:
            if self.rank != src:
                look(src, 0).copy(array[low:high])

        shown = [array] if self.rank == src else []
        self._exchange(call, deadline, patient, shown, 1, array.size, array.dtype, take)

    def reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, dst: int, op: str) -> None:
        def take(look: Look, low: int, high: int) -> None:
            if self.rank == dst:
                self._combine(array[low:high], [look(r, 0) for r in self._ranks], op)

        self._exchange(call, deadline, patient, [array], 1, array.size, array.dtype, take)

    def all_gather(
        self, call: Call, deadline: Deadline, patient: bool, outputs: Sequence[np.ndarray], array: np.ndarray
    ) -> None:
        def take(look: Look, low: int, high: int) -> None:
            for peer, out in enumerate(outputs):
                look(peer, 0).copy(out[low:high])

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

        def take(look: Look, low: int, high: int) -> None:
            look(src, self.rank).copy(output[low:high])

        self._exchange(call, deadline, patient, inputs, self.size, output.size, output.dtype, take)

    def reduce_scatter(
        self, call: Call, deadline: Deadline, patient: bool, output: np.ndarray, inputs: Sequence[np.ndarray], op: str
    ) -> None:
        def take(look: Look, low: int, high: int) -> None:
            self._combine(output[low:high], [look(r, self.rank) for r in self._ranks], op)

        self._exchange(call, deadline, patient, inputs, self.size, output.size, output.dtype, take)

    def all_to_all(
        self,
        call: Call,
        deadline: Deadline,
        patient: bool,
        outputs: Sequence[np.ndarray],
        inputs: Sequence[np.ndarray],
    ) -> None:
        """Parts may differ in size. Raises CollectiveMismatch if what one sends is not what another expects."""

        def take(look: Look, low: int, high: int) -> None:
            for peer, out in enumerate(outputs):
                if low < out.size:
                    look(peer, self.rank).copy(out[low:high])

        sizes = [part.size for part in (*inputs, *outputs)]
        self._exchange(call, deadline, patient, inputs, self.size, sizes, outputs[0].dtype, take)

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
        count: int | list[int],
        dtype: np.dtype,
        take: Callable[[Look, int, int], None],
    ) -> None:
        """Show `parts` (n_parts arrays of `count` elements, or none) and let `take` read everybody's.

        take(look, low, high) reads elements low to high, which look(rank, part) shows. Where sizes differ, `count` is
        a list: of what this rank sends to each, then of what it expects of each. A staging area begins with these
        sizes and a table of the places where parts lie; then come parts.
        """
        board, sizes = self.board, [] if isinstance(count, int) else count
        lead = -(-(len(sizes) + ROW * n_parts) * 8 // 64) * 64
        step = (STAGE - lead) // (dtype.itemsize * n_parts)
        table = self._places(parts) if sum(part.nbytes for part in parts) * self.size > SMALL else None
        board.turn()
        notes = [*sizes]
        if not parts:
            mine: Where = (NOWHERE, 0, 0, 0)
        elif table is None:
            mine = (STAGED, 0, 0, 0)
            self._stage([part[:step] for part in parts], step, lead)
        elif n_parts == 1:
            mine = table[0]
        else:
            mine = (LISTED, 0, 0, 0)
            for place, part in zip(table, parts, strict=True):
                notes += (*place, part.size)
        if notes:
            board.note(notes)
        places = self._meet(call, deadline, patient, mine)
        begin, end = len(sizes), len(sizes) + ROW * n_parts
        tables = {r: board.noted(r, begin, end) for r, place in enumerate(places) if place[0] == LISTED}
        if not isinstance(count, int):
            count = check_sizes([board.noted(rank, 0, begin) for rank in self._ranks], self.last_operation)
        serials = {place[0] for place in places}
        if STAGED not in serials:
            step = max(count, 1)

        def look(rank: int, part: int) -> Window | DistantWindow:
            if rank == self.rank:
                return Window(parts[part][low:high])
            if places[rank][0] == STAGED:
                return Window(board.staging(rank, dtype, high - low, lead + part * step * dtype.itemsize))
            if rank not in tables:
                return board.window(rank, places[rank], dtype, low, high)
            serial, fd, nbytes, offset, size = tables[rank][ROW * part : ROW * (part + 1)]
            return board.window(rank, (serial, fd, nbytes, offset), dtype, low, min(high, size))

        for low in range(0, max(count, 1), step):
            if low:
                board.turn()
                if table is None:
                    self._stage([part[low : low + step] for part in parts], step, lead)
                self._meet(None, deadline, patient)
            high = min(low + step, count)
            take(look, low, high)
        if serials - {STAGED, NOWHERE}:
            self._meet(None, deadline, patient)  # nobody may change what it shows before everyone has read it

    def _window(self, rank: int, place: Where, array: np.ndarray, low: int, high: int) -> Window | DistantWindow:
        """A window on elements low to high of what `rank` shows for its own like of `array`."""
        if rank == self.rank:
            return Window(array[low:high])
        return self.board.window(rank, place, array.dtype, low, high)

    @staticmethod
    def _combine(out: np.ndarray, sources: Sequence[Window | DistantWindow], op: str) -> None:
        """Reduce what the windows show into `out`, block by block."""
        step = block_length(out.dtype, len(sources))
        for low in range(0, out.size, step):
            block = out[low : low + step]
            reduce_into([block], [source.get(low, low + block.size) for source in sources], op)

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

    def _stage(self, parts: Sequence[np.ndarray], step: int, lead: int = 0) -> None:
        """Copy `parts` into this rank's staging area from byte `lead` on, each at a multiple of `step` elements."""
        for index, part in enumerate(parts):
            if part.size:
                at = lead + index * step * part.itemsize
                self.board.staging(self.rank, part.dtype, part.size, at)[...] = part

    def _locate(self, array: np.ndarray) -> Where | None:
        """Where the others reach `array` in place, or None."""
        return self.board.locate(array.__array_interface__["data"][0], array.nbytes)

    def _places(self, parts: Sequence[np.ndarray]) -> list[Where] | None:
        """Where the others reach each of `parts` in place; None if some cannot be reached so."""
        found = [self._locate(part) for part in parts]
        return None if None in found else [place for place in found if place is not None]
