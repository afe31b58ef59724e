"""Collectives of ranks that share memory: everyone shows its arrays, meets the others, and takes what it needs.

Work for one rank's arrays is done by all where all can reach them: each reduces or copies its share. All arrays here
are flat. Letters: n ranks, `part` the piece of a stacked array that belongs to one rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .board import STAGE, STAGED, Where
from .call import Call
from .clock import Deadline
from .reduction import block_length, reduce_into
from .showing import SMALL, Look, Showing
from .windows import PIECE, DistantWindow, Window, copy_in_pieces

TOGETHER = 64  # elements that are not parted: two ranks do not write to one cache line
RATE = 6.0  # bytes of all ranks' arrays that one rank reduces in a nanosecond, about


def bounds(count: int, pieces: int) -> list[int]:
    """Where to cut `count` elements into `pieces` near-equal slices, at multiples of `TOGETHER`.

    Returns pieces + 1 positions.
    """
    lines = -(-count // TOGETHER)
    return [min(lines * index // pieces * TOGETHER, count) for index in range(pieces + 1)]


def fair_bounds(count: int, made: Sequence[int], work: int) -> list[int]:
    """Like `bounds`, for ranks that compute meanwhile: who called first is ahead of the others and gets more, so that
    they come closer.

    made: when each rank called, in nanoseconds; work: those that one rank would take for everything. Were each to begin
    when it called, all that get something would end at the same moment.
    """
    late = [moment - min(made) for moment in made]
    for workers in range(len(late), 0, -1):  # how many get something: those that called before that moment
        earliest = sorted(late)[:workers]
        end = (work + sum(earliest)) // workers
        if end >= earliest[-1]:
            break
    parts = [max(end - behind, 0) for behind in late]
    lines = -(-count // TOGETHER)
    return [min(lines * sum(parts[:rank]) // sum(parts) * TOGETHER, count) for rank in range(len(parts) + 1)]


class DirectEngine(Showing):
    """Every collective of a group on one board. Each method takes the call, its deadline, and flat arrays."""

    moved = 0  # messages: none

    def barrier(self, call: Call, deadline: Deadline, patient: bool) -> None:
        self.board.turn()
        self._meet(call, deadline, patient)

    def together(self, call: Call, deadline: Deadline, patient: bool, share: Callable[[], None]) -> None:
        """Call `share` when all ranks have come, and return when all have done so."""
        self.barrier(call, deadline, patient)
        share()
        self._meet(None, deadline, patient)

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
        if where:
            self.board.note([int(call.made * 1e9) if patient else 0])
        else:
            self._stage([array[:step]], step)
        places = self._meet(call, deadline, patient, where or (STAGED, 0, 0, 0))
        if any(place[0] == STAGED for place in places):
            self._reduce_staged(deadline, patient, array, op, step, where, places)
        else:
            made = [self.board.noted(rank, 0, 1)[0] for rank in self._ranks]
            work = int(array.nbytes * self.size / RATE)
            cuts = fair_bounds(array.size, made, work) if all(made) else bounds(array.size, self.size)
            self._reduce_in_place(array, op, places, cuts)
            self._meet(None, deadline, patient)

    def _reduce_in_place(self, array: np.ndarray, op: str, places: list[Where], cuts: list[int]) -> None:
        """Each rank reduces its slice of all arrays and writes it into all, while it is in the cache."""
        windows = [self._window(rank, places[rank], array, 0, array.size) for rank in self._ranks]
        seen = all(isinstance(window, Window) for window in windows)
        for low, high in self._blocks(array, cuts, whole=seen):
            blocks = [window.get(low, high) for window in windows]
            if seen or self.size == 2:
                reduce_into(blocks, blocks, op)
                for window, block in zip(windows, blocks, strict=True):
                    window.save(low, block)
                continue
            reduce_into([blocks[0]], blocks, op)
            windows[0].save(low, blocks[0])
            for window in windows[1:]:
                window.put(low, blocks[0])

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
        """Every rank takes the array but for one slice, which rank `src` writes: its share of the work."""

        def take(look: Look, low: int, high: int) -> None:
            if self.rank != src:
                look(src, 0).copy(array[low:high])

        def share(look: Look) -> None:
            cuts = bounds(array.size, self.size)
            if self.rank != src:
                source = look(src, 0)
                source.copy(array[: cuts[self.rank]])
                source.copy(array[cuts[self.rank + 1] :], cuts[self.rank + 1])
                return
            for rank in self._ranks:
                if rank != src:
                    look(rank, 0).put(cuts[rank], array[cuts[rank] : cuts[rank + 1]])

        shown, targets = ([array], []) if self.rank == src else ([], [array])
        self._exchange(call, deadline, patient, shown, 1, array.size, array.dtype, take, share, targets)

    def reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, dst: int, op: str) -> None:
        def take(look: Look, low: int, high: int) -> None:
            if self.rank == dst:
                self._combine(array[low:high], [look(r, 0) for r in self._ranks], op)

        def share(look: Look) -> None:
            windows = [look(rank, 0) for rank in self._ranks]
            for low, high in self._blocks(array, bounds(array.size, self.size)):
                blocks = [window.get(low, high) for window in windows]
                reduce_into([blocks[dst]], blocks, op)
                windows[dst].save(low, blocks[dst])

        self._exchange(call, deadline, patient, [array], 1, array.size, array.dtype, take, share)

    def all_gather(
        self, call: Call, deadline: Deadline, patient: bool, outputs: Sequence[np.ndarray], array: np.ndarray
    ) -> None:
        """In shared memory every rank writes its array to all outputs, piece by piece: so it is read once."""

        def take(look: Look, low: int, high: int) -> None:
            for peer, out in enumerate(outputs):
                look(peer, 0).copy(out[low:high])

        def share(look: Look) -> None:
            rooms = [look(peer, 1 + self.rank) for peer in self._ranks]
            step = PIECE // array.itemsize
            for low in range(0, array.size, step):
                piece = array[low : low + step]
                for room in rooms:
                    room.put(low, piece)

        shared = array.nbytes * self.size > SMALL and all(self._is_shared(out) for out in (array, *outputs))
        targets = outputs if shared else ()
        self._exchange(call, deadline, patient, [array], 1, array.size, array.dtype, take, share, targets, True)

    def gather(
        self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, outputs: Sequence[np.ndarray], dst: int
    ) -> None:
        """outputs: n arrays on rank `dst`, none elsewhere. Every rank writes its own there."""

        def take(look: Look, low: int, high: int) -> None:
            for peer, out in enumerate(outputs):
                if peer == dst:
                    copy_in_pieces(out[low:high], array[low:high])
                else:
                    look(peer, 0).copy(out[low:high])

        def share(look: Look) -> None:
            look(dst, self.rank).put(0, array)

        shown, targets = ([], outputs) if self.rank == dst else ([array], [])
        self._exchange(call, deadline, patient, shown, 1, array.size, array.dtype, take, share, targets)

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

    def leave(self, words: str = "") -> None:
        """Tell the others that this rank will not take part again; `words` say why, if something failed."""
        self.board.leave(words)

    def close(self) -> None:
        """Let go of the shared memory."""
        self.board.close()

    def _blocks(self, array: np.ndarray, cuts: list[int], whole: bool = False) -> list[tuple[int, int]]:
        """The blocks of this rank's slice of all ranks' arrays like `array`; `whole`: all of it is one."""
        low, high = cuts[self.rank : self.rank + 2]
        step = max(high - low, 1) if whole else block_length(array.dtype, self.size)
        return [(at, min(at + step, high)) for at in range(low, high, step)]

    @staticmethod
    def _combine(out: np.ndarray, sources: Sequence[Window | DistantWindow], op: str) -> None:
        """Reduce what the windows show into `out`, block by block."""
        step = block_length(out.dtype, len(sources))
        for low in range(0, out.size, step):
            block = out[low : low + step]
            reduce_into([block], [source.get(low, low + block.size) for source in sources], op)
