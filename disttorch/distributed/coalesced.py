"""Collectives of several tensors under one handle. Asynchronous ones give a future, as in PyTorch."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from ..autograd.variable import Tensor, wrap
from ..futures import Future
from .arguments import check_list, outside
from .collectives import Work, all_gather, all_reduce, collecting
from .group_checks import check_gathered
from .packing import by_dtype, flat, pieces, put
from .process_group import resolve
from .reduce_ops import ReduceOp

__all__ = ["_coalescing_manager", "all_gather_coalesced", "all_reduce_coalesced"]


class _CoalescingManager:
    """The handle of what was started inside a `_coalescing_manager`, once that has ended."""

    def __init__(self) -> None:
        self.works: list[Work] = []

    def append(self, work: Work | None = None) -> None:
        if work is not None:
            self.works.append(work)

    def wait(self) -> None:
        for work in self.works:
            work.wait()


@contextlib.contextmanager
def _coalescing_manager(group: Any = None, device: Any = None, async_ops: bool = False) -> Iterator[_CoalescingManager]:
    """A block whose all_reduce, all_gather_into_tensor and reduce_scatter_tensor are started one after another and end
    together: at the block's end, or with `async_ops` at the manager's `wait()`. ValueError for a block in a block.
    """
    if collecting.works is not None:
        raise ValueError("ProcessGroup has non-empty op list at the start of coalescing")
    manager, works = _CoalescingManager(), []
    collecting.works = works
    try:
        yield manager
    finally:
        collecting.works = None
        if works:
            manager.append(together(works))
    if not async_ops:
        manager.wait()


def all_reduce_coalesced(tensors, op=ReduceOp.SUM, group=None, async_op=False):
    """all_reduce of several tensors, in one message for each dtype. With `async_op` a future of them."""
    check_list(tensors, "tensors")
    return None if outside(group, "all_reduce_coalesced") else _ended(start_all_reduce(tensors, op, group), async_op)


def all_gather_coalesced(output_tensor_lists, input_tensor_list, group=None, async_op=False):
    """all_gather of several tensors: output_tensor_lists[r][i] becomes rank r's input_tensor_list[i]. With `async_op` a
    future of the outputs.
    """
    check_list(input_tensor_list, "tensor_list")
    for tensors in output_tensor_lists:
        check_list(tensors, "output_tensor_lists")
    if outside(group, "all_gather_coalesced"):
        return None
    check_gathered("allgather_coalesced", output_tensor_lists, input_tensor_list, resolve(group).size())
    return _ended(start_all_gather(output_tensor_lists, input_tensor_list, group), async_op)


def start_all_reduce(tensors: Sequence[Tensor], op: Any, group: Any) -> Work:
    """The tensors are packed first, so that one that occurs twice is reduced once."""
    kinds = by_dtype(tensors)
    packed = [wrap(flat([tensors[i] for i in kind])) for kind in kinds]

    def unpack() -> None:
        for kind, whole in zip(kinds, packed, strict=True):
            shapes = [tensors[i]._data.shape for i in kind]
            for i, piece in zip(kind, pieces(whole._data, shapes), strict=True):
                put(tensors[i], piece)

    return Work([all_reduce(whole, op, group, async_op=True) for whole in packed], unpack, tensors)


def start_all_gather(output_tensor_lists: Any, input_tensor_list: Sequence[Tensor], group: Any) -> Work:
    columns = [[tensors[i] for tensors in output_tensor_lists] for i in range(len(input_tensor_list))]
    pairs = zip(columns, input_tensor_list, strict=True)
    return together([all_gather(outputs, t, group, async_op=True) for outputs, t in pairs])


def together(works: Sequence[Work]) -> Work:
    """One handle for several works; its result are the tensors of all."""
    return Work(works, tensors=[t for work in works for t in work._tensors])


def _ended(work: Work, async_op: bool) -> Future | None:
    if async_op:
        return work.get_future()
    work.wait()
    return None
