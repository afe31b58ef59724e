"""One array copied by two processes: its receiver begins at the front, its sender, while it waits, at the back.

They share a few words of memory for each direction. The receiver shows where the array shall go; then each claims piece
after piece. A claim counts if, after it was written, the other's words show that both together do not claim more than
there is. Between writing and looking lies an atomic instruction, so that of two claims of one piece at least one is
withdrawn. The sender withdraws for good; the receiver waits until the sender has no claim open, and copies the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from disttorch.kernels.blas import address

from . import clock
from .board import LINE
from .memory import write_to
from .windows import DistantWindow

PIECE = 512 << 10  # bytes claimed at a time
# Words of 8 bytes. The receiver writes the first line: which array is offered (0: none), where it goes to, how many
# pieces it has claimed. The sender writes the second: how many it has claimed, and how many it has copied.
OFFER, ADDRESS, FRONT = 0, 1, 2
BACK, DONE = LINE // 8, LINE // 8 + 1
SIZE = 2 * LINE  # bytes


class Halves:
    """The words of one direction, at `start` (in words) of `words`, as its sender or its receiver sees them."""

    def __init__(self, words: memoryview, start: int):
        self._words, self._start = words, start
        self._fence, self._helping = clock.Lock(), clock.Lock()
        self._helped: int | None = 0  # the array that the sender helped with last

    def _get(self, name: int) -> int:
        return self._words[self._start + name]

    def _set(self, name: int, value: int) -> None:
        self._words[self._start + name] = value

    def _claim(self, name: int, count: int) -> None:
        self._set(name, count)
        with self._fence:  # an atomic instruction: the claim is out before the other's are looked at
            pass

    def receive(self, number: int, window: DistantWindow, out: np.ndarray, ring: Callable, pause: Callable) -> None:
        """Fill `out` from the window.

        number: of the array among all that are ever received here; ring: called once it is offered; pause: called
        while the sender copies, raises if it will not end.
        """
        pieces = -(-out.size // PIECE)
        for name in (FRONT, BACK, DONE):
            self._set(name, 0)
        self._set(ADDRESS, address(out))
        self._claim(OFFER, number)
        ring()
        front = 0
        while front < pieces:
            self._claim(FRONT, front + 1)
            if front + 1 + self._get(BACK) > pieces:
                break
            window.copy(out[front * PIECE : (front + 1) * PIECE], front * PIECE)
            front += 1
        self._claim(FRONT, pieces)
        while self._get(DONE) != (back := self._get(BACK)):
            pause()
        self._set(OFFER, 0)
        rest = out[front * PIECE : (pieces - back) * PIECE]
        if rest.size:
            window.copy(rest, front * PIECE)

    def wanted(self, number: int | None) -> bool:
        """True if the receiver is at array `number`, and `help` with that may be called."""
        return number is not None and self._get(OFFER) == number != self._helped

    def help(self, number: int | None, pid: int, array: np.ndarray) -> None:
        """Copy pieces of `array`, which process `pid` receives, as long as it has not claimed them."""
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
                low = (pieces - 1 - back) * PIECE
                try:
                    write_to(pid, self._get(ADDRESS) + low, array[low : low + PIECE])
                except OSError:  # it is gone, which whoever waits for it will be told
                    self._set(BACK, back)
                    return
                self._set(DONE, back + 1)
