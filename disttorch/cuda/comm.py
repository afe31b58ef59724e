"""Copies and sums between the CUDA devices of one process (torch.cuda.comm).

Results that are to lie where their tensor lies are that tensor, or a view of it.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from .. import devices as places
from .._utils import _get_device_index
from ..ops import cat
from ..tensors import Tensor

__all__ = ["broadcast", "broadcast_coalesced", "gather", "reduce_add", "reduce_add_coalesced", "scatter"]


def broadcast(tensor: Tensor, devices: Iterable | None = None, *, out: Sequence[Tensor] | None = None) -> Sequence:
    """The tensor on each of `devices`, or copied into each of `out`: tensors of its shape on CUDA devices.

    Raises RuntimeError unless one of the two is given, or where `out` does not fit.
    """
    if (devices is None) == (out is None):
        raise RuntimeError(
            f"Exactly one of 'devices' and 'out' must be specified, but got devices={devices} and out={out}"
        )
    if out is None:
        return [tensor.to(where) for where in _cuda(devices)]
    _check_on_cuda(out, "output")
    for i, o in enumerate(out):
        if o.shape != tensor.shape:
            raise RuntimeError(
                f"Expected all output tensors to have same shape as the source tensor {list(tensor.shape)}, but output "
                f"tensor at index {i} has shape {list(o.shape)}"
            )
        o.copy_(tensor)
    return tuple(out)


def broadcast_coalesced(tensors: Iterable[Tensor], devices: Iterable, buffer_size: int = 10485760) -> list[list]:
    """For each device, the tensors on it. buffer_size is without effect."""
    tensors = list(tensors)
    return [[t.to(where) for t in tensors] for where in _cuda(devices)]


def reduce_add(inputs: Sequence[Tensor], destination: Any = None) -> Tensor:
    """The sum of tensors of one shape on several devices, on that of them which is `destination` (None: the current
    one). AssertionError for a tensor on the CPU, ValueError for one of another shape, RuntimeError where none lies at
    the destination.
    """
    index, root = _get_device_index(destination, optional=True), None
    for i, t in enumerate(inputs):
        if t.device.type == "cpu":
            raise AssertionError(f"reduce_add expects all inputs to be on GPUs, but input {i} is on CPU")
        if t.device.index == index:
            root = i
        if t.shape != inputs[0].shape:
            got, expected = ("x".join(map(str, shape)) for shape in (t.shape, inputs[0].shape))
            raise ValueError(f"input {i} has invalid size: got {got}, but expected {expected}")
    if root is None:
        raise RuntimeError("reduce_add expects destination to be on the same GPU with one of the tensors")
    total = inputs[root]
    for i, t in enumerate(inputs):
        if i != root:
            total = total + t.to(total.device)
    return total


def reduce_add_coalesced(
    inputs: Iterable[Iterable[Tensor]], destination: Any = None, buffer_size: int = 10485760
) -> tuple[Tensor, ...]:
    """The i-th result is the sum of the i-th tensors of each device's list. buffer_size is without effect."""
    return tuple(reduce_add(each, destination) for each in zip(*inputs, strict=True))


