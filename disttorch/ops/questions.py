"""What a tensor is asked, by a function or a method: how many elements, of what kind, where."""

from ..autograd.variable import Tensor
from ..devices import CPU
from .arguments import need_tensor


def numel(input: Tensor) -> int:
    """The number of elements."""
    need_tensor(input, "numel", "input", 1)
    return input._data.size


def get_device(input: Tensor) -> int:
    """The number of its CUDA device; -1 on the CPU."""
    need_tensor(input, "get_device", "input", 1)
    return -1 if input.device is CPU else input.device.index


def is_complex(input: Tensor) -> bool:
    """Whether its elements are complex numbers."""
    need_tensor(input, "is_complex", "input", 1)
    return input.dtype.is_complex


def is_floating_point(input: Tensor) -> bool:
    """Whether its elements are floating-point numbers; complex ones are not."""
    need_tensor(input, "is_floating_point", "input", 1)
    return input.dtype.is_floating_point


def is_signed(input: Tensor) -> bool:
    """Whether its elements can be negative."""
    need_tensor(input, "is_signed", "input", 1)
    return input.dtype.is_signed


def is_nonzero(input: Tensor) -> bool:
    """Whether its only element is not 0; RuntimeError if there are none or several."""
    need_tensor(input, "is_nonzero", "input", 1)
    return bool(input)


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    need_tensor(input, "is_same_size", "input", 1)
    need_tensor(other, "is_same_size", "other", 2)
    return input._data.shape == other._data.shape


def is_inference(input: Tensor) -> bool:
    """Whether it was made in inference mode."""
    need_tensor(input, "is_inference", "input", 1)
    return input._inference


def is_conj(input: Tensor) -> bool:
    """False: conjugates are computed at once."""
    need_tensor(input, "is_conj", "input", 1)
    return False


def is_neg(input: Tensor) -> bool:
    """False: negatives are computed at once."""
    need_tensor(input, "is_neg", "input", 1)
    return False


__all__ = [
    "get_device", "is_complex", "is_conj", "is_floating_point", "is_inference", "is_neg", "is_nonzero", "is_same_size",
    "is_signed", "numel",
]  # fmt: skip
