"""Messages from one rank to another."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .collectives import Work, _Loan, _outside
from .process_group import ProcessGroup, get_group_rank, resolve


def _peer(group: ProcessGroup, rank: int | None, group_rank: int | None) -> int | None:
    if rank is not None and group_rank is not None:
        raise ValueError("Can't specify both a global and a group rank")
    return group_rank if rank is None else get_group_rank(group, rank)


def isend(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Start sending; leave `tensor` alone until the handle's `wait()`."""
    if _outside(group):
        return None
    g, loan = resolve(group), _Loan()
    peer = _peer(g, dst, group_dst)
    if peer is None:
        raise ValueError("Must specify dst or group_dst")
    if peer == g.rank():
        raise ValueError(
            "Invalid destination rank: destination rank should not be the same as the rank of the current process."
        )
    return Work([g.comm.isend(loan.read(tensor, "tensor"), peer, tag)], loan.settle)


def irecv(tensor, src=None, group=None, tag=0, group_src=None):
    """Start receiving into `tensor` from `src` (anyone if None)."""
    if _outside(group):
        return None
    g, loan = resolve(group), _Loan()
    peer = _peer(g, src, group_src)
    if peer == g.rank():
        raise ValueError("Invalid source rank: source rank should not be the same as the rank of the current process.")
    return Work([g.comm.irecv(loan.write(tensor, "tensor", fresh=True), peer, tag)], loan.settle)


def send(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Send; returns when `tensor` may be changed again."""
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def recv(tensor, src=None, group=None, tag=0, group_src=None):
    """Receive into `tensor`; returns the sender's global rank (-1 outside the group)."""
    work = irecv(tensor, src, group, tag, group_src)
    if work is None:
        return -1
    return resolve(group).ranks[work.source_rank()]


class P2POp(NamedTuple):
    """One send or receive of `batch_isend_irecv`: op is `isend` or `irecv`, peer a global rank."""

    op: Any
    tensor: Any
    peer: int | None = None
    group: Any = None
    tag: int = 0
    group_peer: int | None = None


def batch_isend_irecv(p2p_op_list: Sequence[P2POp]) -> list[Work]:
    """Start several sends and receives of one group; a handle for each. What a rank sends to itself is taken by its
    receives from itself, in order; ValueError if these are not as many.
    """
    if not p2p_op_list or not all(isinstance(p, P2POp) for p in p2p_op_list):
        raise ValueError("Invalid ``p2p_op_list``. Each op is expected to be of type ``torch.distributed.P2POp``.")
    for p in p2p_op_list:
        if p.op not in (isend, irecv):
            raise ValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                "``torch.distributed.irecv``."
            )
    if any(p.group != p2p_op_list[0].group for p in p2p_op_list):
        raise ValueError("All ops need to use the same group.")
    if _outside(p2p_op_list[0].group):
        return [None] * len(p2p_op_list)
    own = _take_own(p2p_op_list)
    return [own.get(i) or p.op(p.tensor, p.peer, p.group, p.tag, p.group_peer) for i, p in enumerate(p2p_op_list)]


def _take_own(p2p_op_list: Sequence[P2POp]) -> dict[int, Work]:
    """Carry out what this rank sends to itself; the handles by the operations' places in the list."""
    group = resolve(p2p_op_list[0].group)
    own = [(i, p) for i, p in enumerate(p2p_op_list) if _peer(group, p.peer, p.group_peer) == group.rank()]
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
