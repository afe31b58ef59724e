"""Collectives that gradients pass through, for losses over the samples of all ranks.

Nothing is changed in place: each returns new tensors. What is differentiated is the sum of all ranks' losses, so every
backward is a collective too, which all ranks must run: a broadcast's is a reduce, a gather's a scatter, an all_gather's
a reduce_scatter, and the other way round. Backward is differentiable again. Reductions other than a sum (for all_reduce
also an average) have none. Ranks are those of the job, as everywhere; `group` is the default one if None.
"""

from collections.abc import Sequence
from typing import Any

from ...autograd import Function
from ...autograd.variable import Tensor
from ...ops import empty_like, zeros_like
from .. import collectives as c
from ..process_group import get_rank, get_world_size
from ..reduce_ops import ReduceOp


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """Rank `src`'s tensor, on every rank."""
    return _Broadcast.apply(src, group, tensor)


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The reduction of all ranks' tensors on rank `dst`; elsewhere the tensor itself, copied."""
    return _Reduce.apply(dst, op, group, tensor)


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The reduction of all ranks' tensors, on every rank."""
    return _AllReduce.apply(op, group, tensor)


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """All ranks' tensors, on every rank."""
    return _AllGather.apply(group, tensor)


def reduce_scatter(output: Tensor, input_list: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The reduction over all ranks of their input_list[this rank]; `output` only shows its shape."""
    return _Reduce_Scatter.apply(op, group, *input_list)


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """All ranks' tensors on rank `dst`; zeros elsewhere."""
    return _Gather.apply(dst, group, tensor)


def scatter(tensors: Sequence[Tensor], src: int = 0, group: Any = None) -> Tensor:
    """Rank `src`'s tensors[this rank]; on other ranks `tensors` only shows the shape."""
    return _Scatter.apply(src, group, *tensors)


def all_to_all(
    output_tensor_list: Sequence[Tensor], input_tensor_list: Sequence[Tensor], group: Any = None
) -> tuple[Tensor, ...]:
    """From each rank its input_tensor_list[this rank]; `output_tensor_list` only shows their shapes."""
    return _AlltoAll.apply(group, tuple(output_tensor_list), *input_tensor_list)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
) -> Tensor:
    """`input` cut into parts, one for each rank, and the parts for this rank joined; `output` only shows their shape.

    The sizes are those of the parts along the first dimension (None: equal ones).
    """
    return _AlltoAllSingle.apply(group, output, output_split_sizes, input_split_sizes, input)


# The classes' names are PyTorch's: nodes of the graph show them.
class _Broadcast(Function):
    @staticmethod
    def forward(ctx, src, group, tensor):
        ctx.src, ctx.group = src, group
        out = tensor.contiguous().clone()
        c.broadcast(out, src, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        total = _Reduce.apply(ctx.src, ReduceOp.SUM, ctx.group, grad)
        return None, None, total if get_rank() == ctx.src else zeros_like(total)


class _Reduce(Function):
    @staticmethod
    def forward(ctx, dst, op, group, tensor):
        ctx.dst, ctx.op, ctx.group = dst, op, group
        out = tensor.contiguous().clone()
        c.reduce(out, dst, op, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        _check("reduce", ctx.op, ReduceOp.SUM)
        return None, None, None, _Broadcast.apply(ctx.dst, ctx.group, grad)


class _AllReduce(Function):
    @staticmethod
    def forward(ctx, op, group, tensor):
        ctx.op, ctx.group = op, group
        out = tensor.contiguous().clone()
        c.all_reduce(out, op, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        _check("all_reduce", ctx.op, ReduceOp.SUM, ReduceOp.AVG)
        return None, None, _AllReduce.apply(ctx.op, ctx.group, grad)


class _AllGather(Function):
    @staticmethod
    def forward(ctx, group, tensor):
        ctx.group = group
        tensor = tensor.contiguous()
        parts = [empty_like(tensor) for _ in range(get_world_size(group))]
        c.all_gather(parts, tensor, group)
        return tuple(parts)

    @staticmethod
    def backward(ctx, *grads):
        return None, _Reduce_Scatter.apply(ReduceOp.SUM, ctx.group, *grads)


class _Reduce_Scatter(Function):
    @staticmethod
    def forward(ctx, op, group, *inputs):
        ctx.op, ctx.group = op, group
        parts = [part.contiguous() for part in inputs]
        out = empty_like(parts[0])
        c.reduce_scatter(out, parts, op, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        _check("reduce_scatter", ctx.op, ReduceOp.SUM)
        return None, None, *_AllGather.apply(ctx.group, grad)


class _Gather(Function):
    @staticmethod
    def forward(ctx, dst, group, tensor):
        ctx.dst, ctx.group = dst, group
        tensor = tensor.contiguous()
        parts = [zeros_like(tensor) for _ in range(get_world_size(group))]
        c.gather(tensor, parts if get_rank() == dst else None, dst, group)
        return tuple(parts)

    @staticmethod
    def backward(ctx, *grads):
        return None, None, _Scatter.apply(ctx.dst, ctx.group, *grads)


class _Scatter(Function):
    @staticmethod
    def forward(ctx, src, group, *tensors):
        ctx.src, ctx.group = src, group
        parts = [part.contiguous() for part in tensors]
        out = empty_like(parts[0])
        c.scatter(out, parts if get_rank() == src else None, src, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        return None, None, *_Gather.apply(ctx.src, ctx.group, grad)


class _AlltoAll(Function):
    @staticmethod
    def forward(ctx, group, outputs, *inputs):
        ctx.group = group
        ctx.like = tuple(zeros_like(part) for part in inputs)
        parts = [empty_like(part) for part in outputs]
        c.all_to_all(parts, [part.contiguous() for part in inputs], group)
        return tuple(parts)

    @staticmethod
    def backward(ctx, *grads):
        return None, None, *_AlltoAll.apply(ctx.group, ctx.like, *grads)


class _AlltoAllSingle(Function):
    @staticmethod
    def forward(ctx, group, output, output_sizes, input_sizes, tensor):
        ctx.group, ctx.sizes, ctx.like = group, (input_sizes, output_sizes), zeros_like(tensor)
        out = empty_like(output)
        c.all_to_all_single(out, tensor.contiguous(), output_sizes, input_sizes, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        return None, None, None, None, _AlltoAllSingle.apply(ctx.group, ctx.like, *ctx.sizes, grad)


def _check(name: str, op: Any, *allowed: Any) -> None:
    if op not in allowed:
        raise RuntimeError(f"{name} with {op} has no gradient here: take ReduceOp.SUM")
