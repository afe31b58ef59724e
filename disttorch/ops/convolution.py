"""Convolutions and transposed convolutions over 1 to 3 spatial axes.

A convolution, its gradient for the input and its gradient for the weight are each bilinear, and each one's derivatives
are the other two: three operations close under differentiation of any order. N batch, C channels in, O out, K kernel, S
spatial.
"""

from functools import lru_cache

from ..autograd.mode import mode
from ..autograd.op import Op
from ..kernels.geometry import conv_out_size
from .arguments import C_NAMES, need_tensor, repeated
from .fused import fused
from .matmul import _c, kernels_of


def _channels(g):
    return g.sum([0, *range(2, g._data.ndim)])


# `geometry` is (stride, padding, dilation, groups) in all of these.
def _rule(g, needs, x, w, geometry, into):
    if not mode.grad and g._data.dtype.kind != "c":
        return fused("conv_backward", g, x, w, *geometry, needs, into[1] if into else None)
    return (
        _to_input(g, _c(w), x._data.shape, geometry) if needs[0] else None,
        _to_weight(g, _c(x), w._data.shape, geometry) if needs[1] else None,
        _channels(g) if needs[2] else None,
    )


def _forward(x, w, b, geometry):
    return kernels_of(x).conv_forward(x, w, b, *geometry)


_convolution = Op("ConvolutionBackward0", _forward, joint=_rule, inputs=("x", "w", "b"))


def _transposed_forward(x, w, b, shape, geometry):
    y = kernels_of(x).conv_backward_input(x, w, shape, *geometry)
    if b is not None:
        y += b.reshape(-1, *(1,) * (x.ndim - 2))
    return y


def _transposed_rule(g, needs, x, w, geometry):
    return (
        _cut(_convolution(g, _c(w), None, geometry), x._data.shape) if needs[0] else None,
        _to_weight(_c(x), g, w._data.shape, geometry) if needs[1] else None,
        _channels(g) if needs[2] else None,
    )


def _cut(t, shape):
    """The leading part of t: output_padding beyond the stride makes room for more windows than there were."""
    return t if t._data.shape == tuple(shape) else t[tuple([slice(s) for s in shape])]


_transposed = Op("ConvolutionBackward0", _transposed_forward, joint=_transposed_rule, inputs=("x", "w", "b"))
_to_input = Op(
    "ConvolutionBackwardBackward0",
    lambda y, w, shape, geometry: kernels_of(y).conv_backward_input(y, w, shape, *geometry),
    y=lambda g, w, geometry: _convolution(g, _c(w), None, geometry),
    w=lambda g, y, w_shape, geometry: _to_weight(_c(y), g, w_shape, geometry),
)
_to_weight = Op(
    "ConvolutionBackwardBackward0",
    lambda y, x, shape, geometry: kernels_of(y).conv_backward_weight(y, x, shape, *geometry),
    y=lambda g, x, y_shape, geometry: _cut(_convolution(_c(x), g, None, geometry), y_shape),
    x=lambda g, y, x_shape, geometry: _to_input(_c(y), g, x_shape, geometry),
)


@lru_cache(maxsize=4096)
def _check(name, x, w, b, stride, padding, dilation, groups, transposed=False):
    """RuntimeError for shapes or settings that do not fit; remembers those that do."""
    n = len(w) - 2
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("non-positive dilation is not supported")
    if w[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size "
            f"{list(w)} instead"
        )
    if w[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of "
            f"size [{list(w)}] instead"
        )
    channels, outs = (w[0], w[1] * groups) if transposed else (w[1] * groups, w[0])
    given = f"Given transposed={int(transposed)}, " if transposed else f"Given groups={groups}, "
    if x[1] != channels:
        raise RuntimeError(
            f"{given}weight of size {list(w)}, expected input{list(x)} to have {channels} channels, but got {x[1]} "
            "channels instead"
        )
    if b is not None and b != (outs,):
        given = "Given transposed=1, " if transposed else "Given "
        raise RuntimeError(
            f"{given}weight of size {list(w)}, expected bias to be 1-dimensional with {outs} elements, but got bias "
            f"of size {list(b)} instead"
        )
    if not transposed and any(
        conv_out_size(*axis) < 1 for axis in zip(x[2:], w[2:], stride, padding, dilation, strict=True)
    ):
        inner = " x ".join(str(s + 2 * p) for s, p in zip(x[2:], padding, strict=True))
        kernel = " x ".join(str(d * (k - 1) + 1) for k, d in zip(w[2:], dilation, strict=True))
        raise RuntimeError(
            f"Calculated padded input size per channel: ({inner}). Kernel size: ({kernel}). Kernel size can't be "
            "greater than actual input size"
        )
    return n


def _check_dtypes(input, weight, bias):
    x, w = input._data.dtype, weight._data.dtype
    if bias is not None and bias._data.dtype != x:
        names = [C_NAMES[t.dtype.name] for t in (input, bias)]
        raise RuntimeError("Input type ({}) and bias type ({}) should be the same".format(*names))
    if x != w:
        kinds = [("torch.cuda." if t.device.type == "cuda" else "torch.") + t.dtype.type_name for t in (input, weight)]
        raise RuntimeError(
            f"Input type ({kinds[0]}) and weight type ({kinds[1]}) should be the same or input should be a MKLDNN "
            "tensor and weight is a dense tensor"
        )


def _setting(value, name, n):
    if type(value) is int:
        return (value,) * n
    found = repeated(value, n)
    if found is None:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values to match the convolution "
            f"dimensions, but got {name}={list(value)}"
        )
    return found


