"""Pooling over windows of 1 to 3 spatial axes: maximum, average, power mean; N batch, C channels, S input, P output
sizes.
"""

from functools import lru_cache
from math import prod

import numpy as np

from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import wrap
from ..dtypes import SCALAR_NAMES
from ..kernels.geometry import pool_out_shape
from .activation import relu_op
from .arguments import need_tensor, repeated
from .fused import fused
from .matmul import kernels_of

# -- elements of each channel's flattened plane, picked and put by indices (N, C, *P): each is the other's gradient ----


def _picked(x, indices):
    planes = x.reshape(*x.shape[:2], prod(x.shape[2:]))
    return np.take_along_axis(planes, indices.reshape(*indices.shape[:2], prod(indices.shape[2:])), -1).reshape(
        indices.shape
    )


_pick = Op("MaxPoolBackwardBackward0", _picked, x=lambda g, x_shape, indices: _put(g, indices, x_shape))
_put = Op(
    "MaxPoolBackward0",
    lambda y, indices, shape: kernels_of(y).adaptive_max_pool_backward(y, indices, shape),
    y=lambda g, indices: _pick(g, indices),
)


# -- windows ----------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=1024)
def _cached_window(name, n, **settings):
    return _settings(name, n, settings)


def _window(name, n, **settings):
    """The settings as tuples; remembered where they are hashable (lists are not)."""
    try:
        return _cached_window(name, n, **settings)
    except TypeError:
        return _settings(name, n, settings)


def _settings(name, n, settings):
    """Each setting as a tuple with one int per axis; RuntimeError (PyTorch's text) if one has too few or too many."""
    found = []
    for key, value in settings.items():
        ints = repeated(value, n)
        if ints is None:
            count = {1: "one int", 2: "two ints", 3: "three ints"}[n]
            single = "omitted, a single int, or" if key == "stride" else "either be a single int, or"
            raise RuntimeError(f"{name}: {key} must {single} a tuple of {count}")
        found.append(ints)
    return found


@lru_cache(maxsize=4096)
def _out_shape(name, shape, kernel, stride, padding, dilation, ceil_mode):
    """The output's spatial shape; RuntimeError (PyTorch's texts) for settings that do not fit. Remembers those that
    do.
    """
    n = len(kernel)
    if any(k <= 0 for k in kernel):
        raise RuntimeError(
            f"{name}() kernel_size must be greater than zero, but got {kernel[0]}" if n == 1 else
            "kernel size should be greater than zero, but got "
            f"{' '.join(f'k{a}: {k}' for a, k in zip('THW'[3 - n :], kernel, strict=True))}"
        )  # fmt: skip
    if any(s <= 0 for s in stride):
        raise RuntimeError(
            f"{name}() stride must be greater than zero, but got {stride[0]}" if n == 1 else "stride should not be zero"
        )
    if any(d <= 0 for d in dilation):
        told = " ".join(f"dilation{a}: {d}" for a, d in zip("THW"[3 - n :], dilation, strict=True))
        raise RuntimeError(
            f"{name}() dilation must be greater than zero, but got {dilation[0]}"
            if n == 1
            else f"dilation should be greater than zero, but got {told}"
        )
    for p, k, d in zip(padding, kernel, dilation, strict=True):
        if p < 0:
            raise RuntimeError(
                f"{name}() padding must be non-negative, but got {p}"
                if n == 1
                else f"pad must be non-negative, but got pad: {p}"
            )
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"max_pool1d() padding should be at most half of kernel size, but got padding={p} and kernel_size={k}"
                if name == "max_pool1d"
                else "pad should be at most half of effective kernel size, but got "
                f"pad={p}, kernel_size={k} and dilation={d}"
            )
    channels, spatial = shape[1], shape[2:]
    if 0 in shape[1:]:
        raise RuntimeError(
            f"{'max_pool1d: ' if n == 1 else ''}Expected {n + 1}D or {n + 2}D (batch mode) tensor with optional 0 dim "
            f"batch size for input, but got:{list(shape)}"
        )
    out = pool_out_shape(spatial, kernel, stride, padding, dilation, ceil_mode)
    if min(out) < 1:
        if n == 1 and name.startswith("max"):
            raise RuntimeError(f"max_pool1d() Invalid computed output size: {out[0]}")
        before, after = ((1, *spatial), (1, *out)) if n == 1 else (spatial, out)
        raise RuntimeError(
            f"Given input size: ({'x'.join(map(str, (channels, *before)))}). Calculated output size: "
            f"({'x'.join(map(str, (channels, *after)))}). Output size is too small"
        )
    return out


def _rank_error(name, x, n):
    if n == 1:
        if name.startswith("max"):
            raise RuntimeError(
                "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but "
                f"got:{list(x.shape)}"
            )
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {x.ndim}-dimensional tensor for argument #1 'self' (while checking "
            f"arguments for {name})"
        )
    raise RuntimeError(f"non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected for input")


# -- maximum ----------------------------------------------------------------------------------------------------------
# `window` is (kernel, stride, padding, dilation, ceil_mode).
def _forward(x, window):
    return kernels_of(x).max_pool_forward(x, *window)


