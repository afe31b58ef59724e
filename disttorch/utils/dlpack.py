"""torch.utils.dlpack: tensors handed to other libraries, and taken from them, without a copy."""

from typing import Any

from ..ops import from_dlpack
from ..tensors import Tensor

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule over the tensor's memory, for one `from_dlpack` of another library."""
    return tensor.__dlpack__()
