"""Ranks that share memory show one another their arrays: where each lies, and windows on all of them.

An array that the others can reach in place (`Group.allocate`; any array, where the kernel lets ranks reach one
another's memory) is shown there; any other, and any short one, goes through the staging areas, a slice after the other.
All arrays here are flat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from disttorch.kernels.blas import address

from .board import LISTED, NOWHERE, STAGE, STAGED, Board, Where
from .call import Call, check_same, check_sizes, describe
from .clock import Deadline
from .windows import DistantWindow, Window

SMALL = 256 << 10  # bytes of all ranks' arrays up to which each rank sums everything itself: one meeting, not two
ROW = 5  # numbers that tell where a listed part lies: its `Where`, and its elements
Look = Callable[[int, int], Window | DistantWindow]  # (rank, part) -> a window on the rank's part


class Showing:
    """What a rank shows and sees on one board."""

    def __init__(self, board: Board):
        self.board, self.rank, self.size = board, board.rank, board.size
        self._ranks = range(board.size)
        self._heard: list[tuple[bytes, bytes]] = []  # every rank's last call: fingerprint and place

    def last_operation(self, peer: int) -> str:
        """What `peer` is last known to have called."""
        return describe(*self._heard[peer]) if self._heard else ""

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
        share: Callable[[Look], None] | None = None,
        targets: Sequence[np.ndarray] = (),
        together: bool = False,
    ) -> None:
        """Show `parts` (n_parts arrays of `count` elements, or none) and let `take` read everybody's.

        take(look, low, high) reads elements low to high, which look(rank, part) shows. Where sizes differ, `count` is
        a list: of what this rank sends to each, then of what it expects of each. A staging area begins with these
        sizes and a table of the places where parts lie; then come parts.

        share(look) is called instead where every rank's arrays can be reached in place, and may write, too: to the
        `targets` that ranks show, after their parts if they have any. `together`: only where all ranks show targets.
        """
        board, sizes = self.board, [] if isinstance(count, int) else count
        lead = -(-(len(sizes) + ROW * n_parts) * 8 // 64) * 64
        step = (STAGE - lead) // (dtype.itemsize * n_parts)
        shown = [*parts, *targets]
        table = self._places(shown) if sum(part.nbytes for part in parts or targets) * self.size > SMALL else None
        board.turn()
        notes = [*sizes]
        if not parts and not table:
            mine: Where = (NOWHERE, 0, 0, 0)
        elif table is None:
            mine = (STAGED, 0, 0, 0)
            self._stage([part[:step] for part in parts], step, lead)
        elif len(shown) == 1:
            mine = table[0]
        else:
            mine = (LISTED, 0, 0, 0)
            for place, part in zip(table, shown, strict=True):
                notes += (*place, part.size)
        if notes:
            board.note(notes)
        places = self._meet(call, deadline, patient, mine)
        begin = len(sizes)
        rows: dict[tuple[int, int], list[int]] = {}  # of tables, as read in the first step: later ones turn the slot
        if not isinstance(count, int):
            count = check_sizes([board.noted(rank, 0, begin) for rank in self._ranks], self.last_operation)
        serials = {place[0] for place in places}
        if STAGED not in serials:
            step = max(count, 1)

        def look(rank: int, part: int) -> Window | DistantWindow:
            if rank == self.rank:
                return Window(shown[part][low:high])
            if places[rank][0] == STAGED:
                return Window(board.staging(rank, dtype, high - low, lead + part * step * dtype.itemsize))
            if places[rank][0] != LISTED:
                return board.window(rank, places[rank], dtype, low, high)
            if (rank, part) not in rows:
                at = begin + ROW * part
                rows[rank, part] = board.noted(rank, at, at + ROW)
            serial, fd, nbytes, offset, size = rows[rank, part]
            return board.window(rank, (serial, fd, nbytes, offset), dtype, low, min(high, size))

        if share is not None and (serials == {LISTED} if together else not serials & {STAGED, NOWHERE}):
            low, high = 0, count
            share(look)
            self._meet(None, deadline, patient)
            return
        for low in range(0, max(count, 1), step):
            if low:
                board.turn()
                if table is None:
                    self._stage([part[low : low + step] for part in parts], step, lead)
                self._meet(None, deadline, patient)
            high = min(low + step, count)
            take(look, low, high)
        if mine[0] not in (STAGED, NOWHERE):
            self._meet(None, deadline, patient)  # nobody may change what it shows before everyone has read it
        elif serials - {STAGED, NOWHERE}:
            board.arrive()

    def _window(self, rank: int, place: Where, array: np.ndarray, low: int, high: int) -> Window | DistantWindow:
        """A window on elements low to high of what `rank` shows for its own like of `array`."""
        if rank == self.rank:
            return Window(array[low:high])
        return self.board.window(rank, place, array.dtype, low, high)

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
        return self.board.locate(address(array), array.nbytes)

    def _is_shared(self, array: np.ndarray) -> bool:
        """Whether `array` lies in memory that the others see."""
        return self.board.shared(address(array), array.nbytes) is not None

    def _places(self, parts: Sequence[np.ndarray]) -> list[Where] | None:
        """Where the others reach each of `parts` in place; None if some cannot be reached so."""
        found = [self._locate(part) for part in parts]
        return None if None in found else [place for place in found if place is not None]
