"""torch.distributed.tensor: the type by which programs ask whether a tensor is split over ranks. Here none is."""

from typing import Any

from ..autograd.variable import Tensor
from ..dispatch import disabled_torch_function

__all__ = ["DTensor"]


class DTensor(Tensor):
    """What no tensor here is an instance of; it cannot be made."""

    __torch_function__ = staticmethod(disabled_torch_function)

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError("tensors that are split over ranks (tensor parallelism) are not supported")
