"""Variable: what tensors with gradients were called before they were all tensors."""

from .sweep import queue_callback
from .variable import Tensor


class _VariableType(type):
    def __instancecheck__(cls, value) -> bool:
        return isinstance(value, Tensor)


class _Engine:
    """`Variable._execution_engine`, as programs name it that average gradients by themselves."""

    queue_callback = staticmethod(queue_callback)


class Variable(metaclass=_VariableType):
    """Variable(tensor, requires_grad=False): the tensor itself, as a leaf. Every tensor is an instance."""

    _execution_engine = _Engine()

    def __new__(cls, data, requires_grad: bool = False, volatile: bool = False):
        return data.detach().requires_grad_(requires_grad) if requires_grad or data.requires_grad else data
