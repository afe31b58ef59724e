"""One array copied by two processes: its receiver begins at the front, its sender, while it waits, at the back.

They share a few words of memory for each direction. The receiver shows where the array shall go; then each claims piece
after piece. A claim counts if, after it was written, the other's words show that both together do not claim more than
there is. Between writing and looking lies an atomic instruction, so that of two claims of one piece at least one is
withdrawn. The sender withdraws for good; the receiver waits until the sender has no claim open, and copies the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import clock
from .board import LINE, Where
from .errors import CommError
from .fences import Fence, light_fence
from .windows import DistantWindow, Window

PIECE = 512 << 10  # bytes claimed at a time
Source = Window | DistantWindow
# Words of 8 bytes. The receiver writes the first line: which array is offered (0: none), how many pieces it has
# claimed, where the array goes to (four words). The sender writes the second: how many it has claimed, and copied.
OFFER, FRONT, WHERE = 0, 1, 2
BACK, DONE = LINE // 8, LINE // 8 + 1
SIZE = 2 * LINE  # bytes


class Halves:
    """The words of one direction, at `start` (in words) of `words`, as its sender or its receiver sees them."""

    def __init__(self, words: memoryview, start: int):
        self._words, self._start = words, start
        self._fence, self._settle, self._helping = Fence(), light_fence(), clock.Lock()
        self._helped: int | None = 0  # the array that the sender helped with last

    def _get(self, name: int) -> int:
        return self._words[self._start + name]

    def _set(self, name: int, value: int) -> None:
        self._words[self._start + name] = value

    def _claim(self, name: int, count: int) -> None:
        self._settle()  # what was written before is out before the claim
        self._set(name, count)
        self._fence()  # the claim is out before the other's are looked at

    def receive(
        self,
        number: int,
        source: Source,
        out: np.ndarray,
        where: Where,
        ring: Callable,
        pause: Callable,
    ) -> None:
        """Fill `out`, which the sender finds at `where`, from `source`.

        number: of the array among all that are ever received here; ring: called once it is offered; pause: called
        while the sender copies, raises if it will not end.
        """
        pieces = -(-out.size // PIECE)
        for name in (FRONT, BACK, DONE):
            self._set(name, 0)
        for name, value in enumerate(where, WHERE):
            self._set(name, value)
        self._claim(OFFER, number)
        ring()
        front = 0
        while front < pieces:
            self._claim(FRONT, front + 1)
            if front + 1 + self._get(BACK) > pieces:
                break
            source.copy(out[front * PIECE : (front + 1) * PIECE], front * PIECE)
            front += 1
        self._claim(FRONT, pieces)
        while self._get(DONE) != (back := self._get(BACK)):
            pause()
        self._settle()  # what the sender has copied is read after its word
        self._set(OFFER, 0)
        rest = out[front * PIECE : (pieces - back) * PIECE]
        if rest.size:
            source.copy(rest, front * PIECE)

    def wanted(self, number: int | None) -> bool:
        """True if the receiver is at array `number`, and `help` with that may be called."""
        return number is not None and self._get(OFFER) == number != self._helped

    def help(self, number: int | None, window: Callable[[Where], Source], array: np.ndarray) -> None:
        """Copy pieces of `array` to where its receiver wants them, as long as that has not claimed them.

        window: makes one on the receiver's array from its place.
        """
        pieces = -(-array.size // PIECE)
        with self._helping:
            if not self.wanted(number):
                return
            self._helped = number
            for back in range(pieces):
                self._claim(BACK, back + 1)
                # the offer last: if it still stands, what was read before belongs to it
                if self._get(FRONT) + back + 1 > pieces or self._get(OFFER) != number:
                    self._set(BACK, back)
                    return
                self._settle()  # where it goes is read after the offer
                low = (pieces - 1 - back) * PIECE
                where = self._get(WHERE), self._get(WHERE + 1), self._get(WHERE + 2), self._get(WHERE + 3)
                try:
                    window(where).put(low, array[low : low + PIECE])
                except CommError:  # it is gone, which whoever waits for it will be told
                    self._set(BACK, back)
                    return
                self._settle()  # the piece is out before the word that it is
                self._set(DONE, back + 1)
