"""Functional collectives: they change no tensor and return the result, which is waited for when its elements are used.

`group` is a process group or its name, a DeviceMesh of one dimension, (mesh, dimension), a list of ranks, or a list of
lists of ranks, all of one length, of which this rank is in one. Operations are named as text: "sum", "avg", "product",
"min", "max", "band", "bor", "bxor".

Gradients pass, as through `distributed.nn.functional`: backward is a collective too, which all ranks must run. Of
reductions "sum" and "avg" have one. A result that has a gradient is there at once.
"""

from collections.abc import Sequence
from typing import Any

from ..autograd.mode import mode
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


def _watched(tensor: Tensor) -> bool:
    """Whether a gradient may be asked for."""
    return mode.grad and tensor.requires_grad


def _fresh(like: Tensor, shape: Sequence[int]) -> Tensor:
    return empty(*shape, dtype=like.dtype, device=like.device)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().clone()


def broadcast(self: Tensor, src: int, group: Any, tag: str = "") -> Tensor:
    """The tensor of rank `src` of the job."""
    g = _group(group)
    if _watched(self):
        return graph.broadcast(self, src, g)
    out = _copy(self)
    return _later(out, c.broadcast(out, src, g, async_op=True))


def all_reduce(self: Tensor, reduceOp: str, group: Any, tag: str = "") -> Tensor:
    """The reduction of the ranks' tensors."""
    g, op = _group(group), _named(reduceOp)
    if _watched(self):
        return graph.all_reduce(self, op, g)
    out = _copy(self)
    return _later(out, c.all_reduce(out, op, g, async_op=True))


def all_gather_tensor(self: Tensor, gather_dim: int, group: Any, tag: str = "") -> Tensor:
    """The ranks' tensors one after another along `gather_dim`."""
    g = _group(group)
    if _watched(self):
        return cat(graph.all_gather(self, g), gather_dim)
    mine = self.detach().contiguous()
    out = _fresh(mine, (mine.shape[0] * g.size(), *mine.shape[1:]))
    result = _later(out, c.all_gather_into_tensor(out, mine, g, async_op=True))
    return result if gather_dim == 0 else cat(chunk(result, g.size(), 0), gather_dim)


def reduce_scatter_tensor(self: Tensor, reduceOp: str, scatter_dim: int, group: Any, tag: str = "") -> Tensor:
    """This rank's part, along `scatter_dim`, of the reduction of the ranks' tensors.

    AssertionError unless that dimension divides evenly.
    """
    g, op = _group(group), _named(reduceOp)
    if self.size(scatter_dim) % g.size():
        raise AssertionError(
            f"input dimension {scatter_dim} ({self.size(scatter_dim)}) must be a multiple of group_size {g.size()}"
        )
    parts = chunk(self, g.size(), scatter_dim)
    if _watched(self):
        total = graph.reduce_scatter(parts[0], parts, ReduceOp.SUM if op == ReduceOp.AVG else op, g)
        return total / g.size() if op == ReduceOp.AVG else total
    parts = [part.detach().contiguous() for part in parts]
    out = _fresh(self, parts[0].shape)
    return _later(out, c.reduce_scatter(out, parts, op, g, async_op=True))


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
    g = _group(group)
    rows = self.shape[0] if output_split_sizes is None else sum(output_split_sizes)
    out = _fresh(self, (rows, *self.shape[1:]))
    if _watched(self):
        return graph.all_to_all_single(out, self, output_split_sizes, input_split_sizes, g)
    mine = self.detach().contiguous()
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


# Other names of them: from before gradients passed through all, and newer ones.
all_gather_tensor_autograd, reduce_scatter_tensor_autograd = all_gather_tensor, reduce_scatter_tensor
all_to_all_single_autograd = all_to_all_single
all_gather_single, reduce_scatter_single = all_gather_tensor, reduce_scatter_tensor


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
