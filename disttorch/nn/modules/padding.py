"""Padding of signals (N, C, L), pictures (N, C, H, W) and volumes (N, C, D, H, W), with or without N.

`padding` is one number, or (left, right[, top, bottom[, front, back]]); negative numbers cut off.
"""

from .. import functional as F
from .module import Module
from .utils import ntuple


class _Pad(Module):
    axes: int
    mode: str

    def __init__(self, padding):
        super().__init__()
        self.padding = ntuple(2 * self.axes)(padding)

    def forward(self, input):
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self):
        return f"{self.padding}"


class _ConstantPadNd(_Pad):
    mode = "constant"

    def __init__(self, padding, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self):
        return f"{self.padding}"


class _CircularPadNd(_Pad):
    mode = "circular"

    def forward(self, input):
        if input.ndim not in (self.axes + 1, self.axes + 2):
            raise ValueError(f"expected {self.axes + 1}D or {self.axes + 2}D input (got {input.ndim}D input)")
        return super().forward(input)


class _ReflectionPadNd(_Pad):
    mode = "reflect"


class _ReplicationPadNd(_Pad):
    mode = "replicate"


_KINDS = {
    "ZeroPad": (_ZeroPadNd, "with zeros"),
    "ConstantPad": (_ConstantPadNd, "with `value`"),
    "CircularPad": (_CircularPadNd, "as if the input went on from its other end"),
    "ReflectionPad": (_ReflectionPadNd, "with the input mirrored at its edges"),
    "ReplicationPad": (_ReplicationPadNd, "with the values at its edges"),
}


def _make(kind: str, axes: int) -> type:
    base, how = _KINDS[kind]
    name = f"{kind}{axes}d"
    doc = f"Pads the last {axes} dimension{'s' if axes > 1 else ''} {how}."
    return type(name, (base,), {"axes": axes, "__doc__": doc, "__module__": __name__})


ZeroPad1d, ZeroPad2d, ZeroPad3d = (_make("ZeroPad", n) for n in (1, 2, 3))
ConstantPad1d, ConstantPad2d, ConstantPad3d = (_make("ConstantPad", n) for n in (1, 2, 3))
CircularPad1d, CircularPad2d, CircularPad3d = (_make("CircularPad", n) for n in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (_make("ReflectionPad", n) for n in (1, 2, 3))
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (_make("ReplicationPad", n) for n in (1, 2, 3))
