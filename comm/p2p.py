"""Point-to-point messages of a group: whole arrays from one rank to another, matched by sender and tag in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from . import clock
from .attendant import Attendant
from .call import Call, describe
from .deadlock import RECEIVE, SEND, Wait
from .errors import CollectiveMismatch, CommError, GroupClosed, MessageError, departed, last_words
from .parcels import Parcel
from .transport import SLICE, Mail, Mailbox, Message
from .wire import DATA, GOODBYE, MAX_WORDS, NONSENSE, Header
from .work import Work


class Receive(Work):
    """A posted receive: fills `array` (flat uint8) from the first matching message; its result is the sender's rank."""

    def __init__(self, owner: PointToPoint, call: Call, array: np.ndarray, src: int | None, tag: int, limit: float):
        super().__init__(call.name)
        self.call, self.array, self.src, self.tag, self._owner = call, array, src, tag, owner
        self._deadline = clock.Deadline(limit, call)
        self._first: Header | None = None
        self._filled = 0

    def wants(self, header: Header) -> bool:
        """True if the next piece for this receive has this header."""
        if self._first is not None:
            return header.sender == self._first.sender and header.number == self._first.number
        return header.tag == self.tag and header.offset == 0 and self.src in (None, header.sender)

    def accept(self, message: Message) -> None:
        """Take one piece in."""
        header, size = message.header, message.data.size
        if self._first is None:
            self._first = header
            if header.mark != self.call.fingerprint or header.total != self.array.size:
                if isinstance(message.data, Parcel):
                    message.data.discard()
                calls = {header.sender: "sends " + describe(header.mark, header.place)}
                calls[self._owner.rank] = "receives " + str(self.call)
                detail = "a message and its receiver differ in dtype or shape"
                self.complete(None, CollectiveMismatch(calls, detail))
                return
        if isinstance(message.data, Parcel):
            message.data.land(self.array, lambda: self.complete(header.sender))
            return
        message.copy(self.array[header.offset : header.offset + size])
        self._filled += size
        if self._filled == self.array.size:
            self.complete(header.sender)

    def is_completed(self) -> bool:
        if not self._ended:
            self._owner.progress(0.0)
        return self._ended

    def _finish(self, timeout: float | None) -> None:
        if self._ended:
            return
        limit = self._deadline if timeout is None else clock.Deadline(timeout, f"waiting for {self.call}")
        missing = () if self.src is None else (f"rank {self.src}",)
        with self._owner.attending, _Awaited(self._owner, self, timeout):
            while not self._ended:
                if not self._owner.progress(limit.remaining(SLICE)) and not self._ended:
                    self._owner.watch_for(self.src)
                if not self._ended:
                    limit.check(missing)

    def wait_in(self, group: str, members: Sequence[int]) -> Wait | None:
        """What it waits for, as others are told; None if that is on its way. members: the ranks' numbers there."""
        if self._ended or self._first is not None:
            return None
        sources = [self.src] if self.src is not None else self._owner.others
        ranks, heard = [members[rank] for rank in sources], [self._owner.latest(rank) for rank in sources]
        text = f"receives {self.call} from rank {' or '.join(map(str, ranks))} with tag {self.tag}"
        unasked = self._owner.mailbox.headers()
        come = ", ".join(f"tag {header.tag} of rank {members[header.sender]}" for header in unasked)
        if come:
            text += f" (have come unasked: {come})"
        return Wait(RECEIVE, group, ranks, text, heard=tuple(heard))