def _check_rank(name, x, n):
    raise RuntimeError(
        f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: {list(x.shape)}"
    )


def _pad_for(input, padding, stride, dilation, kernel):
    """Padding "same" or "valid" in numbers; an odd total is put behind the input first."""
    if padding == "valid":
        return input, (0,) * len(kernel)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(t % 2 for t in totals):
        from .padding import pad

        input = pad(input, [p for t in reversed(totals) for p in (0, t % 2)])
    return input, tuple([t // 2 for t in totals])


def _make(n):
    name = f"conv{n}d"

    def conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        need_tensor(input, name, "input", 1)
        need_tensor(weight, name, "weight", 2)
        x, w = input._data, weight._data
        if w.ndim != n + 2:
            n_ = w.ndim - 2
            _setting((1,) * n if isinstance(stride, int) else stride, "stride", n_)
            raise RuntimeError(f"expected {n + 2}D weight for {name}, but got weight of size: {list(w.shape)}")
        if x.ndim != n + 2:
            if x.ndim != n + 1:
                _check_rank(name, x, n)
            return conv(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
        if type(stride) is not tuple or len(stride) != n:
            stride = _setting(stride, "stride", n)
        if type(dilation) is not tuple or len(dilation) != n:
            dilation = _setting(dilation, "dilation", n)
        if type(padding) is not tuple or len(padding) != n:
            if isinstance(padding, str):
                input, padding = _pad_for(input, padding, stride, dilation, w.shape[2:])
                x = input._data
            else:
                padding = _setting(padding, "padding", n)
        b = None if bias is None else bias._data
        if x.dtype != w.dtype or (b is not None and b.dtype != x.dtype):
            _check_dtypes(input, weight, bias)
        _check(name, x.shape, w.shape, b if b is None else b.shape, stride, padding, dilation, groups)
        return _convolution(input, weight, bias, (stride, padding, dilation, groups))

    conv.__name__ = conv.__qualname__ = name
    conv.__doc__ = f"""Convolution (cross-correlation) over {n} axes: (N, C, *S) or (C, *S), weight (O, C/groups, *K),
    bias (O,).

    padding: zeros on both sides, "valid" (none) or "same" (the output has the input's size; stride 1 only).
    RuntimeError (PyTorch's texts) for shapes, dtypes or settings that do not fit.
    """
    return conv


conv1d, conv2d, conv3d = _make(1), _make(2), _make(3)


def _make_transposed(n):
    name = f"conv_transpose{n}d"

    def conv_transpose(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        need_tensor(input, name, "input", 1)
        need_tensor(weight, name, "weight", 2)
        x, w = input._data, weight._data
        if x.ndim != n + 2:
            if x.ndim != n + 1:
                _check_rank(name, x, n)
            return conv_transpose(
                input.unsqueeze(0), weight, bias, stride, padding, output_padding, groups, dilation
            ).squeeze(0)
        stride, padding = _setting(stride, "stride", n), _setting(padding, "padding", n)
        dilation, output_padding = _setting(dilation, "dilation", n), _setting(output_padding, "output_padding", n)
        b = None if bias is None else bias._data
        _check_dtypes(input, weight, bias)
        _check(name, x.shape, w.shape, b if b is None else b.shape, stride, padding, dilation, groups, True)
        if any(p < 0 for p in output_padding):
            raise RuntimeError("negative output_padding is not supported")
        if any(p >= s and p >= d for p, s, d in zip(output_padding, stride, dilation, strict=True)):
            axes = ("_width",) if n == 1 else ("_height", "_width") if n == 2 else ("_depth", "_height", "_width")
            told = [
                f"{what}{axis}: {v}"
                for what, values in (("output_padding", output_padding), ("stride", stride), ("dilation", dilation))
                for axis, v in zip(axes, values, strict=True)
            ]
            raise RuntimeError(
                f"output padding must be smaller than either stride or dilation, but got {' '.join(told)}"
            )
        sizes = [
            (s - 1) * t - 2 * p + d * (k - 1) + o + 1
            for s, t, p, d, k, o in zip(
                x.shape[2:], stride, padding, dilation, w.shape[2:], output_padding, strict=True
            )
        ]
        if any(s < 1 for s in sizes):
            inner = " x ".join(map(str, x.shape[2:]))
            outer = " x ".join(map(str, sizes))
            raise RuntimeError(
                f"Given input size per channel: ({inner}). Calculated output size per channel: ({outer}). Output size "
                "is too small"
            )
        shape = (x.shape[0], w.shape[1] * groups, *sizes)
        return _transposed(input, weight, bias, shape, (stride, padding, dilation, groups))

    conv_transpose.__name__ = conv_transpose.__qualname__ = name
    conv_transpose.__doc__ = f"""Transposed convolution over {n} axes, the gradient of a convolution for its input:
    (N, C, *S) or (C, *S), weight (C, O/groups, *K), bias (O,) -> (N, O, *((S - 1) * stride - 2 * padding
    + dilation * (K - 1) + output_padding + 1)). RuntimeError (PyTorch's texts) for what does not fit.
    """
    return conv_transpose


conv_transpose1d, conv_transpose2d, conv_transpose3d = _make_transposed(1), _make_transposed(2), _make_transposed(3)


def conv_tbc(input, weight, bias, pad=0):
    """Convolution over time with layout (T, N, C); weight (K, C, O), bias (O,) -> (T', N, O)."""
    need_tensor(input, "conv_tbc", "input", 1)
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)


__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
]  # fmt: skip
