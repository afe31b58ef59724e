"""Functional collectives: they change no tensor and return the result, which is waited for when its elements are used.

`group` is a process group or its name, a DeviceMesh of one dimension, (mesh, dimension), a list of ranks, or a list of
lists of ranks, all of one length, of which this rank is in one. Operations are named as text: "sum", "avg", "product",
"min", "max", "band", "bor", "bxor". No gradient passes, but through those whose names end in `_autograd`.
"""

from collections.abc import Sequence
from typing import Any

from ..autograd.variable import Tensor, wrap
from ..dispatch import disabled_torch_function
from ..ops import cat, chunk, empty
from . import collectives as c
from .device_mesh import DeviceMesh
from .groups import new_group
from .nn import functional as graph
from .process_group import ProcessGroup, get_rank, world
from .reduce_ops import ReduceOp

__all__ = [
    "AsyncCollectiveTensor",
    "all_gather_into_tensor_coalesced",
    "all_gather_single",
    "all_gather_tensor",
    "all_gather_tensor_autograd",
    "all_reduce",
    "all_reduce_coalesced",
    "all_to_all_single",
    "all_to_all_single_autograd",
    "broadcast",
    "permute_tensor",
    "reduce_scatter_single",
    "reduce_scatter_tensor",
    "reduce_scatter_tensor_autograd",
    "reduce_scatter_tensor_coalesced",
    "wait_tensor",
]

_array, _put = Tensor._data.__get__, Tensor._data.__set__  # type: ignore[attr-defined]  a slot


class AsyncCollectiveTensor(Tensor):
    """The result of a collective under way. It is waited for when its elements are first asked for, and is an ordinary
    Tensor from then on.
    """

    __slots__ = ()
    __torch_function__ = staticmethod(disabled_torch_function)

    @property
    def _data(self) -> Any:  # type: ignore[override]
        work = self.__dict__.pop("_work", None)
        if work is not None:
            work.wait()
            self.__class__ = Tensor  # type: ignore[assignment]
        return _array(self)

    @_data.setter
    def _data(self, array: Any) -> None:
        _put(self, array)

    def wait(self) -> Tensor:
        """The tensor, after the end of its collective."""
        return wait_tensor(self)

    trigger_wait = wait


def wait_tensor(tensor: Tensor) -> Tensor:
    """`tensor`, after the end of the collective that fills it. Raises that one's error."""
    tensor._data  # noqa: B018  looking waits
    return tensor


def _later(out: Tensor, work: Any) -> Tensor:
    """`out` as a tensor that waits for `work`."""
    result = wrap(out._data, out.device, AsyncCollectiveTensor)
    result._work = work
    return result


def _fresh(like: Tensor, shape: Sequence[int]) -> Tensor:
    return empty(*shape, dtype=like.dtype, device=like.device)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().clone()


def broadcast(self: Tensor, src: int, group: Any, tag: str = "") -> Tensor:
    """The tensor of rank `src` of the job."""
    out = _copy(self)
    return _later(out, c.broadcast(out, src, _group(group), async_op=True))


def all_reduce(self: Tensor, reduceOp: str, group: Any, tag: str = "") -> Tensor:
    """The reduction of the ranks' tensors."""
    out = _copy(self)
    return _later(out, c.all_reduce(out, _named(reduceOp), _group(group), async_op=True))


def all_gather_tensor(self: Tensor, gather_dim: int, group: Any, tag: str = "") -> Tensor:
    """The ranks' tensors one after another along `gather_dim`."""
    g, mine = _group(group), self.detach().contiguous()
    out = _fresh(mine, (mine.shape[0] * g.size(), *mine.shape[1:]))
    result = _later(out, c.all_gather_into_tensor(out, mine, g, async_op=True))
    return result if gather_dim == 0 else cat(chunk(result, g.size(), 0), gather_dim)


def reduce_scatter_tensor(self: Tensor, reduceOp: str, scatter_dim: int, group: Any, tag: str = "") -> Tensor:
    """This rank's part, along `scatter_dim`, of the reduction of the ranks' tensors.

    AssertionError unless that dimension divides evenly.
    """
    g, mine = _group(group), self.detach()
    if mine.size(scatter_dim) % g.size():
        raise AssertionError(
            f"input dimension {scatter_dim} ({mine.size(scatter_dim)}) must be a multiple of group_size {g.size()}"
        )
    parts = [part.contiguous() for part in chunk(mine, g.size(), scatter_dim)]
    out = _fresh(mine, parts[0].shape)
    return _later(out, c.reduce_scatter(out, parts, _named(reduceOp), g, async_op=True))


def all_to_all_single(
    self: Tensor, output_split_sizes: list[int] | None, input_split_sizes: list[int] | None, group: Any, tag: str = ""
) -> Tensor:
    """The parts, along dimension 0, that the ranks have for this one, one after another; None: equal parts.

    AssertionError where sizes are given on one side only.
    """
    if (output_split_sizes is None) != (input_split_sizes is None):
        raise AssertionError(
            "output_split_sizes and input_split_sizes must either be specified together or both set to None"
        )
    g, mine = _group(group), self.detach().contiguous()
    rows = mine.shape[0] if output_split_sizes is None else sum(output_split_sizes)
    out = _fresh(mine, (rows, *mine.shape[1:]))
    return _later(out, c.all_to_all_single(out, mine, output_split_sizes, input_split_sizes, g, async_op=True))