class Send(Work):
    """A send under way; done when its array may be changed again."""

    def __init__(self, owner: PointToPoint, call: Call, dst: int, tickets: list, limit: float):
        super().__init__(call.name)
        self.call, self.dst, self._owner, self._tickets = call, dst, owner, tickets
        if tickets:
            self._deadline = clock.Deadline(limit, call)
        self.is_completed()

    def is_completed(self) -> bool:
        if not self._ended and (not self._tickets or all(ticket.done for ticket in self._tickets)):
            self.complete()
        return self._ended

    def _finish(self, timeout: float | None) -> None:
        if self._ended:
            return
        limit = self._deadline if timeout is None else clock.Deadline(timeout, f"waiting for {self.name}")
        with self._owner.attending, _Awaited(self._owner, self, timeout):
            while not self.is_completed():
                ticket = next((ticket for ticket in self._tickets if not ticket.done), None)
                moved = ticket is None or self._owner.progress_sending(ticket, limit.remaining(SLICE))
                if not self.is_completed():
                    if not moved:
                        self._owner.watch_for(self.dst)
                    limit.check((f"rank {self.dst}",))

    def wait_in(self, group: str, members: Sequence[int]) -> Wait | None:
        """As of a Receive; None as well if its mail moves without the receiver's doing."""
        if self._ended or not self._owner.mailbox.mail.needs_receiver:
            return None
        return Wait(SEND, group, [members[self.dst]], f"sends {self.call} to rank {members[self.dst]}")


class _Awaited:
    """Held by a thread while it waits for a send or receive: for an unlimited time, or for `timeout` seconds."""

    def __init__(self, owner: PointToPoint, work: Receive | Send, timeout: float | None):
        self._owner, self._entry = owner, (work, timeout is not None)

    def __enter__(self) -> None:
        self._owner.awaited.append(self._entry)

    def __exit__(self, *_exc) -> None:
        self._owner.awaited.remove(self._entry)


