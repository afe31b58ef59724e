"""torch._utils: tensors packed into flat ones, as programs do that average gradients by themselves; indices of devices,
as data-parallel wrappers of their own read them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from . import devices
from .ops.joining import cat
from .tensors import Tensor


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """The elements of all tensors one after another, in one dimension."""
    return cat([t.reshape(-1) for t in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Views of `flat`, which has as many elements as `tensors` together, in their shapes."""
    sizes = [t.numel() for t in tensors]
    return tuple(piece.view(t.shape) for piece, t in zip(flat.split(sizes), tensors, strict=True))


def _take_tensors(tensors: Iterable[Tensor], size_limit: int) -> Iterator[list[Tensor]]:
    """The tensors in lists of one type and at most `size_limit` bytes (a larger tensor goes alone)."""
    taken: dict[str, list[Tensor]] = {}
    sizes: dict[str, int] = {}
    for t in tensors:
        kind = t.type()
        size = t.numel() * t.element_size()
        if taken.get(kind) and sizes[kind] + size > size_limit:
            yield taken.pop(kind)
            sizes[kind] = 0
        taken.setdefault(kind, []).append(t)
        sizes[kind] = sizes.get(kind, 0) + size
    yield from taken.values()


def _reorder_tensors_as(tensors: Iterable[Tensor], ordered_tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tensors, which are in the order of `ordered_tensors` within each type, in that order altogether."""
    by_type: dict[str, list[Tensor]] = {}
    for t in tensors:
        by_type.setdefault(t.type(), []).append(t)
    left = {kind: iter(found) for kind, found in by_type.items()}
    return tuple(next(left[t.type()]) for t in ordered_tensors)


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """The index of a CUDA device that is given as an int, a name or a device; -1 for the CPU where it is allowed.

    optional: None, and a device without an index, are the current one. Raises ValueError for what has no index.
    """
    if isinstance(device, int):
        return device
    where = devices.device(device) if isinstance(device, str) else device
    if isinstance(where, devices.device):
        if allow_cpu and where.type == "cpu":
            return -1
        if where.type != "cuda":
            raise ValueError(f"Expected a cuda{' or cpu' * allow_cpu} device, but got: {where}")
        if where.index is not None:
            return where.index
    if not optional or not (where is None or isinstance(where, devices.device)):
        raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
    return devices.current_cuda()


def _get_all_device_indices() -> list[int]:
    """The indices of all CUDA devices."""
    return list(range(devices.device_count()))


def _get_available_device_type() -> str | None:
    """The type "cuda", or None without such devices."""
    return "cuda" if devices.device_count() else None
