"""Convolutions and transposed convolutions of signals, pictures and volumes.

Letters: N batch, C channels, L length, D, H, W depth, height and width.
"""

import math

from ...ops import empty
from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module
from .utils import pair, single, triple

PADDINGS = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions have. weight and bias are drawn evenly from ±1/sqrt(inputs of one output)."""

    axes: int  # spatial dimensions
    tuple_of = staticmethod(single)
    convolve: str  # name of the function in nn.functional
    transposed = False

    def __init__(
        self, in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias,
        padding_mode, device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        sizes = self.tuple_of
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        if padding_mode not in PADDINGS:
            names = ", ".join(map(repr, PADDINGS))
            raise ValueError(f"padding_mode must be one of {{{names}}}, but got padding_mode='{padding_mode}'")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = sizes(kernel_size), sizes(stride), sizes(dilation)
        self.output_padding, self.padding_mode = sizes(output_padding), padding_mode
        self.padding = padding if isinstance(padding, str) else sizes(padding)
        self._edges = self._both_edges()
        self.weight = Parameter(empty(*self._weight_shape(), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _weight_shape(self) -> tuple:
        a, b = (self.in_channels, self.out_channels) if self.transposed else (self.out_channels, self.in_channels)
        return (a, b // self.groups, *self.kernel_size)

    def _both_edges(self) -> list[int]:
        """The padding before and after each axis, last axis first: what F.pad wants."""
        if not isinstance(self.padding, str):
            return [p for p in reversed(self.padding) for _ in range(2)]
        if self.padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {self.padding!r}, should be one of {{'same', 'valid'}}")
        if self.padding == "valid":
            return [0] * (2 * self.axes)
        if any(s != 1 for s in self.stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
        totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return [p for total in reversed(totals) for p in (total // 2, total - total // 2)]

    def reset_parameters(self):
        """Draw weight and bias anew."""
        if 0 in self.weight.shape:
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def forward(self, input):
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input, weight, bias):
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._edges, mode=self.padding_mode), 0
        return getattr(F, self.convolve)(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self):
        none = (0,) * self.axes
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding != none:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.axes:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != none:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
        padding_mode="zeros", device=None, dtype=None,
    ):  # fmt: skip
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )


class Conv1d(_Conv):
    """(N, C_in, L) or (C_in, L) -> (N, C_out, L_out); weight (C_out, C_in/groups, K), bias (C_out).

    `padding` may be "same" or "valid"; `padding_mode` zeros, reflect, replicate or circular.
    """

    axes, tuple_of, convolve = 1, staticmethod(single), "conv1d"


class Conv2d(_Conv):
    """(N, C_in, H, W) or (C_in, H, W) -> (N, C_out, H_out, W_out); weight (C_out, C_in/groups, KH, KW), bias (C_out).

    `padding` may be "same" or "valid"; `padding_mode` zeros, reflect, replicate or circular.
    """

    axes, tuple_of, convolve = 2, staticmethod(pair), "conv2d"


class Conv3d(_Conv):
    """(N, C_in, D, H, W) -> (N, C_out, D_out, H_out, W_out); weight (C_out, C_in/groups, KD, KH, KW), bias (C_out).

    `padding` may be "same" or "valid"; `padding_mode` zeros, reflect, replicate or circular.
    """

    axes, tuple_of, convolve = 3, staticmethod(triple), "conv3d"


class _ConvTransposeNd(_ConvNd):
    transposed = True

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True,
        dilation=1, padding_mode="zeros", device=None, dtype=None,
    ):  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input, output_size=None):
        extra = self.output_padding if output_size is None else self._output_padding(input, output_size)
        function = getattr(F, self.convolve)
        return function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _output_padding(self, input, output_size) -> list:
        """What brings the output to `output_size`, spatial axes with or without the others."""
        others, given = input.ndim - self.axes, output_size
        output_size = list(given)
        if len(output_size) == others + self.axes:
            output_size = output_size[others:]
        if len(output_size) != self.axes:
            raise ValueError(
                f"ConvTranspose{self.axes}D: for {input.ndim}D input, output_size must have {self.axes} or "
                f"{others + self.axes} elements (got {len(output_size)})"
            )
        each = zip(input.shape[others:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        smallest = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in each]
        largest = [n + s - 1 for n, s in zip(smallest, self.stride, strict=True)]
        for size, low, high in zip(output_size, smallest, largest, strict=True):
            if not low <= size <= high:
                raise ValueError(
                    f"requested an output size of {given}, but valid sizes range from {smallest} to {largest} "
                    f"(for an input of {input.shape[2:]})"
                )
        return [size - low for size, low in zip(output_size, smallest, strict=True)]


class ConvTranspose1d(_ConvTransposeNd):
    """The gradient of a Conv1d as a layer: (N, C_in, L) -> (N, C_out, L_out); weight (C_in, C_out/groups, K)."""

    axes, tuple_of, convolve = 1, staticmethod(single), "conv_transpose1d"


class ConvTranspose2d(_ConvTransposeNd):
    """The gradient of a Conv2d as a layer: (N, C_in, H, W) -> (N, C_out, H_out, W_out).

    weight (C_in, C_out/groups, KH, KW). `output_size` at the call chooses among the sizes that the stride leaves open.
    """

    axes, tuple_of, convolve = 2, staticmethod(pair), "conv_transpose2d"


class ConvTranspose3d(_ConvTransposeNd):
    """The gradient of a Conv3d as a layer: (N, C_in, D, H, W) -> (N, C_out, ...); weight (C_in, C_out/groups, KD,
    KH, KW).
    """

    axes, tuple_of, convolve = 3, staticmethod(triple), "conv_transpose3d"


class _LazyConv(LazyModuleMixin):
    """A convolution that learns `in_channels` from its first input."""

    def __init__(self, out_channels, kernel_size, *args, bias=True, device=None, dtype=None, **kwargs):
        super().__init__(0, 0, kernel_size, *args, bias=False, device=device, dtype=dtype, **kwargs)
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self, input, *_):
        others = input.ndim - self.axes
        if others not in (1, 2):
            raise RuntimeError(
                f"Expected {self.axes + 1}D (unbatched) or {self.axes + 2}D (batched) input to {type(self).__name__}, "
                f"but got input of size: {input.shape}"
            )
        self.in_channels = input.shape[others - 1]
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        self._materialize({"weight": self._weight_shape(), "bias": (self.out_channels,)})


class LazyConv1d(_LazyConv, Conv1d):
    """A Conv1d that learns `in_channels` from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """A Conv2d that learns `in_channels` from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """A Conv3d that learns `in_channels` from its first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):
    """A ConvTranspose1d that learns `in_channels` from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):
    """A ConvTranspose2d that learns `in_channels` from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):
    """A ConvTranspose3d that learns `in_channels` from its first input."""

    cls_to_become = ConvTranspose3d