class PointToPoint:
    """The messages of one rank. Threads may share it."""

    attending: Any = contextlib.nullcontext()  # entered by whoever waits

    def __init__(
        self,
        rank: int,
        size: int,
        mail: Mail,
        watch: Callable[[], None],
        departed: Callable[[int], CommError | None] | None = None,
        here: int = -1,
    ):
        """departed: tells why a rank will send no more; without it, ranks that leave say so by message; here: this
        rank's number in the job.
        """
        self.rank, self.size, self._departed_elsewhere, self._here = rank, size, departed, here
        self.mailbox = Mailbox(mail, watch, self._fresh)
        self._latest: dict[int, tuple[int, int]] = {}  # sender -> number and offset of its last message
        self._lock = clock.RLock()
        self._posted: list[Receive] = []
        self._number, self._moving = 0, False
        self._attendant = Attendant(f"comm:attendant:{rank}", self._unattended, self.nudge)
        self.others = [peer for peer in range(size) if peer != rank]
        self.sent: dict[int, int] = {}  # rank -> number of the last message to it
        self.awaited: list[tuple[Receive | Send, bool]] = []  # that threads wait for, and whether not for long
        self._gone: dict[int, str] = {}  # rank -> why it left
        self._senseless: dict[int, str] = {}  # rank -> what it sent that is no message

    def send(self, call: Call, flat: np.ndarray, dst: int, tag: int, limit: float) -> Send:
        """Start sending a flat uint8 array."""
        with self._lock:
            self._number = self.sent[dst] = self._number + 1
            header = Header(DATA, self.rank, self._number, tag, 0, flat.size, call.fingerprint, call.place)
            self.mailbox.unsent()
            tickets = self.mailbox.send(dst, header, flat)
        return Send(self, call, dst, tickets, limit)

    def receive(
        self, call: Call, flat: np.ndarray, src: int | None, tag: int, limit: float, attended: bool = True
    ) -> Receive:
        """Post a receive into a flat uint8 array. attended: the caller may do something else before it waits."""
        work = Receive(self, call, flat, src, tag, limit)
        with self._lock:
            self._posted.append(work)
        if attended and self.mailbox.mail.needs_receiver:
            self._attendant.call()
        return work

    def waits(self, group: str, members: Sequence[int]) -> list[Wait] | None:
        """What threads wait for, as others are told; None if they may go on by themselves."""
        waits = [None if limited else work.wait_in(group, members) for work, limited in self.awaited.copy()]
        return None if None in waits else cast(list[Wait], waits)

    def latest(self, sender: int) -> int:
        """The number of the last message of `sender` that has come, or has begun to."""
        return self._latest.get(sender, (0, 0))[0]

    def progress(self, seconds: float) -> bool:
        """Hand arrived messages to the posted receives, waiting at most `seconds` for one; True if one came."""
        with self._lock:
            self._moving = True
            try:
                if self.mailbox.waiting() and self._match():
                    return True
                came = self.mailbox.pump(seconds)
                if came:
                    self._match()
                    self.mailbox.keep()
                return came
            finally:
                self._moving = False

    def nudge(self) -> None:
        """Take in what has come while receives are posted, for a thread that waits for something else."""
        if self._posted and self.mailbox.mail.needs_receiver and self._lock.acquire(blocking=False):
            try:
                while self._posted and not self._moving and self.progress(0.0):  # moving: this thread does so already
                    pass
            finally:
                self._lock.release()

    def _unattended(self) -> Receive | None:
        """The first posted receive, if no thread waits for any."""
        return None if self.awaited else next(iter(self._posted), None)

    @property
    def takes(self) -> bool:
        """Whether messages are taken in while this rank waits."""
        return bool(self._posted or self.awaited)

    def progress_sending(self, ticket: Any, seconds: float) -> bool:
        """`progress`, but without waiting; if nothing comes, wait for the ticket of a send."""
        if self.progress(0.0):  # whoever sends to us may wait for that before it receives
            return True
        self.mailbox.mail.wait_ticket(ticket, seconds)
        return False

    def _fresh(self, header: Header) -> bool:
        """False for a message that has come before: a sender's numbers, and its offsets within one, only grow."""
        if header.kind == DATA:
            at = header.number, header.offset
            if at <= self._latest.get(header.sender, (0, 0)):
                return False
            self._latest[header.sender] = at
        return True

    def _match(self) -> bool:
        moved = False
        while (notice := self.mailbox.pop(lambda h: h.kind == GOODBYE)) is not None:
            self._note(notice.header)
        for work in list(self._posted):
            while not work._ended and (message := self.mailbox.pop(work.wants)) is not None:
                work.accept(message)
                moved = True
            if work._ended:
                self._posted.remove(work)
        return moved

    def _note(self, header: Header) -> None:
        """Remember what a message that is none for a receive says; tell who talks nonsense that nobody listens."""
        if header.kind == GOODBYE:
            self._gone[header.sender] = header.place.decode(errors="replace")
        elif header.kind == NONSENSE:
            self._senseless[header.sender] = text = header.place.decode()
            words = last_words(MessageError(text)).encode()[:MAX_WORDS]
            self.mailbox.mail.send(header.sender, Header(GOODBYE, self.rank, 0, place=words))

    def watch_for(self, src: int | None) -> None:
        """Raise if `src` (None: anyone) cannot send any more."""
        self.mailbox.watch()
        peers = [src] if src is not None else self.others
        for peer in self._senseless.keys() & set(peers):
            raise MessageError(self._senseless[peer])
        errors = [error for error in map(self._departed, peers) if error is not None]
        if len(errors) == len(peers) and not self.progress(0.0):  # what they sent before they left still counts
            raise errors[0]

    def departed(self, peer: int) -> CommError | None:
        """Why `peer` will send no more; None while it may."""
        while self._departed_elsewhere is None and peer not in self._gone and self.progress(0.0):
            pass  # perhaps it has said so, after other messages
        return self._departed(peer)

    def _departed(self, peer: int) -> CommError | None:
        if self._departed_elsewhere is not None:
            return self._departed_elsewhere(peer)
        return departed(peer, self._gone[peer], self._here) if peer in self._gone else None

    def leave(self, words: str = "") -> None:
        """Tell the others that this rank sends no more, unless they see that elsewhere."""
        if self._departed_elsewhere is not None:
            return
        while self.progress(0.0):
            pass  # learn who has left already: a message to them would be waited for in vain
        for peer in range(self.size):
            if peer != self.rank and peer not in self._gone:
                self.mailbox.mail.send(peer, Header(GOODBYE, self.rank, 0, place=words.encode()[:MAX_WORDS]))

    def close(self) -> None:
        """Close the mail; posted receives fail."""
        self._attendant.close()
        self.mailbox.close()
        for work in self._posted:
            if not work.ended:
                work.complete(None, GroupClosed("the group was closed"))
        self._posted.clear()