def scatter(
    tensor: Tensor,
    devices: Iterable | None = None,
    chunk_sizes: Sequence[int] | None = None,
    dim: int = 0,
    streams: Any = None,
    *,
    out: Sequence[Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """The tensor cut along `dim`, in equal chunks or in such of `chunk_sizes`, each on its device or copied into its
    tensor of `out`. streams is without effect. Raises RuntimeError where numbers or shapes do not fit.
    """
    if out is not None:
        return _scatter_into(tensor, devices, chunk_sizes, dim, out)
    wheres = _cuda(devices)
    if not wheres:
        raise RuntimeError("Expected at least one device to scatter to")
    if chunk_sizes is not None and len(chunk_sizes) != len(wheres):
        raise RuntimeError(
            f"Expected devices and chunk_sizes to be of same length, but got len(devices) = {len(wheres)} and "
            f"len(chunk_sizes) = {len(chunk_sizes)}"
        )
    chunks = tensor.chunk(len(wheres), dim) if chunk_sizes is None else tensor.split(list(chunk_sizes), dim)
    return tuple(chunk.to(where) for chunk, where in zip(chunks, wheres, strict=False))


def _scatter_into(tensor: Tensor, devices: Any, chunk_sizes: Any, dim: int, out: Sequence[Tensor]) -> tuple:
    for name, value in (("devices", devices), ("chunk_sizes", chunk_sizes)):
        if value is not None:
            raise RuntimeError(f"'{name}' must not be specified when 'out' is specified, but got {name}={value}")
    if not out:
        raise RuntimeError("Expected at least one output tensor to scatter to")
    _check_on_cuda(out, "output")
    d = dim + tensor.ndim if dim < 0 else dim
    for i, o in enumerate(out):
        if o.ndim != tensor.ndim or o.shape != (*tensor.shape[:d], o.shape[d], *tensor.shape[d + 1 :]):
            raise RuntimeError(
                f"Output tensor at index {i} has incorrect shape: {list(o.shape)}. Expected same shape except for "
                f"scatter dim {d} as the source tensor: {list(tensor.shape)}"
            )
    sizes = [o.shape[d] for o in out]
    if sum(sizes) != tensor.shape[d]:
        raise RuntimeError(
            f"Total size for output tensors along scatter dim {d} does not match the source tensor size at dim {d}. "
            f"Expected total size {tensor.shape[d]}, but got total size {sum(sizes)}"
        )
    for o, chunk in zip(out, tensor.split(sizes, d), strict=True):
        o.copy_(chunk)
    return tuple(out)


def gather(tensors: Iterable[Tensor], dim: int = 0, destination: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Tensors on CUDA devices joined along `dim` on `destination`, a device of any kind (None: the current CUDA
    device), or in `out`. Raises RuntimeError where shapes do not fit.
    """
    tensors = list(tensors)
    if out is not None and destination is not None:
        raise RuntimeError(f"'destination' must not be specified when 'out' is specified, but got {destination=}")
    if out is None and destination == -1:
        warnings.warn(
            "Using -1 to represent CPU tensor is deprecated. Please use a device object or string instead, e.g., "
            '"cpu".',
            FutureWarning,
            stacklevel=2,
        )
    if not tensors:
        raise RuntimeError("Expected at least one tensor to gather from")
    _check_on_cuda(tensors, "input")
    d = dim + tensors[0].ndim if dim < 0 else dim
    for i, t in enumerate(tensors):
        if t.ndim != tensors[0].ndim:
            raise RuntimeError(
                f"Expected all input tensors to have the same number of dimensions, but tensor at index {i} has "
                f"{t.ndim} dimensions, (expected {tensors[0].ndim})"
            )
        expected = [*tensors[0].shape[:d], t.shape[d], *tensors[0].shape[d + 1 :]]
        if list(t.shape) != expected:
            raise RuntimeError(f"Input tensor at index {i} has invalid shape {list(t.shape)}, but expected {expected}")
    if out is None:
        index = _get_device_index(destination, optional=True, allow_cpu=True)
        where = places.CPU if index < 0 else places.device("cuda", index)
        return cat([t.to(where) for t in tensors], d)
    joined = cat([t.to(out.device) for t in tensors], d)
    if out.shape != joined.shape:
        raise RuntimeError(f"Expected out tensor to have shape {list(joined.shape)}, but got {list(out.shape)}")
    return out.copy_(joined)


def _cuda(devices: Iterable | None) -> list[places.device]:
    return [places.resolve(places.device("cuda", _get_device_index(d))) for d in devices or ()]


def _check_on_cuda(tensors: Iterable[Tensor], role: str) -> None:
    for i, t in enumerate(tensors):
        if t.device.type != "cuda":
            raise RuntimeError(
                f"Expected all {role} tensors to be CUDA tensors, but {'output ' if role == 'output' else ''}tensor at "
                f"index {i} has device '{t.device}'"
            )
