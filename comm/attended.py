"""Point-to-point messages over TCP that move while their rank does something else.

Whoever waits for a message moves all of them: to hand them to another thread, and to be woken by it, takes as long as a
short one. Where nobody has waited for a moment a thread does.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Collection, Set
from typing import Any

import numpy as np

from . import clock
from .call import Call
from .errors import CommError
from .p2p import PointToPoint, Receive, Send
from .parcels import ParcelMail
from .transport import Message
from .wire import DATA, Header

GRACE = 0.01  # seconds for which nobody else must have moved anything before the thread does
UNREAD = 32 << 20  # bytes that it takes in of messages which nobody has asked for
_FOREVER = 3600.0  # seconds


class Presence:
    """Held by threads of the program for as long as they move messages."""

    def __init__(self, lock: Any, leave: Callable[[], None]):
        """leave: called, with the lock, when the last one goes."""
        self._lock, self._leave = lock, leave
        self.now = self.turns = 0  # how many there are, and have been

    def since(self, turns: int) -> bool:
        """Whether anybody is there, or has come since there had been so many."""
        return self.now > 0 or self.turns != turns

    def come_and_go(self) -> None:
        """With the lock: do something that takes no time."""
        self.turns += 1
        if not self.now:
            self._leave()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.turns += 1

    def __exit__(self, *_exc) -> None:
        with self._lock:
            self.now -= 1
            if not self.now:
                self._leave()


class AttendedPointToPoint(PointToPoint):
    """The messages of one rank, by a ParcelMail."""

    def __init__(
        self,
        rank: int,
        size: int,
        mail: ParcelMail,
        watch: Callable[[], None],
        departed: Callable[[int], CommError | None] | None = None,
        here: int = -1,
    ):
        super().__init__(rank, size, mail, watch, departed, here)
        self._mail = mail
        self.attending: Presence = Presence(self._lock, self._hand_over)
        self._sleeps_on: Set[int] | None = None  # the file descriptors that wake the thread; None: it is awake
        self._landing: list[Receive] = []  # whose parcels are on the way
        self._held = False  # whether it has taken in so much that the rest must wait for the rank
        self._bell, self._rope = os.pipe()
        self._closing = clock.Event()
        self._thread = clock.spawn(self._attend, f"comm:messages:{rank}")

    def send(self, call: Call, flat: np.ndarray, dst: int, tag: int, limit: float) -> Send:
        with self._lock:
            self._number = self.sent[dst] = self._number + 1
            header = Header(DATA, self.rank, self._number, tag, 0, flat.size, call.fingerprint, call.place)
            ticket = self._mail.send(dst, header, flat)
            self.attending.come_and_go()
        return Send(self, call, dst, [] if ticket is None else [ticket], limit)

    def receive(
        self, call: Call, flat: np.ndarray, src: int | None, tag: int, limit: float, attended: bool = True
    ) -> Receive:
        work = Receive(self, call, flat, src, tag, limit)
        with self._lock:
            message = self.mailbox.pop(work.wants) if self.mailbox.waiting() else None
            if message is None:
                self._posted.append(work)
            else:
                self._give(message, work)
            self.attending.come_and_go()
        return work

    def leave(self, words: str = "") -> None:
        with self.attending:
            super().leave(words)

    def progress(self, seconds: float) -> bool:
        if self.attending.now:
            return self._move(seconds)
        with self.attending:
            return self._move(seconds)

    def progress_sending(self, ticket: Any, seconds: float) -> bool:
        return self.progress(seconds)

    def _move(self, seconds: float) -> bool:
        if self._mail.busy and self._step(()):
            return True
        ready = self._mail.wait(self._mail.interests(), seconds)
        return bool(ready) and self._step(ready)

    def _step(self, ready: Collection[int], held: bool = False) -> bool:
        """Move what goes at once, and hand over what has come; True if something did."""
        with self._lock:
            moved = self._mail.move(ready, held)
            if self._landing:
                self._landing = [work for work in self._landing if not work.ended]
            while (message := self._mail.receive(0.0)) is not None:
                self._sort(message)
                moved = True
            return moved

    def _sort(self, message: Message) -> None:
        """Give a message to the first receive that wants it, or keep it."""
        header = message.header
        if header.kind != DATA:
            self._note(header)
            return
        self._latest[header.sender] = header.number, 0
        for index, work in enumerate(self._posted):
            if work.wants(header):
                del self._posted[index]
                self._give(message, work)
                return
        self.mailbox.put(message)

    def _give(self, message: Message, work: Receive) -> None:
        work.accept(message)
        if not work.ended:  # it ends once its parcel is there
            self._landing.append(work)

    def _departed(self, peer: int) -> CommError | None:
        return None if self._mail.expects(peer) else super()._departed(peer)

    # The thread

    def _attend(self) -> None:
        seen = 0
        while not self._closing.is_set():
            with self._lock:
                if alone := not self.attending.since(seen):
                    self._held = self.mailbox.kept() >= UNREAD
                    interests = {**self._mail.interests(self._held), self._bell: select.POLLIN}
                    self._sleeps_on = interests.keys()
            if not alone:
                seen = self.attending.turns
                self._closing.wait(GRACE)
                continue
            ready = self._mail.wait(interests, _FOREVER, look=0.0)
            self._sleeps_on = None
            if self._bell in ready:
                os.read(self._bell, 1)
            with self._lock:
                if not self.attending.since(seen):
                    self._step(ready, self._held)

    def _hand_over(self) -> None:
        """Wake the thread if there is something that would not wake it by itself."""
        asleep = self._sleeps_on
        if asleep is not None and (self._held or self._mail.busy) and not self._mail.interests().keys() <= asleep:
            self._ring()

    def _ring(self) -> None:
        self._sleeps_on = None
        os.write(self._rope, b"x")

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            self._ring()
        self._thread.join()
        self._posted += self._landing
        super().close()
        os.close(self._bell)
        os.close(self._rope)
