"""The board: memory in which ranks of one host see one another's flags, calls and arrays.

Each rank owns one row and writes only there:

    flag     counts the rank's arrivals; "all flags have reached k" is the k-th barrier
    asleep   not 0 while the rank sleeps until somebody's flag changes
    state    ABSENT, READY or GONE, and its last words: why it left
    reach    1 if the rank may read the memory of all others' processes
    slots    two headers and two staging areas, used in turn: what the rank shows at an arrival

Two slots make one barrier per exchange enough. A rank fills a slot again only at its next arrival but one; everyone has
arrived once in between, and does so only after reading what the slot held before.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn
from weakref import WeakValueDictionary

import numpy as np

from disttorch import cores
from disttorch.kernels.blas import address as address_of

from . import clock
from .errors import CommError, DeadlineExceeded, PeerLost, departed
from .fences import Fence, light_fence
from .memory import HUGE, Segment, can_read, wait_change, wake_all
from .reduction import BLOCK
from .windows import DistantWindow, Window

ABSENT, READY, GONE = 0, 1, 2
LINE = 64  # bytes of a cache line: no two flags share one
WORDS, HEADER = 2048, 1024  # bytes for flag, state and last words; bytes of one header
STAGE = 4 << 20  # bytes of one staging area
ROW = WORDS + 2 * HEADER + 2 * STAGE
ASLEEP, STATE, REACH, LAST_WORDS = LINE, 2 * LINE, 3 * LINE, 4 * LINE
SLICE = 0.05  # seconds asleep between two looks at the deadline and at who is alive
_HEAD = struct.Struct("<HHIIQQ")  # lengths of fingerprint and place; segment serial, descriptor, size, offset
Where = tuple[int, int, int, int]  # segment serial, descriptor, size, offset
VIEWS = 64  # lists of staging views kept for the next call
# Segment serials with a meaning of their own: nothing is shown; it is in the staging area; a table of places is in the
# staging area; it is in the rank's own memory, at the address that `offset` is.
NOWHERE, STAGED, LISTED, DISTANT = 0, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD

# How often a rank that waits looks again at once before it sleeps: some 250 microseconds alone (sleeping and waking
# cost 10 to 100), hardly where ranks share cores or an interpreter, and whoever is awaited needs this one.
SPINS_ALONE, SPINS_CROWDED = 4000, 5
YIELDS = 300  # looks of a rank that shares its core, each after giving way to whoever is awaited


class Board:
    """One rank's view of the rows of all `size` ranks.

    memory: holds `size` rows; watch: called while waiting, raises if somebody is known to be gone; pids: each rank's
    process, none where all ranks are threads of this one; names: the ranks' numbers in errors, where the board
    serves a part of a group.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        memory: Segment,
        watch: Callable[[], None],
        pids: list[int],
        names: list[int] | None = None,
    ):
        self.names = names or list(range(size))
        self.rank, self.size, self.memory, self.watch, self.pids = rank, size, memory, watch, pids
        self._bytes = memory.bytes.data
        self._words = self._bytes.cast("Q")
        self._flags = [row * (ROW // 8) for row in range(size)]
        self._others = [peer for peer in range(size) if peer != rank]
        self._sleepers = [self._flags[peer] + ASLEEP // 8 for peer in self._others]
        self._fence, self._settle = Fence(), light_fence()
        self._mine = rank * ROW
        self._arrivals, self._slot = 0, 0
        self._segments: dict[
            tuple[int, int], Segment
        ] = {}  # (rank, serial) -> a peer's segment, mapped when first named
        self._owned: dict[int, Segment] = {}  # serial -> own segment
        self._views: dict[tuple[int, np.dtype, int], list[np.ndarray]] = {}
        self._serial = 0
        crowded = size > cores.on_machine() or not pids
        self._spins = SPINS_CROWDED if crowded else SPINS_ALONE
        self._yields = YIELDS if crowded and pids else 0
        self._scratch: dict[int, np.ndarray] = {}  # rank -> room for what is read out of its process
        self._open = False
        others = [pid for peer, pid in enumerate(pids) if peer != rank]
        self._words[(self._mine + REACH) // 8] = int(all(map(can_read, others)))
        self._words[(self._mine + STATE) // 8] = READY

    # Showing things

    def show(self, fingerprint: bytes = b"", place: bytes = b"", where: Where = (0, 0, 0, 0)) -> bytes:
        """Fill this rank's slot for the next arrival: its call, and where its data lie (see `locate`).

        Returns what is written there, for `shows`.
        """
        header = _HEAD.pack(len(fingerprint), len(place), *where) + fingerprint + place
        at = self._header(self.rank)
        self._bytes[at : at + len(header)] = header
        return header

    def shows(self, rank: int, header: bytes) -> bool:
        """True if what `rank` shows at the current arrival is `header`."""
        at = self._header(rank)
        return bytes(self._bytes[at : at + len(header)]) == header

    def turn(self) -> None:
        """Take the other slot: call before staging or showing anything for the next arrival."""
        self._slot ^= 1

    def staging(self, rank: int, dtype: np.dtype, count: int, offset: int = 0) -> np.ndarray:
        """`count` elements of the staging area that `rank` shows at the current arrival."""
        start = self._staged(rank) + offset
        return self.memory.bytes[start : start + count * dtype.itemsize].view(dtype)

    def all_staging(self, dtype: np.dtype, count: int) -> list[np.ndarray]:
        """`staging` of every rank."""
        key = (self._slot, dtype, count)
        views = self._views.get(key)
        if views is None:
            if len(self._views) >= VIEWS:
                self._views.clear()
            views = self._views[key] = [self.staging(rank, dtype, count) for rank in range(self.size)]
        return views

    def note(self, numbers: Sequence[int]) -> None:
        """Write `numbers`, none negative, to the beginning of this rank's staging area, for the next arrival."""
        start = self._staged(self.rank) // 8
        self._words[start : start + len(numbers)] = array("Q", numbers)

    def noted(self, rank: int, start: int, stop: int) -> list[int]:
        """Numbers `start` to `stop` of what `rank` has noted for the current arrival."""
        at = self._staged(rank) // 8
        return self._words[at + start : at + stop].tolist()

    def shown(self, rank: int) -> tuple[bytes, bytes, Where]:
        """What `rank` shows at the current arrival: fingerprint, place, where."""
        at = self._header(rank)
        length, more, *where = _HEAD.unpack_from(self._bytes, at)
        at += _HEAD.size
        return bytes(self._bytes[at : at + length]), bytes(self._bytes[at + length : at + length + more]), tuple(where)

    def _staged(self, rank: int) -> int:
        return rank * ROW + WORDS + 2 * HEADER + self._slot * STAGE

    def _header(self, rank: int) -> int:
        return rank * ROW + WORDS + self._slot * HEADER

    # Meeting

    def arrive(self) -> None:
        """Be one of those who have arrived, and go on: for who has read all that it wants, and shows nothing in place.

        The others may still be reading its slot, which it fills again only after their next arrival.
        """
        self._arrivals = target = self._arrivals + 1
        words = self._words
        self._settle()  # what this rank shows is out before its flag
        words[self._mine // 8] = target
        self._fence()  # the flag is out before the sleepers are looked for
        for sleeper in self._sleepers:
            if words[sleeper]:
                wake_all(self.memory.address + self._mine)
                break

    def meet(self, deadline: clock.Deadline, patient: bool = False) -> None:
        """Arrive, and wait until everyone has. `patient`: sleep at once, another thread of this process may be busy.

        Raises PeerLost, GroupClosed or DeadlineExceeded.
        """
        self.arrive()
        words, target = self._words, self._arrivals
        for peer in self._others:
            flag = self._flags[peer]
            if words[flag] < target and (patient or not self._spin(flag, target)):
                words[(self._mine + ASLEEP) // 8] = 1
                try:
                    self._sleep_until(peer, target, deadline)
                finally:
                    words[(self._mine + ASLEEP) // 8] = 0
        self._settle()  # what the others show is read after their flags

    def looks(self, cost: int = 1) -> Iterator[None]:
        """As many turns as a rank looks again before it sleeps. cost: of one of its looks, in looks at a flag."""
        for _ in range(self._spins // cost):
            yield
        for _ in range(self._yields):
            clock.give_way()
            yield

    def _spin(self, flag: int, target: int) -> bool:
        """True once the flag has reached `target`, False if that takes long."""
        words = self._words
        for _ in self.looks():  # noqa: SIM110 - one generator more would make a look take longer
            if words[flag] >= target:
                return True
        return False

    def _sleep_until(self, peer: int, target: int, deadline: clock.Deadline) -> None:
        words, flag = self._words, self._flags[peer]
        while (seen := words[flag]) < target:
            left = self.departed(peer)
            if left is not None and words[flag] < target:
                self.watch()  # who is known to be dead explains more than who left because of it
                raise left
            self.watch()
            for other in self._others:
                if (failed := self.departed(other, only_failed=True)) is not None:
                    raise failed  # it has arrived, and given up since
            try:
                deadline.check()
            except DeadlineExceeded:
                missing = tuple(f"rank {self.names[r]}" for r in self._others if words[self._flags[r]] < target)
                raise DeadlineExceeded(str(deadline.what), deadline.limit, missing) from None
            wait_change(self.memory.address + peer * ROW, seen, deadline.remaining(SLICE))

    def departed(self, peer: int, only_failed: bool = False) -> CommError | None:
        """The error that tells why `peer` will not arrive again; None while it may, and (`only_failed`) if it has
        merely closed the group.
        """
        state = self._words[self._flags[peer] + STATE // 8]
        if state < GONE:
            return None
        self._settle()
        start = peer * ROW + LAST_WORDS
        words = bytes(self._bytes[start : start + WORDS - LAST_WORDS]).split(b"\0", 1)[0].decode(errors="replace")
        return None if only_failed and not words else departed(self.names[peer], words)

    def leave(self, words: str = "") -> None:
        """Tell the others that this rank will not arrive again; `words` say why, if something failed."""
        text = words.encode()[: WORDS - LAST_WORDS - 1].decode(errors="ignore").encode()
        start = self._mine + LAST_WORDS
        state = (self._mine + STATE) // 8
        if self._words[state] == READY:
            self._bytes[start : start + len(text)] = text
            self._settle()
            self._words[state] = GONE
            wake_all(self.memory.address + self._mine)

    # Zero copy

    def allocate(self, nbytes: int) -> np.ndarray:
        """Zeroed bytes that the other ranks can see in place."""
        segment = Segment.create(nbytes)
        if segment.size >= HUGE:
            segment.join_pages()
        self._serial += 1
        self._owned[self._serial] = segment
        return segment.bytes[:nbytes]

    def locate(self, address: int, nbytes: int) -> Where | None:
        """Where the others find the bytes at `address`, or None if they cannot."""
        return self.shared(address, nbytes) or ((DISTANT, 0, 0, address) if self.open() else None)

    def shared(self, address: int, nbytes: int) -> Where | None:
        """Where the others find the bytes at `address` in memory that they see, or None if these lie elsewhere."""
        for serial, segment in list(self._owned.items()):  # to which another thread may add
            offset = address - segment.address
            if offset >= 0 and offset + nbytes <= segment.size:
                return serial, segment.fd or 0, segment.size, offset
        return None

    def lasting(self, address: int, nbytes: int) -> Where | None:
        """Like `shared`, for memory that stays as long as somebody holds what `resolve` made of it."""
        return self.shared(address, nbytes)

    def open(self) -> bool:
        """True if all ranks may read one another's memory. May change to True until all boards are made."""
        if not self._open:
            self._open = all(self._words[flag + REACH // 8] for flag in self._flags)
        return self._open

    def resolve(self, rank: int, where: Where, dtype: np.dtype, low: int, high: int) -> np.ndarray:
        """Elements low to high of what `rank` shows in a segment at `where`."""
        serial, fd, size, offset = where
        segment = self._owned[serial] if rank == self.rank else self._segments.get((rank, serial))
        if segment is None:
            try:
                segment = self._segments[rank, serial] = Segment.attach(self.pids[rank], fd, size)
            except OSError as error:
                self._lost(rank, error)
        return np.ndarray((high - low,), dtype, segment.bytes, offset + low * dtype.itemsize)

    def window(self, rank: int, where: Where, dtype: np.dtype, low: int, high: int) -> Window | DistantWindow:
        """A window on elements low to high of what `rank` shows at `where`, in a segment or in its own memory."""
        if where[0] != DISTANT:
            return Window(self.resolve(rank, where, dtype, low, high))
        return self.distant(rank, where[3] + low * dtype.itemsize, dtype, high - low)

    def distant(self, rank: int, address: int, dtype: np.dtype, count: int) -> DistantWindow:
        """A window on `count` elements at `address` in `rank`'s process."""
        scratch = self._scratch.get(rank)
        if scratch is None:
            scratch = self._scratch[rank] = np.empty(BLOCK, np.uint8)
        return DistantWindow(self.pids[rank], address, dtype, count, scratch, lambda error: self._lost(rank, error))

    def _lost(self, rank: int, error: OSError) -> NoReturn:
        """`rank`'s memory cannot be reached: say why."""
        self.watch()
        raise self.departed(rank) or PeerLost(
            self.names[rank], "this host", 0.0, "", f"its memory cannot be opened: {error}"
        ) from None

    def close(self) -> None:
        """Leave, and let go of all memory."""
        self.leave()
        for segment in [*self._owned.values(), *self._segments.values()]:
            segment.close()
        self._owned, self._segments, self._views = {}, {}, {}


class ThreadBoard(Board):
    """A board whose ranks are threads of this process: any array can be shown in place, by its address.

    coming: tells why a rank that has not made its board yet never will; None while it may.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        memory: Segment,
        watch: Callable[[], None],
        coming: Callable[[int], CommError | None] = lambda rank: None,
    ):
        super().__init__(rank, size, memory, watch, [])
        self._coming = coming

    def departed(self, peer: int, only_failed: bool = False) -> CommError | None:
        if self._absent(peer) and (left := self._coming(peer)) is not None and self._absent(peer):
            return left
        return super().departed(peer, only_failed)

    def _absent(self, peer: int) -> bool:
        return self._words[self._flags[peer] + STATE // 8] == ABSENT

    def allocate(self, nbytes: int) -> np.ndarray:
        block = np.zeros(nbytes, np.uint8)
        _allocated[address_of(block)] = block
        return block

    def shared(self, address: int, nbytes: int) -> Where | None:
        return 1, 0, nbytes, address

    def lasting(self, address: int, nbytes: int) -> Where | None:
        return self.shared(address, nbytes) if _part(address, nbytes) is not None else None

    def resolve(self, rank: int, where: Where, dtype: np.dtype, low: int, high: int) -> np.ndarray:
        from ctypes import c_uint8

        start, nbytes = where[3] + low * dtype.itemsize, (high - low) * dtype.itemsize
        part = _part(start, nbytes)
        if part is None:
            part = np.ctypeslib.as_array((c_uint8 * nbytes).from_address(start))
        return part.view(dtype)


_allocated: WeakValueDictionary[int, np.ndarray] = WeakValueDictionary()  # by address: blocks of ranks that are threads


def _part(address: int, nbytes: int) -> np.ndarray | None:
    """The bytes at `address` of one of these blocks, which they keep alive; None if they lie elsewhere."""
    for ref in _allocated.valuerefs():  # a list: another thread may allocate meanwhile
        block = ref()
        if block is not None and 0 <= (start := address - address_of(block)) <= block.nbytes - nbytes:
            return block[start : start + nbytes]
    return None


def board_size(size: int) -> int:
    """Bytes of the memory of a board of `size` ranks."""
    return size * ROW