def _forward_indices(x, window):
    kernels = kernels_of(x)
    y, saved = kernels.max_pool_forward(x, *window)
    return y, kernels.max_pool_indices(x, y, saved, *window[:-1]), saved


def _rule(g, x_shape, saved, window):
    if not mode.grad:
        return fused("max_pool_backward", g, saved, x_shape, *window)
    like = np.broadcast_to(g._data.dtype.type(0), x_shape)  # of x, only the shape is asked for
    indices = kernels_of(g._data).max_pool_indices(like, g._data, saved, *window[:-1])
    return _put(g, wrap(indices, g.device), x_shape)


def _past_relu_rule(g, out, x_shape, saved, window):
    """Of max_pool(relu(x)), for x: a maximum is positive where its element is, and there are fewer maxima."""
    return _rule(fused("relu_backward", g, out), x_shape, saved, window)


def _max_ops(n):
    node = "SqueezeBackward1" if n == 1 else f"MaxPool{n}DWithIndicesBackward0"
    return (
        Op(node, _forward, keeps=("saved",), absorbs=(relu_op, _past_relu_rule), x=_rule),
        Op(
            node,
            _forward_indices,
            outputs=("out", "indices"),
            keeps=("saved",),
            x=lambda g, indices, x_shape: _put(g[0], indices, x_shape),
        ),
    )


def _make_max(n):
    name = f"max_pool{n}d"
    plain, with_indices = _max_ops(n)

    def max_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        need_tensor(input, name, "input", 1)
        x = input._data
        if x.ndim != n + 2:
            if x.ndim != n + 1:
                _rank_error(name, x, n)
            result = max_pool(input.unsqueeze(0), kernel_size, stride, padding, dilation, ceil_mode, return_indices)
            return (result[0].squeeze(0), result[1].squeeze(0)) if return_indices else result.squeeze(0)
        if stride is None or stride == []:
            stride = kernel_size
        kernel, stride, padding, dilation = _window(
            name, n, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
        )
        _out_shape(name, x.shape, kernel, stride, padding, dilation, bool(ceil_mode))
        if x.dtype.kind in "bc":
            raise NotImplementedError(f"\"{name}\" not implemented for '{SCALAR_NAMES[input.dtype]}'")
        op = with_indices if return_indices else plain
        return op(input, (kernel, stride, padding, dilation, bool(ceil_mode)))

    max_pool.__name__ = max_pool.__qualname__ = name
    max_pool.__doc__ = f"""Maxima of windows over {n} axes: (N, C, *S) or (C, *S) -> (N, C, *P), also with their
    positions in the
    flattened plane of each channel (int64) if `return_indices`. The stride is the kernel's size unless given.
    """

    def with_both(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True):
        return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    with_both.__name__ = with_both.__qualname__ = name + "_with_indices"
    with_both.__doc__ = f"`{name}` with return_indices=True."
    return max_pool, with_both


max_pool1d, max_pool1d_with_indices = _make_max(1)
max_pool2d, max_pool2d_with_indices = _make_max(2)
max_pool3d, max_pool3d_with_indices = _make_max(3)


# -- back to where the maxima were ------------------------------------------------------------------------------------
_unpool = Op(
    "MaxUnpoolBackward0",
    lambda x, indices, shape: _placed(x, indices, shape),
    x=lambda g, indices: _pick(g, indices),
)


def _placed(x, indices, shape):
    z = np.zeros_like(x, shape=(*shape[:2], prod(shape[2:])))
    np.put_along_axis(z, indices.reshape(*shape[:2], -1), x.reshape(*shape[:2], -1), -1)
    return z.reshape(shape)


def _make_unpool(n):
    name = f"max_unpool{n}d"

    def max_unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        need_tensor(input, name, "input", 1)
        x = input._data
        if indices._data.dtype != np.int64:
            raise RuntimeError(f"elements in indices should be type int64 but got: {SCALAR_NAMES[indices.dtype]}")
        if indices._data.shape != x.shape:
            raise RuntimeError(
                f"Expected shape of indices to be same as that of the input tensor ({list(x.shape)}) but got indices "
                f"tensor with shape: {list(indices._data.shape)}"
            )
        if x.ndim == n + 1:
            return max_unpool(
                input.unsqueeze(0), indices.unsqueeze(0), kernel_size, stride, padding, output_size
            ).squeeze(0)
        if x.ndim != n + 2:
            raise RuntimeError(f"Input to {name} should be a {n + 1}d or {n + 2}d Tensor, but got {x.ndim} dimensions.")
        kernel, stride, padding = _window(
            name, n, kernel_size=kernel_size, stride=kernel_size if stride is None else stride, padding=padding
        )
        sizes = [(s - 1) * t - 2 * p + k for s, t, p, k in zip(x.shape[2:], stride, padding, kernel, strict=True)]
        if output_size is not None:
            sizes = _wanted_size(sizes, stride, list(output_size), n)
        data = indices._data
        if data.size and (data.min() < 0 or data.max() >= prod(sizes)):
            bad = data[(data < 0) | (data >= prod(sizes))].flat[0]
            told = "x".join(map(str, sizes))
            raise RuntimeError(f"Found an invalid max index: {int(bad)} (output volumes are of size {told}")
        return _unpool(input, indices, (*x.shape[:2], *sizes))

    max_unpool.__name__ = max_unpool.__qualname__ = name
    max_unpool.__doc__ = (
        f"""The elements put back at `indices` of max_pool{n}d, zeros elsewhere: (N, C, *P) -> (N, C, *output_size)."""
    )
    return max_unpool


