"""Every error of the communication layer.

CommError
├── PeerLost             a rank died, stopped, left, or cannot be reached
├── CollectiveMismatch   ranks called different things at the same place in the sequence
├── Deadlock             every rank waits for another that waits as well
├── DeadlineExceeded     (also TimeoutError) an operation did not end in time
│   ├── RanksMissing     ranks did not come to a monitored barrier
│   └── StoreTimeout     (also StoreError) a key did not appear in time
├── StoreError           the store refused, or cannot be reached
│   └── QueueEmpty       nothing to take from a queue of the store
├── GroupClosed          the group was closed, or an earlier failure broke it
├── MessageError         bytes that are not a valid message; dropped and counted inside a group, and raised on whoever
│                        waits for the rank that they come from, if nothing after them can be understood
└── SecurityError        an address or key that the rules do not allow

Fields are constructor arguments, in order, so every error survives pickling from a worker to its parent.
"""

from __future__ import annotations


class CommError(RuntimeError):
    """Base of all communication errors."""


class PeerLost(CommError):
    """Rank `rank` on `host` is gone: silent for `silent_for` seconds, last seen doing `last_op`; `reason` says how.

    teller: the rank that has lost its connection with it, where that is all that is known to be gone; else -1.
    """

    def __init__(
        self,
        rank: int,
        host: str = "?",
        silent_for: float = 0.0,
        last_op: str = "",
        reason: str = "",
        teller: int = -1,
    ):
        super().__init__(rank, host, silent_for, last_op, reason, teller)
        self.rank, self.host, self.silent_for, self.last_op, self.reason = rank, host, silent_for, last_op, reason
        self.teller = teller

    def __reduce__(self):
        return type(self), self.fields

    @property
    def fields(self) -> tuple:
        """The constructor's arguments, as they are by now."""
        return self.rank, self.host, self.silent_for, self.last_op, self.reason, self.teller

    def seen_by(self, rank: int) -> PeerLost:
        """The same for `rank`: for the lost one itself, who has lost its connection with it is lost."""
        if rank != self.rank or self.teller < 0:
            return self
        return PeerLost(self.teller, "?", 0.0, "", self.reason, rank)

    def __str__(self) -> str:
        text = f"rank {self.rank} on host {self.host} is lost: {self.reason or 'no sign of life'}"
        if self.silent_for > 0:
            text += f"; silent for {self.silent_for:.1f} s"
        return text + (f"; its last operation was {self.last_op}" if self.last_op else "")


class CollectiveMismatch(CommError):
    """The ranks' calls do not match; `calls` maps each known rank to a description of its call, with file and line."""

    def __init__(self, calls: dict[int, str], detail: str = ""):
        super().__init__(calls, detail)
        self.calls, self.detail = calls, detail

    def __str__(self) -> str:
        lines = [f"  rank {rank}: {call}" for rank, call in sorted(self.calls.items())]
        head = self.detail or "ranks called different operations at the same place in the sequence"
        return "\n".join([f"{head}:", *lines]) if lines else head


class Deadlock(CommError):
    """Every rank waits for another, and nothing is on its way; `waits` maps each rank to what it waits for, with file
    and line.
    """

    def __init__(self, waits: dict[int, str], detail: str = ""):
        super().__init__(waits, detail)
        self.waits, self.detail = waits, detail

    def __str__(self) -> str:
        lines = [f"  rank {rank}: {wait}" for rank, wait in sorted(self.waits.items())]
        return self.detail or "\n".join(["every rank waits for another, and nothing is on its way:", *lines])


class DeadlineExceeded(CommError, TimeoutError):
    """`what` did not end within `limit` seconds; `missing` lists the ranks (or keys) that were waited for."""

    def __init__(self, what: str, limit: float, missing: tuple = (), knob: str = "timeout"):
        super().__init__(what, limit, missing, knob)
        self.what, self.limit, self.missing, self.knob = what, limit, missing, knob

    def __str__(self) -> str:
        text = f"{self.what} did not finish within {self.limit:g} s"
        if self.missing:
            text += f"; still waiting for {', '.join(str(name) for name in self.missing)}"
        return f"{text} (the limit is the {self.knob} argument)"


