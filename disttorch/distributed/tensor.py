"""torch.distributed.tensor: what programs ask with whether, and how, a tensor is split over ranks. Here none is."""

from dataclasses import dataclass
from typing import Any

from ..autograd.variable import Tensor
from ..dispatch import disabled_torch_function
from .device_mesh import DeviceMesh, init_device_mesh

__all__ = ["DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "init_device_mesh"]


class DTensor(Tensor):
    """What no tensor here is an instance of; it cannot be made."""

    __torch_function__ = staticmethod(disabled_torch_function)

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError("tensors that are split over ranks (tensor parallelism) are not supported")


class Placement:
    """How a tensor lies along one dimension of a mesh."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it is split (along `dim`)."""
        return isinstance(self, Shard) and dim in (None, self.dim)

    def is_replicate(self) -> bool:
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether it is still to be reduced (by `reduce_op`)."""
        return isinstance(self, Partial) and reduce_op in (None, self.reduce_op)


@dataclass(frozen=True)
class Shard(Placement):
    """Split along the tensor's dimension `dim`."""

    dim: int


@dataclass(frozen=True)
class Replicate(Placement):
    """A copy on every rank."""


@dataclass(frozen=True)
class Partial(Placement):
    """A part on every rank, of which `reduce_op` makes the whole."""

    reduce_op: str = "sum"