def _wanted_size(sizes, stride, output_size, n):
    if len(output_size) == n + 2:
        output_size = output_size[2:]
    if len(output_size) != n:
        raise ValueError(
            f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a length of "
            f"'{len(output_size)}'"
        )
    low, high = [s - t for s, t in zip(sizes, stride, strict=True)], [s + t for s, t in zip(sizes, stride, strict=True)]
    for d in range(n):
        if not low[d] < output_size[d] < high[d]:
            raise ValueError(f'invalid output_size "{output_size}" (dim {d} must be between {low[d]} and {high[d]})')
    return output_size


max_unpool1d, max_unpool2d, max_unpool3d = _make_unpool(1), _make_unpool(2), _make_unpool(3)


# -- average ----------------------------------------------------------------------------------------------------------
def _average_ops(n):
    forward = Op(
        "SqueezeBackward1" if n == 1 else f"AvgPool{n}DBackward0",
        lambda x, kernel, stride, padding, ceil_mode, include, divisor: kernels_of(x).avg_pool_forward(
            x, kernel, stride, padding, ceil_mode, include, divisor
        ),
        x=lambda g, x_shape, kernel, stride, padding, ceil_mode, include, divisor: backward(
            g, x_shape, kernel, stride, padding, ceil_mode, include, divisor
        ),
    )
    backward = Op(
        f"AvgPool{n}DBackwardBackward0",
        lambda y, shape, kernel, stride, padding, ceil_mode, include, divisor: kernels_of(y).avg_pool_backward(
            y, shape, kernel, stride, padding, ceil_mode, include, divisor
        ),
        y=lambda g, kernel, stride, padding, ceil_mode, include, divisor: forward(
            g, kernel, stride, padding, ceil_mode, include, divisor
        ),
    )
    return forward


def _make_average(n):
    name = f"avg_pool{n}d"
    op = _average_ops(n)

    def avg_pool(
        input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        need_tensor(input, name, "input", 1)
        x = input._data
        if x.ndim != n + 2:
            if x.ndim != n + 1:
                _rank_error(name, x, n)
            args = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
            return avg_pool(input.unsqueeze(0), *args).squeeze(0)
        if stride is None or stride == ():
            stride = kernel_size
        kernel, stride, padding = _window(name, n, kernel_size=kernel_size, stride=stride, padding=padding)
        if divisor_override == 0:
            raise RuntimeError("divisor must be not zero")
        _out_shape(name, x.shape, kernel, stride, padding, (1,) * n, bool(ceil_mode))
        if x.dtype.kind not in "fV":
            if x.dtype != np.int64:
                raise NotImplementedError(f"\"{name}\" not implemented for '{SCALAR_NAMES[input.dtype]}'")
            exact = op(
                input.double(), kernel, stride, padding, bool(ceil_mode), bool(count_include_pad), divisor_override
            )
            return exact.trunc().long()
        return op(input, kernel, stride, padding, bool(ceil_mode), bool(count_include_pad), divisor_override)

    avg_pool.__name__ = avg_pool.__qualname__ = name
    avg_pool.__doc__ = f"""Means of windows over {n} axes: (N, C, *S) or (C, *S) -> (N, C, *P).

    Padding counts as zeros unless `count_include_pad` is False; `divisor_override` divides the sums instead of the
    count.
    """
    return avg_pool


_avg_pool1d, avg_pool2d, avg_pool3d = _make_average(1), _make_average(2), _make_average(3)


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Means of windows over one axis: (N, C, S) or (C, S) -> (N, C, P). Padding counts unless `count_include_pad` is
    False.
    """
    return _avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


# -- power means ------------------------------------------------------------------------------------------------------
def _make_power(n, average):
    def lp_pool(input, norm_type, kernel_size, stride=None, ceil_mode=False):
        if input._data.ndim not in (n + 1, n + 2):
            raise RuntimeError(
                f"Expected {n + 1}D or {n + 2}D (batch mode) tensor for input, but got: {list(input._data.shape)}"
            )
        means = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        count = prod(repeated(kernel_size, n))
        return (means.sign() * means.abs().relu() * count).pow(1.0 / norm_type)

    lp_pool.__name__ = lp_pool.__qualname__ = f"lp_pool{n}d"
    lp_pool.__doc__ = f"(sum of x ** norm_type) ** (1 / norm_type) of windows over {n} axes."
    return lp_pool


lp_pool1d, lp_pool2d, lp_pool3d = _make_power(1, avg_pool1d), _make_power(2, avg_pool2d), _make_power(3, avg_pool3d)

__all__ = [
    "avg_pool1d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool3d",
]  # fmt: skip
