"""Bringing ranks together: who is where, which engine joins them, and one group for each of them.

Ranks that are threads of one process meet on a board in its memory; ranks on one host on a board in shared memory;
others exchange messages over tcp.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgpack

from . import clock, liveness, memory, security
from .attendance import Lookout
from .attended import AttendedPointToPoint
from .board import Board, ThreadBoard, board_size
from .deadlock import State
from .direct import DirectEngine
from .errors import CommError, PeerLost, StoreError, StoreTimeout
from .exchange import MessageEngine
from .group import TIMEOUT, Group
from .hierarchy import HierarchicalEngine
from .interfaces import own_address
from .liveness import Monitor
from .memory import Segment
from .p2p import PointToPoint
from .parcels import ParcelMail
from .rings import RingMail, rings_size
from .solo import SoloEngine
from .store import PrefixStore, Store, rooted
from .tcp import TcpMail
from .transport import Mail, Mailbox, SocketMail, ThreadMail
from .wire import TOKEN
from .zeromq import ZmqMail

TRANSPORTS = ("auto", "inproc", "ipc", "tcp")
PAUSE = 0.3  # seconds between two looks at who is alive while the ranks come together
PAUSE_BETWEEN_HOSTS = 1.0  # seconds for which nothing may have come from other ranks where all seem to wait forever
HOST_VARIABLE = "DISTTORCH_HOST_ID"  # overrides what `host_identity` finds, to test several hosts on one


class Card(NamedTuple):
    """What a rank tells the others about itself when they meet."""

    host: str  # name, for people
    identity: str  # equal for ranks that can share memory
    pid: int
    token: bytes  # names the group, rank 0's counts
    addresses: list[str]  # of this rank's mails, once it has some


def host_identity() -> str:
    """Equal for two processes exactly if they can share memory: same kernel, process and network namespace, user."""
    if HOST_VARIABLE in os.environ:
        return os.environ[HOST_VARIABLE]
    if not memory.available():
        return secrets.token_hex(8)
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    return f"{boot}/{os.readlink('/proc/self/ns/pid')}/{os.readlink('/proc/self/ns/net')}/{os.getuid()}"


def connect(
    store: Store,
    rank: int,
    world_size: int,
    *,
    timeout: float = TIMEOUT,
    transport: str = "auto",
    heartbeat_limit: float | None = None,
    secret: bytes | None = None,
    address: str | None = None,
) -> Group:
    """Join the group of `world_size` ranks that meet in `store`, as number `rank`; blocks until all are there.

    store: unused keys (wrap it in a PrefixStore to use one store for several groups); timeout: seconds for every
    operation, and for the others to come; transport: "inproc" (threads), "ipc" (shared memory), "tcp", or "auto", the
    fastest that all ranks can; heartbeat_limit: seconds of silence after which a rank counts as lost (default: 5, or
    DISTTORCH_HEARTBEAT_LIMIT); secret: the job's (default: the environment's), which encrypts tcp between hosts;
    address: where this rank can be reached by tcp.

    Raises DeadlineExceeded naming the ranks that did not come, SecurityError, TypeError, ValueError.
    """
    if transport not in TRANSPORTS:
        raise ValueError(f"transport must be one of {', '.join(TRANSPORTS)}, got {transport!r}")
    if not (isinstance(world_size, int) and world_size >= 1):
        raise ValueError(f"world_size must be a positive int, got {world_size!r}")
    if not (isinstance(rank, int) and 0 <= rank < world_size):
        raise ValueError(f"rank must be between 0 and {world_size - 1}, got {rank!r}")
    if secret is not None and not isinstance(secret, bytes):
        raise TypeError(f"secret must be bytes, got {type(secret).__name__}")
    if world_size == 1:
        return _solo(timeout)
    limit = liveness.heartbeat_limit() if heartbeat_limit is None else heartbeat_limit
    return _Meeting(store, rank, world_size, timeout, transport, limit, secret, address).group()


def inproc_groups(size: int, *, timeout: float = TIMEOUT) -> list[Group]:
    """The groups of `size` ranks that are threads of this process, by rank, without a store."""
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if size == 1:
        return [_solo(timeout)]
    shared = Shared(size)
    return [_thread_group(shared, rank, timeout) for rank in range(size)]


def _solo(timeout: float) -> Group:
    return Group(
        0, 1, [socket.gethostname()], SoloEngine(), None, kind="solo", timeout=timeout,
        split=lambda ranks, number: _solo(timeout),
    )  # fmt: skip


class Shared:
    """What threads of one group share: the board's memory, the mail's queues, and the same for its sub-groups."""

    def __init__(self, size: int):
        self.size = size
        self.memory = Segment(board_size(size))
        self.queues = ThreadMail.queues(size)
        self.lookout = Lookout(size)
        self._children: dict[Any, Shared] = {}
        self._lock = clock.Lock()

    def child(self, number: int | str, ranks: Sequence[int]) -> Shared:
        """The shared things of the sub-group that is made by the number-th split."""
        key = (number, *ranks)
        with self._lock:
            if key not in self._children:
                self._children[key] = Shared(len(ranks))
            return self._children[key]


_SHARED: dict[bytes, Shared] = {}  # by token, while the threads of a group come together
_SHARED_LOCK = clock.Lock()


def _thread_group(
    shared: Shared,
    rank: int,
    timeout: float,
    watch: Callable[[], None] | None = None,
    coming: Callable[[int], CommError | None] = lambda rank: None,
) -> Group:
    """watch, coming: where the group is made from another one."""
    group: Group

    def split(ranks: list[int], number: int | str) -> Group:
        if len(ranks) == 1:
            return _solo(timeout)
        return _thread_group(
            shared.child(number, ranks), ranks.index(rank), timeout, lambda: group.watch(),
            lambda other: group.departed(ranks[other]),
        )  # fmt: skip

    board = ThreadBoard(rank, shared.size, shared.memory, lambda: group.watch(), coming)
    p2p = PointToPoint(rank, shared.size, ThreadMail(rank, shared.queues), lambda: group.watch(), board.departed)
    hosts = [socket.gethostname()] * shared.size
    group = Group(
        rank, shared.size, hosts, DirectEngine(board), p2p, kind="inproc", timeout=timeout,
        watch=watch or shared.lookout.watch, split=split, allocate=board.allocate,
    )  # fmt: skip
    if watch is None:
        shared.lookout.add(rank, group)
    return group


class _Meeting:
    """One rank's way into a group."""

    def __init__(
        self, store, rank, size, timeout, transport, heartbeat_limit, secret, address, origin=None, members=None
    ):
        """origin, members: the meeting of the group that this one is made from, and the ranks' numbers there."""
        self.store, self.rank, self.size, self.timeout, self.transport = store, rank, size, timeout, transport
        self.heartbeat_limit, self.secret, self.address = heartbeat_limit, secret or security.job_secret(), address
        self.parent: Group | None = origin and origin.made
        self.members: list[int] = members or list(range(size))
        self._numbers: list[int] = [origin._numbers[rank] for rank in members] if origin else self.members  # in the job
        self.limit = clock.Deadline(timeout, "meeting the other ranks")
        self.made: Group | None = None
        self._prefix = rooted(store)[1]
        self._undo = contextlib.ExitStack()  # what is to be closed if the ranks do not come together
        self._check: Callable[[], None]  # raises if a rank is known to be gone
        self._monitor: Monitor = origin and origin._monitor
        if self.parent is None:
            self._quick = liveness.quick_store(store, heartbeat_limit)
            self._check = self._check_notices
        else:
            self._check = self.parent.watch

    def group(self) -> Group:
        with self._undo:
            if self.parent is None and self._quick is not rooted(self.store)[0]:
                self._undo.callback(self._quick.close)
            return self._come_together()

    def _come_together(self) -> Group:
        for error in self._departed(range(self.size)):
            raise error
        if self.parent is None and self.transport in ("auto", "ipc"):
            memory.admit_siblings()  # before anybody asks whether it may read this process's memory
        host = socket.gethostname()
        token = secrets.token_bytes(TOKEN)
        self.cards = self._show("who", Card(host, host_identity(), os.getpid(), token, []))
        self.token = self.cards[0].token
        kind = self._choose()
        if kind == "inproc":
            return self._meet_threads()
        if self.parent is None:
            self._monitor = self._watchman()
        here = self._numbers[self.rank]
        engine: Any
        mails: Sequence[Mail]
        departed = allocate = None
        if kind == "ipc":
            board = self._board(list(range(self.size)))
            mails = [RingMail(board)] if board.open() else self._mails("messages")
            engine, allocate, departed = DirectEngine(board), board.allocate, board.departed
        else:
            hosts = self._hosts() if self.transport == "auto" else []
            grouped = 1 < len(hosts) < self.size
            mails = sockets = self._mails("messages", "collectives", *["leaders"] * grouped)
            for mail in sockets[:2]:
                self._look_after(mail, range(self.size))
            everyone = MessageEngine(self.rank, self.size, Mailbox(mails[1], self._watch), here=here)
            engine = self._hierarchy(hosts, sockets[2], everyone) if grouped else everyone
        p2p: PointToPoint
        if isinstance(messages := mails[0], ParcelMail):
            p2p = AttendedPointToPoint(self.rank, self.size, messages, self._watch, departed, here)
        else:
            p2p = PointToPoint(self.rank, self.size, messages, self._watch, departed, here)
        self.made = Group(
            self.rank, self.size, [card.host for card in self.cards], engine, p2p, kind=kind, timeout=self.timeout,
            watch=self._check, split=self._split, allocate=allocate,
            on_close=self._monitor.close if self.parent is None else lambda patience: None,
        )  # fmt: skip
        self._undo.pop_all()
        return self.made

    # Who is there

    def _show(self, what: str, card: Card, ranks: Sequence[int] | None = None) -> list[Card]:
        """Tell the others `card`, and return that of all ranks (of `ranks`) in order."""
        ranks = ranks or range(self.size)
        self.store.set(f"{what}/{self.rank}", msgpack.packb(card))
        return [Card(*msgpack.unpackb(one)) for one in self._await({f"{what}/{peer}": peer for peer in ranks})]

    def _await(self, owners: dict[str, int]) -> list[bytes]:
        """The values of the keys of `owners`, ranks; looks between whiles whether those are alive and may come."""
        answered = clock.now()
        gone: list[CommError] = []
        while True:
            self._watch()
            try:
                return self.store.multi_get(owners, self.limit.remaining(0.0 if gone else PAUSE))
            except StoreTimeout as error:
                missing = [owners[str(key).removeprefix(self._prefix)] for key in error.missing]
                if gone and missing:  # what they said before they left would have been there
                    raise gone[0] from None
                gone = self._departed(missing)
                if self.limit.remaining() == 0:
                    names = tuple(f"rank {self.members[rank]}" for rank in missing)
                    raise StoreTimeout(self.limit.what, self.timeout, names) from error
                if missing:
                    answered = clock.now()
                elif clock.now() - answered > self.heartbeat_limit:
                    self._watch()
                    raise StoreError(f"the store is out of reach while {self.limit.what}: {error}") from None

    def _hosts(self) -> list[list[int]]:
        """The ranks of each host, hosts in the order of their first rank."""
        hosts: dict[str, list[int]] = {}
        for rank, card in enumerate(self.cards):
            hosts.setdefault(card.identity, []).append(rank)
        return list(hosts.values())

    def _choose(self) -> str:
        one_process = len({(card.identity, card.pid) for card in self.cards}) == 1
        one_host = len({card.identity for card in self.cards}) == 1 and memory.available()
        if self.transport == "inproc" and not one_process:
            raise ValueError("transport 'inproc' needs all ranks in one process")
        if self.transport == "ipc" and not one_host:
            raise ValueError("transport 'ipc' needs all ranks on one host, of one user, with shared memory")
        if self.transport != "auto":
            return self.transport
        return "inproc" if one_process else "ipc" if one_host else "tcp"

    def _meet_threads(self) -> Group:
        with _SHARED_LOCK:
            shared = _SHARED.setdefault(self.token, Shared(self.size))
        group = _thread_group(shared, self.rank, self.timeout)
        self._show("here", self.cards[self.rank])
        with _SHARED_LOCK:
            _SHARED.pop(self.token, None)
        return group

    # How they are joined

    def _mails(self, *purposes: str) -> list[SocketMail]:
        """A mail between all ranks for each purpose."""
        local = len({card.identity for card in self.cards}) == 1 and self.address is None
        host = "127.0.0.1" if local else self.address or self._route()
        secret = None if security.is_loopback(host) else self.secret
        if secret is None and not security.is_loopback(host) and not security.insecure():
            raise security.SecurityError(
                f"ranks on several hosts need a common secret: set {security.SECRET_VARIABLE} on all of them "
                f"(or {security.OPEN_VARIABLE}=1, to do without encryption)"
            )
        mails = [self._mail(purpose, host, secret) for purpose in purposes]
        cards = self._show("mail", self.cards[self.rank]._replace(addresses=[mail.address for mail in mails]))
        names = [f"rank {rank} on host {card.host}" for rank, card in enumerate(cards)]
        for index, mail in enumerate(mails):
            mail.meet(self.rank, [card.addresses[index] for card in cards], names)
        return mails

    def _mail(self, purpose: str, host: str, secret: bytes | None) -> SocketMail:
        mail: SocketMail
        if secret is not None:
            mail = ZmqMail(self.rank, self.size, self.token, host, secret, self.heartbeat_limit)
        else:
            made = ParcelMail if purpose == "messages" else TcpMail
            mail = made(self.rank, self.size, self.token, host, self.heartbeat_limit)
        self._undo.callback(mail.close)
        return mail

    def _hierarchy(self, hosts: list[list[int]], mail: SocketMail, everyone: MessageEngine) -> HierarchicalEngine:
        mine = next(ranks for ranks in hosts if self.rank in ranks)
        local = DirectEngine(self._board(mine)) if len(mine) > 1 else SoloEngine()
        leaders = None
        firsts = [ranks[0] for ranks in hosts]
        if self.rank == mine[0]:
            places, names = ([whose[rank] for rank in firsts] for whose in (mail.peers, mail.names))
            mail.meet(firsts.index(self.rank), places, names)
            self._look_after(mail, firsts)
            mailbox = Mailbox(mail, self._watch)
            leaders = MessageEngine(mail.rank, len(hosts), mailbox, firsts, self._numbers[self.rank])
        else:
            mail.close()
        return HierarchicalEngine(self.rank, hosts, local, leaders, everyone)

    def _route(self) -> str:
        """This rank's address for the others, if they are on other hosts."""
        store, _ = rooted(self.store)
        return own_address(getattr(store, "host", None))

    def _board(self, ranks: list[int]) -> Board:
        """The board of the ranks of this host: the first one makes its memory, the others open it."""
        pids = [self.cards[rank].pid for rank in ranks]
        key = f"board/{ranks[0]}"
        if self.rank == ranks[0]:
            block = Segment.create(board_size(len(ranks)) + rings_size(len(ranks)))
            self.store.set(key, msgpack.packb([block.fd, block.size]))
        else:
            fd, size = msgpack.unpackb(self._await({key: ranks[0]})[0])
            block = Segment.attach(pids[0], fd, size)
        board = Board(ranks.index(self.rank), len(ranks), block, self._watch, pids, ranks)
        self._show("mapped", self.cards[self.rank], ranks)
        block.release()
        return board

    # Who is gone

    def _check_notices(self) -> None:
        with contextlib.suppress(StoreTimeout):  # whether the store is still there is for others to tell
            liveness.check_notices(self._quick, self.rank, self.size)

    def _departed(self, ranks: Sequence[int]) -> list[CommError]:
        """Why those of `ranks` that have left the parent did so."""
        if self.parent is None:
            return []
        found = (self.parent.departed(self.members[rank]) for rank in ranks if rank != self.rank)
        return [error for error in found if error is not None]

    def _look_after(self, mail: SocketMail, ranks: Sequence[int]) -> None:
        """Count as lost who comes out of reach of a mail by which all say goodbye. ranks: its ranks' numbers here."""
        mail.lose = lambda peer, how: self._monitor.lose(self._numbers[ranks[peer]], how)
        self._monitor.inspect(mail.inspect)

    def _watchman(self) -> Monitor:
        """The thread that watches this world, its sub-groups too."""
        mine = self.cards[self.rank].identity
        pids = [card.pid if card.identity == mine and sys.platform == "linux" else 0 for card in self.cards]
        hosts = [card.host for card in self.cards]
        monitor = Monitor(
            self.store, self._quick, self.rank, hosts, pids, self.heartbeat_limit, self._last_operation, self._look,
            PAUSE_BETWEEN_HOSTS if self._choose() == "tcp" else 0.0,
        )  # fmt: skip

        def check() -> None:
            try:
                monitor.check()
            except PeerLost as lost:
                if self.made is not None:
                    lost.last_op = self.made.last_operation(lost.rank) or lost.last_op
                raise

        def stop() -> None:
            serves = rooted(self.store)[0].serves
            monitor.close(liveness.HEARD if serves and monitor.lost is not None else 0.0)

        self._check = check
        self._undo.callback(stop)
        return monitor

    def _look(self) -> State | str:
        return "" if self.made is None else self.made.attendance.look()

    def _last_operation(self) -> str:
        return "joining the group" if self.made is None else self.made.last_operation()

    def _watch(self) -> None:
        if self.made is None:
            self._check()
        else:
            self.made.watch()

    def _split(self, ranks: list[int], number: int | str) -> Group:
        if len(ranks) == 1:
            return _solo(self.timeout)
        store = PrefixStore(f"split{number}/{'-'.join(map(str, ranks))}", self.store)
        return _Meeting(
            store, ranks.index(self.rank), len(ranks), self.timeout, self.transport, self.heartbeat_limit, self.secret,
            self.address, self, ranks,
        ).group()  # fmt: skip
