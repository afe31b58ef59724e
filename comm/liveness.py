"""Who is gone: heartbeats through the store, processes of this host that end, and the launcher's notices.

A Monitor is one thread per process. What it finds is raised by `check`, which every wait of a group calls.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable

import msgpack

from . import clock
from .errors import PeerLost, StoreError
from .store import PrefixStore, Store

HEARTBEAT_LIMIT = 5.0  # seconds of silence after which a rank counts as lost
BEAT = 0.25  # seconds between two beats, which also bounds how late a notice is heard
NOTICES = "disttorch/deaths"
STORE_TIMEOUT = 2.0  # seconds that one request of the monitor may take


def notify_death(store: Store, rank: int, reason: str) -> None:
    """Tell every group made on `store` (or on a PrefixStore over it) that `rank` is dead; `reason` is shown to people.

    For the launcher, which learns of a worker's end before its peers do.
    """
    _base(store).append(NOTICES, msgpack.packb([rank, reason[:2000]]))


def _base(store: Store) -> Store:
    while isinstance(store, PrefixStore):
        store = store.store
    return store


class Monitor:
    """Watches the other ranks of one world.

    store: where this world beats, already separate from other worlds; hosts, pids: of every rank (pid 0: on another
    host); limit: seconds of silence; last_op: tells what this rank does, for its peers' error messages.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        hosts: list[str],
        pids: list[int],
        limit: float = HEARTBEAT_LIMIT,
        last_op: Callable[[], str] = str,
    ):
        self._shared, self._quick = store, store.fresh(STORE_TIMEOUT)
        self.rank, self.hosts, self.pids, self.limit = rank, hosts, pids, limit
        self.lost: PeerLost | None = None
        self.on_loss: Callable[[], None] = lambda: None
        self._last_op = last_op
        self._seen = {peer: (b"", clock.now()) for peer in range(len(hosts)) if peer != rank}
        self._left: set[int] = set()
        self._processes = {self._open(pid): peer for peer, pid in enumerate(pids) if pid and peer != rank}
        self._wake_read, self._wake_write = os.pipe()
        self._notices = _base(self._quick)
        self._known = self._read_notices() if self._notices.check([NOTICES]) else 0
        self._quick.set(f"beat/{rank}", b"\x90")
        self._store_answered = clock.now()
        self._stop = False
        self._thread = clock.spawn(self._run, f"liveness:{rank}")

    def check(self) -> None:
        """Raise PeerLost if a rank is known to be gone."""
        if self.lost is not None:
            raise PeerLost(*self.lost.args)

    def close(self) -> None:
        """Stop watching, and tell the others that this silence is meant. Idempotent."""
        if self._stop:
            return
        self._stop = True
        os.write(self._wake_write, b"x")
        self._thread.join()
        for fd in [*self._processes, self._wake_read, self._wake_write]:
            os.close(fd)
        if self._notices is not _base(self._shared):
            self._notices.close()

    @staticmethod
    def _open(pid: int) -> int:
        return os.pidfd_open(pid)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        for fd in self._processes:
            poll.register(fd, select.POLLIN)
        number = 0
        while not self._stop:
            number += 1
            ended = [self._processes[fd] for fd, _ in poll.poll(BEAT * 1000) if fd in self._processes]
            for fd, peer in self._processes.items():
                if peer in ended:
                    poll.unregister(fd)
            try:
                self._beat(number)
                self._store_answered = clock.now()
            except StoreError as error:
                silent = clock.now() - self._store_answered
                if silent > self.limit and not self._stop:
                    self._report(PeerLost(0, self.hosts[0], silent, "", f"the store it serves is gone ({error})"))
            for peer in ended:
                if peer not in self._left:
                    self._report(PeerLost(peer, self.hosts[peer], 0.0, self._said(peer), "its process ended"))
        self._say_goodbye()

    def _beat(self, number: int) -> None:
        self._quick.set(f"beat/{self.rank}", msgpack.packb([number, self._last_op()]))
        peers = [peer for peer in self._seen if peer not in self._left]
        if self._notices.check([NOTICES]):
            self._read_notices()
        beats = self._quick.multi_get([f"beat/{peer}" for peer in peers], STORE_TIMEOUT)
        now = clock.now()
        for peer, beat in zip(peers, beats, strict=True):
            if beat == b"left":
                self._left.add(peer)
            elif beat != self._seen[peer][0]:
                self._seen[peer] = (beat, now)
            elif (silent := now - self._seen[peer][1]) > self.limit:
                self._report(PeerLost(peer, self.hosts[peer], silent, self._said(peer), "no heartbeat"))

    def _said(self, peer: int) -> str:
        beat = self._seen[peer][0]
        return msgpack.unpackb(beat)[1] if beat not in (b"", b"\x90") else ""

    def _read_notices(self) -> int:
        log = self._notices.get(NOTICES, STORE_TIMEOUT)
        unpacker = msgpack.Unpacker()
        unpacker.feed(log)
        notices = list(unpacker)
        for rank, reason in notices[getattr(self, "_known", len(notices)) :]:
            if rank != self.rank and 0 <= rank < len(self.hosts):
                silent = clock.now() - self._seen[rank][1]
                self._report(PeerLost(rank, self.hosts[rank], silent, self._said(rank), reason))
        self._known = len(notices)
        return self._known

    def _report(self, lost: PeerLost) -> None:
        if self.lost is None:
            self.lost = lost
            self.on_loss()

    def _say_goodbye(self) -> None:
        try:
            self._quick.multi_get([f"beat/{self.rank}"], 0.1)
            self._quick.set(f"beat/{self.rank}", b"left")
        except StoreError:
            pass  # the store went first: nobody is left to tell
