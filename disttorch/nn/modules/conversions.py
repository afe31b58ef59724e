"""A module's parameters and buffers on other devices and in other dtypes."""

from ... import devices, dtypes
from ...autograd.mode import no_grad
from ...autograd.variable import Tensor
from ...ops import empty_like
from ..parameter import is_lazy


def parse_to(*args, **kwargs) -> tuple:
    """(device, dtype, non_blocking, memory_format) that the arguments of `Module.to` mean, None where they say none."""
    memory_format, non_blocking = kwargs.pop("memory_format", None), kwargs.pop("non_blocking", False)
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    if kwargs:
        raise TypeError(f"to() received an invalid combination of arguments - unexpected '{next(iter(kwargs))}'")
    for a in args:
        if isinstance(a, Tensor):
            device, dtype = a.device, a.dtype
        elif isinstance(a, dtypes.dtype):
            dtype = a
        elif isinstance(a, bool):
            non_blocking = a
        elif a is not None:
            device = a
    return None if device is None else devices.device(device), dtype, non_blocking, memory_format


class Conversions:
    """The part of Module that moves and converts its tensors."""

    def _apply(self, fn, recurse: bool = True):
        """Replace the memory of every parameter, its gradient and every buffer by what `fn` makes of it.

        Parameters stay the same objects, so an optimizer keeps hold of them.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for param in self._parameters.values():
            if param is None:
                continue
            with no_grad():
                param.data = fn(param)
                if param.grad is not None:
                    param.grad.data = fn(param.grad)
        for key, buffer in self._buffers.items():
            if is_lazy(buffer):
                buffer.data = fn(buffer)
            elif buffer is not None:
                self._buffers[key] = fn(buffer)
        return self

    def to(self, *args, **kwargs):
        """Move parameters and buffers: to(device), to(dtype), to(device, dtype), to(tensor), in place.

        A dtype must be floating or complex, and concerns only such tensors. Keywords: device, dtype, non_blocking,
        memory_format (torch.channels_last: for tensors with four dimensions).
        """
        device, dtype, _, memory_format = parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(t):
            if t.device.type == "meta" and device is not None and device.type != "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                )
            floating = t.dtype.is_floating_point or t.dtype.is_complex
            form = memory_format if memory_format is not None and t.ndim in (4, 5) else None
            return t.to(device=device, dtype=dtype if floating else None, memory_format=form)

        return self._apply(convert)

    def cuda(self, device=None):
        """Move to a CUDA device (None: the current one)."""
        return self._apply(lambda t: t.cuda(device))

    def cpu(self):
        """Move to the CPU."""
        return self._apply(lambda t: t.cpu())

    def type(self, dst_type):
        """Convert all parameters and buffers to `dst_type`."""
        return self._apply(lambda t: t.type(dst_type))

    def _to_floating(self, dtype):
        return self._apply(lambda t: t.to(dtype) if t.dtype.is_floating_point else t)

    def float(self):
        """Floating parameters and buffers as float32."""
        return self._to_floating(dtypes.float32)

    def double(self):
        """Floating parameters and buffers as float64."""
        return self._to_floating(dtypes.float64)

    def half(self):
        """Floating parameters and buffers as float16."""
        return self._to_floating(dtypes.float16)

    def bfloat16(self):
        """Floating parameters and buffers as bfloat16."""
        return self._to_floating(dtypes.bfloat16)

    def to_empty(self, *, device, recurse: bool = True):
        """Move to `device` without the values: they are uninitialised there."""
        return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)

    def share_memory(self):
        """Move parameters and buffers into memory that processes started from this one share."""
        return self._apply(lambda t: t.share_memory_())
