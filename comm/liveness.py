"""Who is gone: heartbeats through the store, processes of this host that end, and the launcher's notices.

A Monitor is one thread per process. What it finds is raised by `check`, which every wait of a group calls. Each rank
listens to a few others only, and whoever misses one tells all: a beat costs the store as much however many ranks there
are.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Mapping
from itertools import islice

import msgpack

from . import clock
from .deadlock import Detector, State
from .errors import Deadlock, PeerLost, StoreError
from .patience import Patience
from .store import Store, rooted

HEARTBEAT_LIMIT = 5.0  # seconds of silence after which a rank counts as lost
HEARTBEAT_VARIABLE = "DISTTORCH_HEARTBEAT_LIMIT"  # sets another limit for the whole program
BEAT = 0.25  # seconds between two beats, which also bounds how late a notice is heard; less where the limit is short
BEATS = 20  # at least so many in the time of the limit
MARGIN = 5  # beats by which silence is noticed before the limit, so that everyone knows by then
HEARD = 4 * BEAT  # seconds in which all others read in a store who is lost, before it goes with the rank that serves it
WATCHED = 3  # how many of the ranks behind it, of those that are still there, each rank listens to
LOOKERS = 4  # about so many of the ranks that wait look with each beat whether all do
NOTICES = "disttorch/deaths"
ANSWER = 1.0  # seconds that the store may take to answer while ranks come together
LOOK = 0.01  # seconds between two looks at who has left, while this rank waits for that
HURRY = 0.4  # seconds that the store may take to answer where somebody waits for it


def heartbeat_limit(environ: Mapping[str, str] = os.environ) -> float:
    """Seconds of silence after which a rank counts as lost. Raises ValueError unless what is set is at least 1."""
    text = environ.get(HEARTBEAT_VARIABLE, str(HEARTBEAT_LIMIT))
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not limit >= 1:
        raise ValueError(f"{HEARTBEAT_VARIABLE} must be a number of seconds, at least 1, got {text!r}")
    return limit


def known_silence(limit: float) -> float:
    """Seconds of silence after which who knows its reason must tell it: just before the others miss the rank."""
    return limit - (MARGIN + 2) * min(BEAT, limit / BEATS)


def notify_death(store: Store, rank: int, reason: str) -> None:
    """Tell every group made on `store` (or on a PrefixStore over it) that `rank` is dead; `reason` is shown to people.

    For the launcher, which learns of a worker's end before its peers do.
    """
    base, _ = rooted(store)
    base.append(NOTICES, msgpack.packb([rank, reason[:2000]]))


def forget_deaths(store: Store) -> None:
    """Take all notices back: the ranks are started again."""
    base, _ = rooted(store)
    base.delete_key(NOTICES)


def quick_store(store: Store, limit: float = HEARTBEAT_LIMIT) -> Store:
    """The store below all PrefixStores, over a connection on which nobody waits for keys.

    limit: seconds in which the connection must be there: one that is lost on the way is asked for again after a second.
    """
    base, _ = rooted(store)
    quick = base.fresh(limit)
    if quick is not base:
        quick.patience = ANSWER
    return quick


def check_notices(quick: Store, rank: int, size: int) -> None:
    """Raise PeerLost if the launcher has said that another of the `size` ranks is dead."""
    for dead, reason in _unpacked(quick.get(NOTICES)) if quick.check([NOTICES]) else []:
        if dead != rank and dead < size:
            raise PeerLost(dead, "?", 0.0, "joining the group", reason)


class Monitor:
    """Watches the other ranks of one world.

    store: where this world beats, already separate from other worlds; quick: for the Monitor's use alone, the same
    without prefixes (see `quick_store`); hosts, pids: of every rank (pid 0: on another host); limit: seconds of
    silence; last_op: tells what this rank does, for its peers' error messages; look: tells what all of its threads wait
    for, or where it is; pause: see `Detector`.
    """

    def __init__(
        self,
        store: Store,
        quick: Store,
        rank: int,
        hosts: list[str],
        pids: list[int],
        limit: float = HEARTBEAT_LIMIT,
        last_op: Callable[[], str] = str,
        look: Callable[[], State | str] = str,
        pause: float = 0.0,
    ):
        base, self._prefix = rooted(store)
        self.rank, self.hosts, self.limit = rank, hosts, limit
        self.lost: PeerLost | None = None
        self._deadlock: dict[int, str] | None = None  # what each rank waits for, all forever
        self._detector, self._waits = Detector(pause), Patience(rank, hosts)
        self._last_op, self._look = last_op, look
        self._beat = min(BEAT, limit / BEATS)
        self._patience = limit - MARGIN * self._beat  # seconds of silence after which a rank is missed
        self._store_patience = self._patience - 2 * self._beat  # an attempt at it may take as long again
        self._store, self._owned = quick, quick is not base
        started = clock.now()
        self._answered = started  # when the store answered last
        self._heard = {peer: (b"", started) for peer in range(len(hosts)) if peer != rank}  # last beat, and when
        self._left: set[int] = set()
        self._processes = {os.pidfd_open(pid): peer for peer, pid in enumerate(pids) if pid and peer != rank}
        self._wake_read, self._wake_write = os.pipe()
        self._stop = self._leaving = False
        self._out_of_reach: tuple[int, str] | None = None  # a rank, and how its connection with this one failed
        self._looks: list[Callable[[], bool]] = []
        self._silent_store = False  # whether it did not answer the last time
        self._all_left, self._enough = clock.Event(), clock.Event()  # but for the lost one; or one is lost
        self._turn(0)
        self._thread = clock.spawn(self._run, f"liveness:{rank}")

    def check(self) -> None:
        """Raise PeerLost if a rank is known to be gone, Deadlock if all are known to wait for one another."""
        if self.lost is not None:
            raise PeerLost(*self.lost.__reduce__()[1])
        if self._deadlock is not None:
            raise Deadlock(self._deadlock)

    def inspect(self, look: Callable[[], bool]) -> None:
        """Call `look` with every beat for as long as it returns True."""
        self._looks.append(look)

    def lose(self, rank: int, how: str) -> None:
        """The connection between `rank` and this one has failed, which `how` says: the next beat tells all. From any
        thread.
        """
        if self._out_of_reach is None:
            self._out_of_reach = rank, how

    def close(self, patience: float = 0.0) -> None:
        """Stop watching, and tell the others that this silence is meant. Idempotent.

        patience: seconds in which the others may leave as well; at most HEARD where one of them is lost.
        """
        if self._stop:
            return
        if patience:
            self._leaving = True
            os.write(self._wake_write, b"x")
            self._enough.wait(patience)
            if self.lost is not None:
                self._all_left.wait(HEARD)
        self._stop = True
        os.write(self._wake_write, b"x")
        self._thread.join()
        for fd in [*self._processes, self._wake_read, self._wake_write]:
            os.close(fd)
        if self._owned:
            self._store.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        for fd in self._processes:
            poll.register(fd, select.POLLIN)
        number = 0
        while not self._stop:
            number += 1
            for fd, _ in poll.poll(1000 * (LOOK if self._leaving else self._beat)):
                if fd == self._wake_read:
                    os.read(fd, 1)
                elif fd in self._processes:
                    poll.unregister(fd)
                    self._note_end(self._processes[fd])
            try:
                self._turn(number)
                self._silent_store = False
            except StoreError as error:
                self._silent_store = True
                self._miss_store(error)
            for look in list(self._looks):
                if not look():
                    self._looks.remove(look)
            self._miss_connection()
            if len(self._left) >= len(self._heard) - (self.lost is not None):
                self._all_left.set()
            if self.lost is not None or self._all_left.is_set():
                self._enough.set()
        self._say_goodbye()

    def _note_end(self, peer: int) -> None:
        """A rank's process has ended: it is lost, unless it took its leave."""
        if not self._has_left(peer):
            with contextlib.suppress(StoreError):
                self._miss(PeerLost(peer, self.hosts[peer], 0.0, self._said(peer), "its process ended"))

    def _turn(self, number: int) -> None:
        """One beat: tell of this rank, and hear of those that it watches and of whom others miss."""
        watched = self._watched()
        state = self._look()
        self._own = LEFT if self._leaving else msgpack.packb([number, self._last_op(), state])
        if self._owned:
            left = self._answered + self._store_patience - clock.now()
            self._store.patience = min(max(left, self._beat) / 4 + self._beat, HURRY)
        notices, lost, deadlocks, *beats = self._tell(
            [NOTICES, f"{self._prefix}lost", f"{self._prefix}deadlock", *map(self._key, watched)]
        )
        now = clock.now()
        pause = now - self._answered - 2 * self._beat
        self._answered = now
        self._read_notices(notices)
        for fields in _unpacked(lost):
            gone = PeerLost(*fields).seen_by(self.rank)
            if gone.rank != self.rank:
                gone.host = self.hosts[gone.rank]
            else:
                gone.reason = "the others heard nothing of it, which is this rank itself, and gave it up"
            self._report(gone)
        for peer, beat in zip(watched, beats, strict=True):
            known, when = self._heard[peer]
            if beat == LEFT:
                self._left.add(peer)
            elif beat != known:
                self._heard[peer] = (beat, now)
            elif pause > self._beat:  # this rank or the store was busy or stopped: the peer may have beaten meanwhile
                self._heard[peer] = (beat, when + pause)
            elif (silent := now - when) > self._patience:
                self._miss(PeerLost(peer, self.hosts[peer], silent, self._said(peer), "no heartbeat"))
        for waits in _unpacked(deadlocks)[:1]:
            self._deadlock = waits
        if isinstance(state, State) and (number + self.rank) % max(1, len(self.hosts) // LOOKERS) == 0:
            self._look_around(number, state)

    def _look_around(self, number: int, state: State) -> None:
        """All threads of this rank wait: perhaps those of all others do, too."""
        beats: dict[int, tuple[int, str, State | str]] = {self.rank: (number, "", state)}
        for peer, beat in zip(self._heard, self._tell([self._key(peer) for peer in self._heard]), strict=True):
            if beat != LEFT:
                beats[peer] = _said(beat)
        word = self._waits.word({rank: (last_op, said) for rank, (_, last_op, said) in beats.items()})
        if word is not None:
            print(f"disttorch: {word}", file=sys.stderr, flush=True)
        waits = self._detector.look({rank: (number, said) for rank, (number, _, said) in beats.items()})
        if waits is not None and self._deadlock is None:
            self._deadlock = waits
            self._store.append(f"{self._prefix}deadlock", msgpack.packb(waits))

    def _tell(self, keys: list[str]) -> list[bytes]:
        """Repeat this rank's beat, and return what the keys hold (b"": nothing)."""
        return self._store.exchange(self._key(self.rank), self._own, keys)

    def _watched(self) -> list[int]:
        """The next ranks behind this one that have not left; all of them while this one waits for their leave."""
        behind = ((self.rank + step) % len(self.hosts) for step in range(1, len(self.hosts)))
        count = len(self.hosts) if self._leaving else WATCHED
        return list(islice((peer for peer in behind if peer not in self._left), count))

    def _key(self, rank: int) -> str:
        return f"{self._prefix}beat/{rank}"

    def _said(self, peer: int) -> str:
        """What `peer` was doing when it was last heard."""
        number, last_op, _ = _said(self._heard[peer][0])
        return last_op if number else ""

    def _has_left(self, peer: int) -> bool:
        """Whether the rank, whose process has ended, took its leave before. It may have served the store: one that has
        just been silent for as long as a beat may wait gets less time, so that both waits together stay well below 1 s.
        """
        if self._owned:
            self._store.patience = HURRY / 4 if self._silent_store else HURRY
        try:
            (beat,) = self._tell([self._key(peer)])
        except StoreError:
            return peer in self._left
        if beat != LEFT:
            self._heard[peer] = (beat, clock.now())
        return beat == LEFT

    def _miss_connection(self) -> None:
        if self._out_of_reach is None or self.lost is not None:
            return
        rank, how = self._out_of_reach
        one, other = (f"rank {end} on host {self.hosts[end]}" for end in sorted((rank, self.rank)))
        how = f"the connection between {one} and {other} {how}"
        with contextlib.suppress(StoreError):
            self._miss(PeerLost(rank, self.hosts[rank], 0.0, self._said(rank), how, self.rank))

    def _miss(self, lost: PeerLost) -> None:
        """Report a rank, to all others as well."""
        if self.lost is None:
            self._report(lost)
            self._store.append(f"{self._prefix}lost", msgpack.packb(lost.fields))

    def _miss_store(self, error: StoreError) -> None:
        silent = clock.now() - self._answered
        if silent > self._store_patience and not self._stop:
            self._report(PeerLost(0, self.hosts[0], silent, "", f"the store that it serves is out of reach ({error})"))

    def _read_notices(self, log: bytes) -> None:
        for rank, reason in _unpacked(log):
            if rank in self._heard:
                silent = clock.now() - self._heard[rank][1]
                self._report(PeerLost(rank, self.hosts[rank], silent, self._said(rank), reason))

    def _report(self, lost: PeerLost) -> None:
        if self.lost is None:
            self.lost = lost

    def _say_goodbye(self) -> None:
        if self._owned:
            self._store.patience = HURRY
        with contextlib.suppress(StoreError):  # the store went first: nobody is left to tell
            self._store.set(self._key(self.rank), LEFT)


LEFT = b"left"


def _said(beat: bytes) -> tuple[int, str, State | str]:
    """The number of a beat (0: there was none), the rank's last operation, and what it waits for or where it is."""
    for number, last_op, said in _unpacked(beat):
        return number, last_op, said if isinstance(said, str) else State.unpacked(said)
    return 0, "", ""


def _unpacked(log: bytes) -> list:
    """The objects that were packed one after another."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(log), 1), strict_map_key=False)
    unpacker.feed(log)
    return list(unpacker)
