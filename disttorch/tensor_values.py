"""A tensor's values in Python and NumPy: numbers, lists, arrays, text."""

import numpy as np

from . import ops
from .autograd.variable import Tensor
from .devices import CPU, META, to_device
from .dispatch import takes_over


class TensorValues:
    """Methods that hand out values; `tensors` moves them to Tensor."""

    def item(self):
        """The only element as a Python number."""
        if self._data.size != 1:
            raise RuntimeError(f"a Tensor with {self._data.size} elements cannot be converted to Scalar")
        if self.device is META:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        return self._data.item() if self._data.dtype.kind != "V" else float(self._data.reshape(()).astype(np.float32))

    def tolist(self):
        """Nested lists of Python numbers (a number for a 0-dimensional tensor)."""
        data = self._data if self.device.host else to_device(self._data, self.device, CPU)
        return data.tolist() if data.dtype.kind != "V" else data.astype(np.float32).tolist()

    def numpy(self, *, force=False):
        """The array sharing this tensor's memory. RuntimeError or TypeError where that cannot be, unless `force`."""
        if force:
            return self.detach().cpu()._data
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device is not CPU:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
                "memory first."
            )
        if self._data.dtype.kind == "V":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._data

    def __array_wrap__(self, array, context=None, return_scalar=False):
        """What NumPy's functions make of a tensor is a tensor."""
        return ops.from_numpy(np.asarray(array, np.uint8 if array.dtype == bool else None))

    def __array__(self, dtype=None, copy=None):
        data = self.numpy()
        return data if dtype is None else data.astype(dtype, copy=False)

    def __dlpack__(self, **options):
        """A capsule over the memory, for `from_dlpack` of any library; BufferError if a gradient is required."""
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._data.__dlpack_device__()

    def __bool__(self):
        if self._data.size == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        if self._data.size > 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self._data) if self.device is not META else bool(self.item())

    def _only(self, type_name=None):
        """`item`, for Python's conversions; a real number where the name of its C++ type is given."""
        if self._data.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        value = self.item()
        if type_name is None or not isinstance(value, complex):
            return value
        if value.imag:
            raise RuntimeError(f"value cannot be converted to type {type_name} without overflow")
        return value.real

    def __float__(self):
        return float(self._only("double"))

    def __int__(self):
        return int(self._only("int64_t"))

    def __complex__(self):
        return complex(self._only())

    def __index__(self):
        if self._data.dtype.kind not in "iub" or self._data.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self):
        if self._data.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._data.shape[0]

    def __iter__(self):
        if self._data.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(ops.unbind(self, 0))

    def __contains__(self, element):
        if isinstance(element, (Tensor, int, float, complex, bool)):
            return bool((self == element).any())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")

    def __repr__(self, *, tensor_contents=None):
        from .printing import tensor_repr

        if not takes_over(self):
            return tensor_repr(self)
        text = tensor_repr(self, type(self).__name__)
        return f"Parameter({text})" if "_is_param" in self.__dict__ else text

    def __format__(self, spec):
        if self._data.ndim == 0 and type(self) is Tensor and self.device is not META:
            return format(self.item(), spec)
        return object.__format__(self, spec)
