"""torch.distributed.utils: what libraries with data-parallel wrappers of their own take from PyTorch's."""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ..autograd.variable import Tensor
from ..nn.modules.module import Module
from ..nn.parallel.buckets import FIRST_BUCKET_BYTES as _DEFAULT_FIRST_BUCKET_BYTES
from ..nn.parallel.buckets import Item, fill_buckets
from ..nn.parallel.fingerprint import check_structure
from ..nn.parallel.scatter_gather import moved_to
from .packing import broadcast_tensors
from .process_group import ProcessGroup

__all__ = ["_DEFAULT_FIRST_BUCKET_BYTES"]


def _sync_module_states(
    module: Module,
    process_group: ProcessGroup,
    broadcast_bucket_size: int,
    src: int,
    params_and_buffers_to_ignore: Collection[str],
    broadcast_buffers: bool = True,
) -> None:
    """Make the module's parameters and buffers those of the group's rank `src`, but for the names to be ignored."""
    named = [*module.named_parameters(), *(module.named_buffers() if broadcast_buffers else ())]
    states = [t.detach() for name, t in named if name not in params_and_buffers_to_ignore]
    _sync_params_and_buffers(process_group, states, broadcast_bucket_size, src)


def _sync_params_and_buffers(
    process_group: ProcessGroup, module_states: Sequence[Tensor], broadcast_bucket_size: int, src: int
) -> None:
    """Make the tensors those of the group's rank `src`, in one message."""
    broadcast_tensors(process_group.comm, module_states, src)


def _broadcast_coalesced(
    process_group: ProcessGroup, tensors: Sequence[Tensor], buffer_size: int, src: int = 0
) -> None:
    """Make the tensors those of the group's rank `src`, in one message."""
    broadcast_tensors(process_group.comm, tensors, src)


def _compute_bucket_assignment_by_size(
    tensors: Sequence[Tensor],
    bucket_size_limits: Sequence[int],
    expect_sparse_gradient: Sequence[bool] = (),
    tensor_indices: Sequence[int] = (),
    logger: Any = None,
) -> tuple[list[list[int]], list[int]]:
    """(buckets of indices, the bytes that each was filled to) of tensors taken in order, or as `tensor_indices` numbers
    them. The k-th bucket of a dtype and device is closed when it has reached the k-th limit, or the last. Tensors of
    which a sparse gradient is expected have one each.
    """
    sparse = list(expect_sparse_gradient) or [False] * len(tensors)
    items = [
        Item(t._data.nbytes, (t.dtype, t.device, i if alone else None))
        for i, (t, alone) in enumerate(zip(tensors, sparse, strict=True))
    ]
    filled = fill_buckets(items, range(len(items)), bucket_size_limits)
    numbers = list(tensor_indices) or range(len(items))
    return [[numbers[i] for i in bucket] for bucket, _ in filled], [limit for _, limit in filled]


def _verify_param_shape_across_processes(
    process_group: ProcessGroup, tensors: Sequence[Tensor], logger: Any = None
) -> None:
    """RuntimeError naming a rank whose tensors have other shapes or dtypes than rank 0's."""
    check_structure(process_group.comm, [(f"[{i}]", t) for i, t in enumerate(tensors)])


_verify_params_across_processes = _verify_param_shape_across_processes


def _pack_kwargs(*args: Any, **kwargs: Any) -> tuple[tuple, tuple[str, ...]]:
    """All arguments one after another, and the names of those that were given by name."""
    return (*args, *kwargs.values()), tuple(kwargs)


def _unpack_kwargs(flat_args: tuple, kwarg_keys: tuple[str, ...]) -> tuple[tuple, dict[str, Any]]:
    """The arguments that `_pack_kwargs` took. ValueError if there are more names than values."""
    first = len(flat_args) - len(kwarg_keys)
    if first < 0:
        raise ValueError(f"too many keys {len(kwarg_keys)} vs. {len(flat_args)}")
    return flat_args[:first], dict(zip(kwarg_keys, flat_args[first:], strict=True))


def _recursive_to(inputs: Any, target_device: Any, use_side_stream_for_tensor_copies: bool = False) -> tuple:
    """A tuple of the inputs with all tensors inside them on the device."""
    return (moved_to(inputs, target_device),)


def _to_kwargs(
    inputs: Any, kwargs: dict | None, target_device: Any, use_side_stream_for_tensor_copies: bool = False
) -> tuple[tuple, tuple]:
    """Tuples of the inputs and of the keyword arguments on the device."""
    return (moved_to(inputs, target_device),), (moved_to(kwargs or {}, target_device),)


def _apply_to_tensors(fn: Callable, container: Any) -> Any:
    """`fn` of every tensor in nested lists, tuples, sets, dicts and dataclasses; all else as it is."""

    def apply(value: Any) -> Any:
        if isinstance(value, Tensor):
            return fn(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return dataclasses.replace(
                value, **{f.name: apply(getattr(value, f.name)) for f in dataclasses.fields(value)}
            )
        if isinstance(value, OrderedDict):
            return OrderedDict((key, apply(inner)) for key, inner in value.items())
        if isinstance(value, dict):
            return {key: apply(inner) for key, inner in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(apply, value))
        if isinstance(value, list | tuple | set):
            return type(value)(map(apply, value))
        return value

    return apply(container)


def _p_assert(cond: Any, s: str, raise_assertion_error: bool = True) -> None:
    """An assertion that is heard where asserts are not: AssertionError with the text `s`, which is printed too."""
    if not cond:
        print(s)
        if raise_assertion_error:
            raise AssertionError(s)
