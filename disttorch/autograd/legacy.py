"""Variable: what tensors with gradients were called before they were all tensors; names of the engine."""

from .sweep import is_whole, queue_callback
from .variable import Tensor


class _VariableType(type):
    def __instancecheck__(cls, value) -> bool:
        return isinstance(value, Tensor)


class _Engine:
    """`Variable._execution_engine`, as programs name it that average gradients by themselves."""

    queue_callback = staticmethod(queue_callback)


def _is_checkpoint_valid() -> bool:
    """Whether a checkpoint may run a backward of its own now: not within `grad`, nor a `backward` with `inputs`."""
    return is_whole()


class Variable(metaclass=_VariableType):
    """Variable(tensor, requires_grad=False): the tensor itself, as a leaf. Every tensor is an instance."""

    _execution_engine = _Engine()

    def __new__(cls, data, requires_grad: bool = False, volatile: bool = False):
        return data.detach().requires_grad_(requires_grad) if requires_grad or data.requires_grad else data
