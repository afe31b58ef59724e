"""Collectives of ranks that exchange messages: runs the plans of `plans` over a mailbox.

Every message bears its operation's number and fingerprint. A rank that sees another's differ tells its own call to all
and collects theirs, so that every rank raises the same CollectiveMismatch. In every operation a rank first sends to its
successor, and hears of everyone before it returns. Where the data do not do that (broadcast, gather, ...), few ranks
send one another empty messages beside them; among many, empty messages go round first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np

from .call import Call, check_sizes, describe
from .clock import Deadline
from .direct import bounds
from .errors import CollectiveMismatch, CommError, DeadlineExceeded, MessageError, departed
from .plans import (
    Plan,
    Round,
    direct_all_gather,
    direct_exchange,
    direct_reduce_scatter,
    dissemination,
    ring_all_gather,
    ring_reduce_scatter,
    tree_broadcast,
    tree_reduce,
)
from .reduction import divide, is_half, reduce_into
from .streams import StreamTicket
from .transport import SLICE, Mailbox
from .wire import DATA, GOODBYE, MAX_WORDS, MISMATCH, NONSENSE, Header

SHORT = 16 << 10  # bytes up to which an all-reduce sends whole arrays: one step instead of two
SHORT_PAIR = 64 << 10  # the same for two ranks, who send no more bytes that way; less than COPY_BELOW, because the
# array that is being sent is overwritten
STEP = 1 << 20  # bytes of a stream that are worked on at a time: of all ranks they stay in the cache
FEW = 8  # ranks up to which everyone writes to everyone, in one step; beyond it rings and trees
_NOTHING = np.empty(0, np.uint8)
TELL = 0.8  # seconds in which the ranks of a mismatch tell one another their calls


class MessageEngine:
    """Every collective of a group over one mailbox. Each method takes the call, its deadline, and flat arrays."""

    def __init__(
        self,
        rank: int,
        size: int,
        mailbox: Mailbox,
        names: list[int] | None = None,
        here: int = -1,
    ):
        """names: the ranks' numbers in errors, where these are a part of a group; here: this rank's in the job."""
        self.rank, self.size, self.mailbox = rank, size, mailbox
        self.names, self._here = names or list(range(size)), here
        self._number = 0
        self._others = [peer for peer in range(size) if peer != rank]
        self._behind = [(rank + step) % size for step in range(1, size)]  # neighbours first, to spread the load
        self._gone: dict[int, str] = {}  # rank -> why it left
        self._heard: dict[int, Header] = {}  # rank -> its last message
        self._room: dict[int, np.ndarray] = {}  # rank -> where bytes of its stream wait to be reduced
        self._sent, self._taken = [0] * size, [0] * size  # arrays sent to and taken from each rank, to know replays
        self.dropped = 0  # messages that had been there before

    @property
    def moved(self) -> int:
        """Messages and parts of streams that have come."""
        return self.mailbox.moved

    def barrier(self, call: Call, deadline: Deadline, patient: bool) -> None:
        self._begin(patient)
        self._agree(call, deadline)
        self._flush(call, deadline)

    def monitored_barrier(self, call: Call, deadline: Deadline, patient: bool) -> None:
        """Everyone tells rank 0 that it has come, and rank 0 tells everyone that all have."""
        self._begin(patient)
        if self.rank:
            self._send(call, 0, _NOTHING)
            deadline.end += TELL  # rank 0 knows better than this rank who is missing
            self._receive(call, deadline, 0, _NOTHING)
            return
        missing = []
        for peer in self._others:
            try:
                self._receive(call, deadline, peer, _NOTHING)
            except DeadlineExceeded:
                missing.append(f"rank {self.names[peer]}")
        if missing:
            raise DeadlineExceeded(deadline.what, deadline.limit, tuple(missing))
        for peer in self._others:
            self._send(call, peer, _NOTHING)
        self._flush(call, deadline)

    def all_reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, op: str) -> None:
        self._begin(patient)
        few = self.size <= FEW or is_half(array.dtype)
        short = array.nbytes <= (SHORT_PAIR if self.size == 2 else SHORT)
        if few and short:
            self._run(call, deadline, array, [0, array.size], direct_exchange(self.rank, self.size), op)
        elif few:
            self._sliced(call, deadline, array, direct_reduce_scatter, direct_all_gather, op)
        else:
            plain = "sum" if op == "avg" else op
            if short:
                self._agree(call, deadline)
                plan = tree_reduce(self.rank, self.size, 0) + tree_broadcast(self.rank, self.size, 0)
                self._run(call, deadline, array, [0, array.size], plan, plain)
            else:
                self._sliced(call, deadline, array, ring_reduce_scatter, ring_all_gather, plain)
            if op == "avg":
                self._flush(call, deadline)
                divide(array, self.size)
        self._flush(call, deadline)

    def _sliced(self, call: Call, deadline: Deadline, array: np.ndarray, scatter, gather, op: str) -> None:
        plan = scatter(self.rank, self.size) + gather(self.rank, self.size)
        self._run(call, deadline, array, bounds(array.size, self.size), plan, op)

    def broadcast(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, src: int) -> None:
        self._begin(patient)
        if self.size == 2 or (self.size <= FEW and array.nbytes <= SHORT_PAIR):
            self._give(call, deadline, dict.fromkeys(self._others, array) if self.rank == src else {})
            self._take(call, deadline, {} if self.rank == src else {src: array})
        else:
            self._agree(call, deadline)
            self._run(call, deadline, array, [0, array.size], tree_broadcast(self.rank, self.size, src))
        self._flush(call, deadline)

    def reduce(self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, dst: int, op: str) -> None:
        self._begin(patient)
        if self.rank == dst:
            self._give(call, deadline, {})
            self._combine(call, deadline, self._others, array, op)
        else:
            self._give(call, deadline, {dst: array})
            self._take(call, deadline, {})
        self._flush(call, deadline)

    def all_gather(
        self, call: Call, deadline: Deadline, patient: bool, outputs: Sequence[np.ndarray], array: np.ndarray
    ) -> None:
        self._begin(patient)
        for peer in self._behind:
            self._send(call, peer, array)
        outputs[self.rank][...] = array
        for peer in reversed(self._behind):
            self._receive(call, deadline, peer, outputs[peer])
        self._flush(call, deadline)

    def gather(
        self, call: Call, deadline: Deadline, patient: bool, array: np.ndarray, outputs: Sequence[np.ndarray], dst: int
    ) -> None:
        """outputs: n arrays on rank `dst`, none elsewhere."""
        self._begin(patient)
        self._give(call, deadline, {} if self.rank == dst else {dst: array})
        if self.rank == dst:
            outputs[dst][...] = array
        self._take(call, deadline, dict(enumerate(outputs)))
        self._flush(call, deadline)

    def scatter(
        self, call: Call, deadline: Deadline, patient: bool, output: np.ndarray, inputs: Sequence[np.ndarray], src: int
    ) -> None:
        """inputs: n arrays on rank `src`, none elsewhere."""
        self._begin(patient)
        self._give(call, deadline, dict(enumerate(inputs)))
        self._take(call, deadline, {} if self.rank == src else {src: output})
        self._flush(call, deadline)
        if self.rank == src:
            output[...] = inputs[src]  # last, while the others work on theirs

    def reduce_scatter(
        self, call: Call, deadline: Deadline, patient: bool, output: np.ndarray, inputs: Sequence[np.ndarray], op: str
    ) -> None:
        self._begin(patient)
        for peer in self._others:
            self._send(call, peer, inputs[peer])
        output[...] = inputs[self.rank]
        self._combine(call, deadline, self._others, output, op)
        self._flush(call, deadline)

    def all_to_all(
        self,
        call: Call,
        deadline: Deadline,
        patient: bool,
        outputs: Sequence[np.ndarray],
        inputs: Sequence[np.ndarray],
    ) -> None:
        """Parts may differ in size: every rank tells all others what it sends and expects, with short parts in the same
        message. Raises CollectiveMismatch if what one sends is not what another expects.
        """
        self._begin(patient)
        row = np.array([part.size for part in (*inputs, *outputs)], np.int64).view(np.uint8)
        short = min(SHORT_PAIR, self.mailbox.mail.piece - row.size)
        for peer in self._behind:
            part = inputs[peer].view(np.uint8)
            if part.size <= short:
                self._send(call, peer, np.concatenate((row, part)))
            else:
                self._send(call, peer, row)
                self._send(call, peer, part)
        outputs[self.rank][...] = inputs[self.rank]
        told = {peer: self._next(call, deadline, peer, 0) for peer in self._others} | {self.rank: row}
        table = [told[rank][: row.size].view(np.int64).tolist() for rank in range(self.size)]
        check_sizes(table, lambda rank: str(call) if rank == self.rank else self.last_operation(rank))
        for peer in reversed(self._behind):
            if outputs[peer].nbytes <= short:
                outputs[peer].view(np.uint8)[...] = told[peer][row.size :]
            else:
                self._receive(call, deadline, peer, outputs[peer])
        self._flush(call, deadline)

    def last_operation(self, peer: int) -> str:
        """What `peer` is last known to have called."""
        header = self._heard.get(peer)
        return "" if header is None else describe(header.mark, header.place)

    def leave(self, words: str = "") -> None:
        """Tell the others that this rank will not take part again; `words` say why, if something failed."""
        while self.mailbox.pump(0.0):
            pass  # learn who has left already: a message to them would be waited for in vain
        while (notice := self.mailbox.pop(lambda h: h.kind == GOODBYE)) is not None:
            self._gone[notice.header.sender] = notice.header.place.decode(errors="replace")
        for peer in self._others:
            if peer not in self._gone:
                header = Header(GOODBYE, self.rank, self._number, place=words.encode()[:MAX_WORDS])
                self.mailbox.mail.send(peer, header)
        self.mailbox.mail.settle()

    def close(self) -> None:
        """Leave, and close the mailbox."""
        self.mailbox.close()

    # Running a plan

    def _begin(self, patient: bool) -> None:
        self._number += 1
        self.mailbox.mail.patient = patient

    def _run(
        self, call: Call, deadline: Deadline, array: np.ndarray, cuts: list[int], plan: Plan, op: str = ""
    ) -> None:
        """What a round receives and the next one sends goes on piece by piece, as soon as it has come."""
        parts = [array[low:high] for low, high in pairwise(cuts)]
        came: set[int] = set()
        for (sends, receives, combine), following in zip(plan, [*plan[1:], Round()], strict=True):
            for peer, part in sends:
                if part not in came:
                    self._send(call, peer, parts[part])
            came = {part for _, part in receives}
            onward = {part: [peer for peer, other in following.sends if other == part] for part in came}
            if combine:
                (part,) = came
                self._combine(call, deadline, [peer for peer, _ in receives], parts[part], op, onward[part])
            else:
                for peer, part in receives:
                    self._receive(call, deadline, peer, parts[part], onward[part])

    def _give(self, call: Call, deadline: Deadline, inputs: Mapping[int, np.ndarray]) -> None:
        """Send inputs[p] to ranks p. Few ranks say something to all, which hear so that they call the same; many agree
        first.
        """
        if self.size > FEW:
            self._agree(call, deadline)
        for peer in self._behind:
            if peer in inputs or self.size <= FEW:
                self._send(call, peer, inputs.get(peer, _NOTHING))

    def _take(self, call: Call, deadline: Deadline, outputs: Mapping[int, np.ndarray]) -> None:
        """Receive outputs[p] from ranks p, and what the others `_give`."""
        for peer in reversed(self._behind):
            if peer in outputs or self.size <= FEW:
                self._receive(call, deadline, peer, outputs.get(peer, _NOTHING))

    def _agree(self, call: Call, deadline: Deadline) -> None:
        """Return once all ranks have made this very call."""
        self._run(call, deadline, _NOTHING, [0, 0], dissemination(self.rank, self.size))

    def _header(self, call: Call, peer: int, array: np.ndarray) -> Header:
        """That of the first piece of the next array for `peer`."""
        self._sent[peer] += 1
        number = self._sent[peer]
        return Header(DATA, self.rank, self._number, number, 0, array.nbytes, call.fingerprint, call.place)

    def _send(self, call: Call, peer: int, array: np.ndarray) -> None:
        self.mailbox.send(peer, self._header(call, peer, array), array.view(np.uint8))

    def _receive(
        self, call: Call, deadline: Deadline, peer: int, array: np.ndarray, onward: Sequence[int] = ()
    ) -> None:
        """Fill `array` with what `peer` sends, and send it to the ranks of `onward`."""
        raw = array.view(np.uint8)
        step = self.mailbox.mail.piece
        if self.mailbox.mail.streams(raw.size):
            step = STEP if onward else raw.size
        headers = {to: self._header(call, to, raw) for to in onward}
        for offset in range(0, max(raw.size, 1), step):
            piece = raw[offset : offset + step]
            data = self._fetch(call, deadline, peer, raw.size, offset, piece)
            if data is not piece:
                piece[...] = data
            for to, header in headers.items():
                self.mailbox.send(to, header, piece, offset)

    def _combine(
        self, call: Call, deadline: Deadline, senders: list[int], own: np.ndarray, op: str, onward: Sequence[int] = ()
    ) -> None:
        """Reduce into `own` what each of `senders` sends, in rank order, its own included; send that to `onward`."""
        streamed = self.mailbox.mail.streams(own.nbytes)
        step = (STEP if streamed else self.mailbox.mail.piece) // own.itemsize
        headers = {to: self._header(call, to, own) for to in onward}
        for low in range(0, max(own.size, 1), step):
            piece = own[low : low + step]
            sources = {self.rank: piece}
            for peer in senders:
                room = self._room_for(peer)[: piece.nbytes] if streamed else piece.view(np.uint8)
                data = self._fetch(call, deadline, peer, own.nbytes, low * own.itemsize, room)
                sources[peer] = data.view(own.dtype)
            if piece.size:
                reduce_into([piece], [sources[rank] for rank in sorted(sources)], op)
            for to, header in headers.items():
                self.mailbox.send(to, header, piece.view(np.uint8), low * own.itemsize)

    def _fetch(
        self, call: Call, deadline: Deadline, peer: int, total: int, offset: int, room: np.ndarray
    ) -> np.ndarray:
        """The bytes at `offset` of an array of `total` bytes that `peer` sends, as many as `room` has: in `room` if
        they come by a stream, else as they lie in a message.
        """
        if not self.mailbox.mail.streams(total):
            return self._next(call, deadline, peer, offset, room.size)
        if offset == 0:
            self._next(call, deadline, peer, 0, 0, total)
        came = 0
        while (came := came + self.mailbox.draw(peer, room[came:], deadline.remaining(SLICE))) < room.size:
            self._look(call)
            if peer in self._gone and self.mailbox.mail.drained(peer):
                raise self._departed(peer)
            self.mailbox.watch()
            deadline.check((f"rank {self.names[peer]}",))
        return room

    def _next(
        self, call: Call, deadline: Deadline, peer: int, offset: int, size: int | None = None, streamed: int = 0
    ) -> np.ndarray:
        """The payload of the next message of `peer`, which must be the piece of `size` bytes (None: any) at `offset`.

        streamed: bytes of the array of which the message tells that they come by a stream, if so.
        """
        if offset == 0:
            self._taken[peer] += 1
        while True:
            if peer in self._gone and not self.mailbox.has(lambda header: header.sender == peer):
                raise self._departed(peer)
            header, data = self.mailbox.take(
                lambda header: (header.sender == peer and header.kind == DATA) or self._is_news(call, header),
                deadline,
                (f"rank {self.names[peer]}",),
            )
            if header.kind == DATA and header.sender == peer and header[3:5] < (self._taken[peer], offset):
                self.dropped += 1
                continue
            self._heed(call, header)
            if header.kind != DATA:
                continue
            if header.offset != offset or size not in (None, data.size) or streamed not in (0, header.total):
                raise CommError(f"rank {peer} sent {data.size} bytes at {header.offset}, wanted {size} at {offset}")
            return cast(np.ndarray, data)  # windows on another process's memory come from rings alone

    def _is_news(self, call: Call, header: Header) -> bool:
        """Whether a message of anyone tells of a failure (in a later operation: not yet) or a departure."""
        if header.kind == MISMATCH:
            return header.number <= self._number
        return header.kind in (GOODBYE, NONSENSE) or (header.number == self._number and header.mark != call.fingerprint)

    def _heed(self, call: Call, header: Header) -> None:
        """Note who is gone; raise what the message means, if it is not part of this operation."""
        self._heard[header.sender] = header
        if header.kind == GOODBYE:
            self._gone[header.sender] = header.place.decode(errors="replace")
            if self._gone[header.sender] and header.number <= self._number:
                raise self._departed(header.sender)
        elif header.kind == NONSENSE:
            raise MessageError(header.place.decode())
        elif header.kind == MISMATCH or header.number != self._number or header.mark != call.fingerprint:
            raise self._mismatch(call, header)

    def _look(self, call: Call) -> None:
        """Heed all news that have arrived; for waits for something else than a message."""
        while self.mailbox.pump(0.0):
            pass
        while (message := self.mailbox.pop(lambda header: self._is_news(call, header))) is not None:
            self._heed(call, message.header)

    def _flush(self, call: Call, deadline: Deadline) -> None:
        """Wait until the arrays of this operation may be changed again."""

        def look(ticket: Any) -> None:
            self._look(call)
            if isinstance(ticket, StreamTicket) and ticket.lost and ticket.peer in self._gone:
                raise self._departed(ticket.peer)

        self.mailbox.flush(deadline, look)

    def _room_for(self, peer: int) -> np.ndarray:
        room = self._room.get(peer)
        if room is None:
            room = self._room[peer] = np.empty(STEP, np.uint8)
        return room

    def _departed(self, peer: int) -> CommError:
        self.mailbox.watch()
        return departed(self.names[peer], self._gone[peer], self._here)

    def _mismatch(self, call: Call, header: Header) -> CollectiveMismatch:
        """The error that names every rank's call, once `header` has shown that they differ."""
        return self.collect(call, {header.sender: describe(header.mark, header.place)})

    def collect(self, call: Call, calls: dict[int, str]) -> CollectiveMismatch:
        """Tell everyone this rank's call, and learn theirs beyond those in `calls`."""
        for peer in self._others:
            notice = Header(MISMATCH, self.rank, self._number, mark=call.fingerprint, place=call.place)
            self.mailbox.mail.send(peer, notice)
        calls = {**calls, self.rank: str(call)}
        limit = Deadline(TELL, "collecting the calls of a mismatch")
        while len(calls) < self.size:
            try:
                told = self.mailbox.take(lambda h: h.kind == MISMATCH, limit).header
            except DeadlineExceeded:
                break
            calls[told.sender] = describe(told.mark, told.place)
        return CollectiveMismatch({self.names[rank]: text for rank, text in calls.items()})
