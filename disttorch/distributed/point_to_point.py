"""Messages from one rank to another."""

from collections.abc import Sequence
from typing import Any

from .arguments import check_tensor, integer, outside, root_of
from .collectives import Work, _Loan
from .process_group import ProcessGroup, get_global_rank, get_rank, resolve


def _check_other(group: ProcessGroup, peer: int | None, name: str) -> None:
    if peer == group.rank():
        raise ValueError(f"Invalid {name} rank: {name} rank should not be the same as the rank of the current process.")


def _nonnegative(tag: Any) -> int:
    number = integer(tag, "tag", "an int")
    if number < 0:
        raise RuntimeError(f"Tag must be nonnegative, got {number}")
    return number


def isend(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Start sending; leave `tensor` alone until the handle's `wait()`."""
    check_tensor(tensor, "tensor")
    if outside(group, "isend"):
        return None
    g, loan = resolve(group), _Loan()
    peer = root_of(g, dst, group_dst, "dst")
    _check_other(g, peer, "destination")
    number = _nonnegative(tag)
    return Work([g.comm.isend(loan.read(tensor, "tensor"), peer, number)], loan.settle)


def irecv(tensor, src=None, group=None, tag=0, group_src=None):
    """Start receiving into `tensor` from `src` (anyone if None)."""
    check_tensor(tensor, "tensor")
    if outside(group, "irecv"):
        return None
    g, loan = resolve(group), _Loan()
    return Work([g.comm.irecv(*_place(g, loan, tensor, src, group_src, tag))], loan.settle)


def _place(g, loan, tensor, src, group_src, tag) -> tuple:
    """The array, the sender and the tag of a receive."""
    peer = None if src is None and group_src is None else root_of(g, src, group_src, "src")
    _check_other(g, peer, "source")
    number = _nonnegative(tag)
    return loan.write(tensor, "tensor", fresh=True), peer, number


def send(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Send; returns when `tensor` may be changed again."""
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def recv(tensor, src=None, group=None, tag=0, group_src=None):
    """Receive into `tensor`; returns the sender's global rank (-1 outside the group)."""
    check_tensor(tensor, "tensor")
    if outside(group, "irecv"):
        return -1
    g, loan = resolve(group), _Loan()
    sender = g.comm.recv(*_place(g, loan, tensor, src, group_src, tag))
    loan.settle()
    return g.ranks[sender]


class P2POp:
    """One send or receive of `batch_isend_irecv`: op is `isend` or `irecv`, peer a rank of the job, group_peer one of
    `group`; of these two one is given, and both are there afterwards, as is the group.

    Raises ValueError for another op, TypeError for what is no tensor, both for peers as `isend` does.
    """

    def __init__(
        self, op: Any, tensor: Any, peer: int | None = None, group: Any = None, tag: int = 0, group_peer: Any = None
    ):
        if op not in (isend, irecv):
            raise ValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                "``torch.distributed.irecv``."
            )
        check_tensor(tensor, "tensor")
        self.op, self.tensor, self.group, self.tag = op, tensor, group, tag
        self.peer, self.group_peer = peer, group_peer
        if get_rank(group) >= 0:  # else this rank is outside, where nothing will happen
            self.group = resolve(group)
            self.group_peer = root_of(self.group, peer, group_peer, "peer")
            self.peer = get_global_rank(self.group, self.group_peer)

    def __repr__(self) -> str:
        source, target = get_rank(self.group), self.group_peer
        if self.op is irecv:
            source, target = target, source
        name = getattr(self.group, "group_name", self.group)
        return (
            f"P2POp({self.op.__name__} pg={name}, group_src={source}, group_dst={target},  {self.tensor.shape}, "
            f"{self.tensor.dtype})"
        )


def batch_isend_irecv(p2p_op_list: Sequence[P2POp]) -> list[Work]:
    """Start several sends and receives of one group; a handle for each, none outside the group. What a rank sends to
    itself is taken by its receives from itself, in order; ValueError if these are not as many.
    """
    listed = isinstance(p2p_op_list, list | tuple)
    if not listed or not p2p_op_list or not all(isinstance(p, P2POp) for p in p2p_op_list):
        raise ValueError("Invalid ``p2p_op_list``. Each op is expected to be of type ``torch.distributed.P2POp``.")
    if any(p.group != p2p_op_list[0].group for p in p2p_op_list):
        raise ValueError("All ops need to use the same group.")
    if outside(p2p_op_list[0].group, "batch_isend_irecv"):
        return []
    own = _take_own(p2p_op_list)
    return [own.get(i) or _start(p) for i, p in enumerate(p2p_op_list)]


def _start(p: P2POp) -> Work:
    if p.op is isend:
        return isend(p.tensor, group=p.group, tag=p.tag, group_dst=p.group_peer)
    return irecv(p.tensor, group=p.group, tag=p.tag, group_src=p.group_peer)


def _take_own(p2p_op_list: Sequence[P2POp]) -> dict[int, Work]:
    """Carry out what this rank sends to itself; the handles by the operations' places in the list."""
    group = p2p_op_list[0].group
    own = [(i, p) for i, p in enumerate(p2p_op_list) if p.group_peer == group.rank()]
    sends, receives = ([(i, p) for i, p in own if p.op is op] for op in (isend, irecv))
    if len(sends) != len(receives):
        raise ValueError(
            f"batch_isend_irecv: rank {group.rank()} of the group has {len(sends)} sends to itself and {len(receives)} "
            "receives from itself"
        )
    works = {}
    for (i, sent), (j, received) in zip(sends, receives, strict=True):
        loan = _Loan()
        array, into = loan.read(sent.tensor, "tensor"), loan.write(received.tensor, "tensor", fresh=True)
        if array.shape != into.shape or array.dtype != into.dtype:
            raise ValueError(
                f"batch_isend_irecv: a rank sends itself {array.dtype} {array.shape}, and receives {into.dtype} "
                f"{into.shape}"
            )
        into[...] = array
        loan.settle()
        works[i], works[j] = Work(), Work(tensors=[received.tensor])
    return works