def permute_tensor(self: Tensor, src_dst: list[int], group: Any, tag: str = "") -> Tensor:
    """The tensor of the rank i of the group whose src_dst[i] is this rank: rank i sends to src_dst[i].

    ValueError unless every rank of the group is there once.
    """
    g = _group(group)
    if sorted(src_dst) != list(range(g.size())):
        raise ValueError(f"src_dst must have each rank from 0 to {g.size() - 1} once, got {src_dst}")
    flat, me = self.reshape(-1), g.rank()
    sent, got = [0] * g.size(), [0] * g.size()
    sent[src_dst[me]] = got[src_dst.index(me)] = flat.numel()
    return all_to_all_single(flat, got, sent, g).view(self.shape)


def all_reduce_coalesced(self: Sequence[Tensor], reduceOp: str, group: Any, tag: str = "") -> list[Tensor]:
    """`all_reduce` of several tensors."""
    g = _group(group)
    return [all_reduce(t, reduceOp, g) for t in self]


def all_gather_into_tensor_coalesced(self: Sequence[Tensor], group: Any, tag: str = "") -> list[Tensor]:
    """`all_gather_tensor` of several tensors, along dimension 0."""
    g = _group(group)
    return [all_gather_tensor(t, 0, g) for t in self]


def reduce_scatter_tensor_coalesced(
    inputs: Sequence[Tensor], reduceOp: str, scatter_dim: Sequence[int], group: Any, tag: str = ""
) -> list[Tensor]:
    """`reduce_scatter_tensor` of several tensors."""
    g = _group(group)
    return [reduce_scatter_tensor(t, reduceOp, dim, g) for t, dim in zip(inputs, scatter_dim, strict=True)]


def all_gather_tensor_autograd(self: Tensor, gather_dim: int, group: Any, tag: str = "") -> Tensor:
    """`all_gather_tensor`, whose gradient is the sum of the ranks' gradients for this rank's part."""
    return cat(graph.all_gather(self, _group(group)), gather_dim)


def reduce_scatter_tensor_autograd(self: Tensor, reduceOp: str, scatter_dim: int, group: Any, tag: str = "") -> Tensor:
    """`reduce_scatter_tensor`, whose gradient ("sum" and "avg" have one) is what the ranks' gradients are together."""
    g = _group(group)
    parts = chunk(self, g.size(), scatter_dim)
    total = graph.reduce_scatter(parts[0], parts, ReduceOp.SUM if reduceOp == "avg" else _named(reduceOp), g)
    return total / g.size() if reduceOp == "avg" else total


def all_to_all_single_autograd(
    self: Tensor, output_split_sizes: list[int] | None, input_split_sizes: list[int] | None, group: Any, tag: str = ""
) -> Tensor:
    """`all_to_all_single`, whose gradients go the way back."""
    rows = self.shape[0] if output_split_sizes is None else sum(output_split_sizes)
    out = _fresh(self, (rows, *self.shape[1:]))
    return graph.all_to_all_single(out, self, output_split_sizes, input_split_sizes, _group(group))


all_gather_single, reduce_scatter_single = all_gather_tensor, reduce_scatter_tensor  # the newer names


def _named(op: Any) -> Any:
    """The ReduceOp of a name (or itself). RuntimeError for a name that none has."""
    if isinstance(op, str):
        if op.upper() not in ReduceOp.RedOpType.__members__:
            raise RuntimeError(f"Unrecognized reduce_op: {op}")
        return getattr(ReduceOp, op.upper())
    return op


def _group(given: Any) -> ProcessGroup:
    """The group that is meant. ValueError for what means none."""
    if isinstance(given, ProcessGroup):
        return given
    if isinstance(given, DeviceMesh):
        if given.ndim != 1:
            raise AssertionError("Only 1D mesh is supported, pass in (DeviceMesh, int) together if mesh > 1D")
        return given.get_group(0)
    if isinstance(given, str):
        found = [g for g in world().groups if g.group_name == given]
        if not found:
            raise RuntimeError(f"Could not resolve the process group registered under the name {given}")
        return found[0]
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], DeviceMesh):
        return given[0].get_group(given[1])
    if isinstance(given, list) and given:
        return _of_ranks(given)
    raise ValueError("Invalid type for group, must be one of List, Processgroup, DeviceMesh or (DeviceMesh, int).")


def _of_ranks(ranks: list) -> ProcessGroup:
    """The group of exactly these ranks, or of the list of them that has this rank; made by its members if new."""
    if isinstance(ranks[0], list):
        if len({len(line) for line in ranks}) > 1:
            raise ValueError(f"group sizes must be identical found {sorted({len(line) for line in ranks})}")
        ranks = next((line for line in ranks if get_rank() in line), [])
    if get_rank() not in ranks:
        raise ValueError(f"rank {get_rank()} is in none of the groups that were given")
    known = [g for g in world().groups if g.ranks == ranks]
    return known[0] if known else new_group(ranks, use_local_synchronization=True, sort_ranks=False)