class RanksMissing(DeadlineExceeded):
    """Ranks, by their numbers, that did not come to a monitored barrier of which `leader` keeps count.

    `rank` raises it; `every`: all who are missing were asked for, not the first. The texts are PyTorch's.
    """

    def __init__(self, rank: int, leader: int, limit: float, missing: tuple, every: bool = False):
        super().__init__("monitoredBarrier", limit, missing)
        self.args = (rank, leader, limit, missing, every)
        self.rank, self.leader, self.every = rank, leader, every

    def __str__(self) -> str:
        limit = f"{1000 * self.limit:.0f} ms"
        names = ", ".join(map(str, self.missing))
        if self.limit <= 0 and self.rank == self.leader:
            return f"Rank {self.rank} timed out in monitoredBarrier after {limit}.\nRanks that had not come: {names}"
        failed = f"Ranks {names}" if self.every else f"Rank {self.missing[0]}"
        text = f"[Rank {self.leader}]: {failed} failed to pass monitoredBarrier in {limit}"
        if not self.every and len(self.missing) > 1:
            text += f"; neither did {', '.join(map(str, self.missing[1:]))}"
        if self.rank == self.leader:
            return text
        return (
            f"Rank {self.rank} successfully reached monitoredBarrier, but received errors while waiting for send/recv "
            f"from rank {self.leader}. Please check rank {self.leader} logs for faulty rank.\n"
            f" Original exception: \n{text}"
        )


class StoreError(CommError):
    """The store refused a request or cannot be reached."""


class StoreTimeout(StoreError, DeadlineExceeded):
    """A key did not appear, or the store did not answer, in time."""

    def __str__(self) -> str:
        if self.what == WAITING:
            return f"wait timeout after {1000 * self.limit:.0f}ms, keys: {', '.join(f'/{key}' for key in self.missing)}"
        return super().__str__() if self.missing else self.what


WAITING = "waiting for keys of the store"


class QueueEmpty(StoreError):
    """There is nothing in the queue, and the caller does not want to wait."""


class GroupClosed(CommError):
    """The group was closed, or broken by the failure that the message names; make a new one."""


class MessageError(CommError, ValueError):
    """Bytes that are not a valid message."""


class SecurityError(CommError):
    """An address, key or secret that the rules of `comm.security` do not allow."""


FIELD = "\x1f"  # separates the fields of an error in last words


def last_words(error: BaseException) -> str:
    """What a rank that gives up tells the others: "ErrorName: its text", or the fields of a lost rank, to be passed
    on.
    """
    if isinstance(error, PeerLost):
        return f"{PeerLost.__name__}: {FIELD.join(map(str, error.fields))}"
    if isinstance(error, DeadlineExceeded) and error.missing:
        return f"{DeadlineExceeded.__name__}: {FIELD.join(map(str, (error.what, error.limit, *error.missing)))}"
    return f"{type(error).__name__}: {error}"


def departed(rank: int, words: str, here: int = -1) -> CommError:
    """The error of waiting for a rank that left the group, whose last `words` are "" or those of `last_words`.

    If it left because another rank was lost, left or did not come, that one is named: it is the cause on every rank. If
    that is this one, its peer is. here: this rank's number in the job.
    """
    name, _, text = words.partition(": ")
    if name == CollectiveMismatch.__name__:
        return CollectiveMismatch({}, text)
    if name == Deadlock.__name__:
        return Deadlock({}, text)
    if name == PeerLost.__name__:
        lost, *fields = text.split(FIELD)
        if lost.isdecimal() and len(fields) == 5 and fields[1].replace(".", "", 1).isdecimal():
            teller = int(fields[4]) if fields[4].isdecimal() else -1
            return PeerLost(int(lost), fields[0], float(fields[1]), fields[2], fields[3], teller).seen_by(here)
    if name == DeadlineExceeded.__name__ and text.count(FIELD) > 1:
        what, limit, *missing = text.split(FIELD)
        if limit.replace(".", "", 1).isdecimal():
            return DeadlineExceeded(what, float(limit), tuple(missing))
    if name in (GroupClosed.__name__, MessageError.__name__):
        return (GroupClosed if name == GroupClosed.__name__ else MessageError)(text)
    if words:
        return PeerLost(rank, "?", 0.0, "", f"it gave up: {words.replace(FIELD, ', ')}")
    return GroupClosed(f"rank {rank} closed the group while others still used it")
