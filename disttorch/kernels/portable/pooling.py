"""Pooling: one pass over the arrays per kernel offset; the input's memory layout is kept.

Letters: N batch, C channels, S input spatial, P output spatial, K kernel.
"""

from itertools import product
from math import prod

from disttorch.kernels.geometry import adaptive_windows, pool_out_shape, window_slices
from disttorch.kernels.portable.masking import chosen, kept
from disttorch.kernels.portable.precision import kernel_in_float32


class Pooling:
    # ---- max: `saved` is the row-major kernel offset of each window's winner (int32)

    @kernel_in_float32(rounded=1)
    def max_pool_forward(self, x, kernel, stride, padding, dilation, ceil_mode=False):
        xp = self.xp
        spatial = x.shape[2:]
        out = pool_out_shape(spatial, kernel, stride, padding, dilation, ceil_mode)
        padded = _pad(xp, x, kernel, stride, padding, dilation, out, _lowest(xp, x.dtype))
        y = xp.full_like(x, _lowest(xp, x.dtype), shape=(*x.shape[:2], *out))
        saved = xp.empty_like(y, dtype=xp.int32)
        saved[...] = _first_valid_offset(xp, kernel, stride, padding, dilation, out)
        floating = x.dtype.kind in "fVc"
        for k, window in enumerate(window_slices(kernel, stride, dilation, out)):
            v = padded[(..., *window)].copy()  # it is read several times
            wins = v > y
            if floating:
                wins |= v != v  # NaN wins, and the last NaN of a window is the one reported
            y = chosen(wins, v, y)
            saved = xp.maximum(saved, wins * xp.int32(k))  # a later winner displaces those before
        return y, saved

    def max_pool_indices(self, x, y, saved, kernel, stride, padding, dilation):
        """int64 positions of the maxima in each channel's flattened spatial plane (`return_indices=True`)."""
        xp = self.xp
        offsets = xp.unravel_index(saved.astype(xp.int64), kernel)
        flat = xp.zeros(saved.shape, xp.int64)
        dims = len(kernel)
        for axis, offset in enumerate(offsets):
            shape = [1] * (2 + dims)
            shape[2 + axis] = saved.shape[2 + axis]
            start = xp.arange(saved.shape[2 + axis]).reshape(shape) * stride[axis] - padding[axis]
            flat = flat * x.shape[2 + axis] + start + offset * dilation[axis]
        return flat

    @kernel_in_float32
    def argmax(self, x, axis):
        """The first of the largest along an axis, which stays with length 1; NaN is the largest."""
        return self.xp.argmax(x, axis, keepdims=True)

    @kernel_in_float32
    def max_pool_backward(self, g, saved, x_shape, kernel, stride, padding, dilation, ceil_mode=False):
        xp = self.xp
        out = g.shape[2:]
        gx, inner = _padded_zeros(xp, g, x_shape, kernel, stride, padding, dilation, out)
        for k, window in enumerate(window_slices(kernel, stride, dilation, out)):
            gx[(..., *window)] += kept(g, saved == k)
        return gx[inner]

    # ---- average

    @kernel_in_float32
    def avg_pool_forward(
        self, x, kernel, stride, padding, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        xp = self.xp
        ones = (1,) * len(kernel)
        out = pool_out_shape(x.shape[2:], kernel, stride, padding, ones, ceil_mode)
        padded = _pad(xp, x, kernel, stride, padding, ones, out, 0)
        y = xp.zeros_like(x, shape=(*x.shape[:2], *out))
        for window in window_slices(kernel, stride, ones, out):
            y += padded[(..., *window)]
        y *= self._reciprocal_counts(x, x.shape[2:], kernel, stride, padding, out, count_include_pad, divisor_override)
        return y

    @kernel_in_float32
    def avg_pool_backward(
        self, g, x_shape, kernel, stride, padding, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        xp = self.xp
        ones, out = (1,) * len(kernel), g.shape[2:]
        scale = self._reciprocal_counts(
            g, x_shape[2:], kernel, stride, padding, out, count_include_pad, divisor_override
        )
        g = g * scale
        gx, inner = _padded_zeros(xp, g, x_shape, kernel, stride, padding, ones, out)
        for window in window_slices(kernel, stride, ones, out):
            gx[(..., *window)] += g
        return gx[inner]

    def _reciprocal_counts(self, x, spatial, kernel, stride, padding, out, count_include_pad, divisor_override):
        xp = self.xp
        if divisor_override is not None:
            return xp.asarray(1 / divisor_override, dtype=x.dtype)
        counts = xp.ones((), xp.float64)
        for s, k, t, p, o in zip(spatial, kernel, stride, padding, out, strict=True):
            start = xp.arange(o) * t - p
            end = xp.minimum(start + k, s + p)  # ceil_mode's extra cells never count
            if not count_include_pad:
                start, end = xp.maximum(start, 0), xp.minimum(end, s)
            counts = counts[..., None] * (end - start)
        return (1 / counts).astype(x.dtype)

    # ---- adaptive

    @kernel_in_float32
    def adaptive_avg_pool_forward(self, x, output_size):
        xp = self.xp
        for axis, out in enumerate(output_size, start=2):
            if out == x.shape[axis]:
                continue
            shape = (*x.shape[:axis], out, *x.shape[axis + 1 :])
            y = xp.empty_like(x, shape=shape)
            for i, (start, end) in enumerate(adaptive_windows(x.shape[axis], out)):
                y[_at(axis, i)] = x[_at(axis, slice(start, end))].mean(axis=axis)
            x = y
        return x

    @kernel_in_float32
    def adaptive_avg_pool_backward(self, g, x_shape):
        xp = self.xp
        for axis in reversed(range(2, g.ndim)):
            size, out = x_shape[axis], g.shape[axis]
            if out == size:
                continue
            gx = xp.zeros_like(g, shape=(*g.shape[:axis], size, *g.shape[axis + 1 :]))
            for i, (start, end) in enumerate(adaptive_windows(size, out)):
                gx[_at(axis, slice(start, end))] += g[_at(axis, slice(i, i + 1))] / (end - start)
            g = gx
        return g

    def adaptive_max_pool_forward(self, x, output_size):
        xp = self.xp
        shape = (*x.shape[:2], *output_size)
        y, indices = xp.empty(shape, x.dtype), xp.empty(shape, xp.int64)
        windows = [adaptive_windows(s, o) for s, o in zip(x.shape[2:], output_size, strict=True)]
        for position in product(*(range(o) for o in output_size)):
            spans = [w[i] for w, i in zip(windows, position, strict=True)]
            window = x[(..., *(slice(*span) for span in spans))]
            flat = window.reshape(*x.shape[:2], prod(window.shape[2:]))
            best = _last_nan_or_largest(flat)[..., None]
            y[(..., *position)] = xp.take_along_axis(flat, best, axis=-1)[..., 0]
            index = 0
            for axis, offset in enumerate(xp.unravel_index(best[..., 0], window.shape[2:])):
                index = index * x.shape[2 + axis] + offset + spans[axis][0]
            indices[(..., *position)] = index
        return y, indices

    @kernel_in_float32
    def adaptive_max_pool_backward(self, g, indices, x_shape):
        n, c, *spatial = x_shape
        planes = self.xp.arange(n * c).reshape(n, c, *(1,) * len(spatial)) * prod(spatial)
        flat = (indices + planes).reshape(-1)
        return self.xp.bincount(flat, weights=g.reshape(-1), minlength=prod(x_shape)).astype(g.dtype).reshape(x_shape)


def _last_nan_or_largest(lines):
    """Where PyTorch's walk along the last axis ends: each NaN displaces what it had found, numbers smaller ones."""
    best, nan = lines.argmax(axis=-1), lines != lines
    if not nan.any():
        return best
    last = lines.shape[-1] - 1 - nan[..., ::-1].argmax(axis=-1)
    return best * ~nan.any(-1) + last * nan.any(-1)


def _lowest(xp, dtype):
    return -xp.inf if dtype.kind in "fV" else xp.iinfo(dtype).min


def _extents(x_shape, kernel, stride, padding, dilation, out):
    """Padded length of each spatial axis: both paddings, and whatever ceil_mode's last window needs beyond them."""
    return [
        max(s + 2 * p, (o - 1) * t + d * (k - 1) + 1)
        for s, k, t, p, d, o in zip(x_shape[2:], kernel, stride, padding, dilation, out, strict=True)
    ]


def _inner(x_shape, padding):
    return (..., *(slice(p, p + s) for p, s in zip(padding, x_shape[2:], strict=True)))


def _pad(xp, x, kernel, stride, padding, dilation, out, value):
    extents = _extents(x.shape, kernel, stride, padding, dilation, out)
    if tuple(extents) == x.shape[2:]:
        return x
    padded = xp.full_like(x, value, shape=(*x.shape[:2], *extents))
    padded[_inner(x.shape, padding)] = x
    return padded


def _padded_zeros(xp, g, x_shape, kernel, stride, padding, dilation, out):
    extents = _extents(x_shape, kernel, stride, padding, dilation, out)
    return xp.zeros_like(g, shape=(*x_shape[:2], *extents)), _inner(x_shape, padding)


def _first_valid_offset(xp, kernel, stride, padding, dilation, out):
    """(*P,) row-major offset of the first kernel cell that lies inside the input, as PyTorch reports for all -inf."""
    first = xp.zeros((), xp.int32)
    for k, t, p, d, o in zip(kernel, stride, padding, dilation, out, strict=True):
        outside = xp.maximum(0, p - xp.arange(o) * t)
        first = first[..., None] * k + (outside + d - 1) // d
    return first


def _at(axis, index):
    return (*(slice(None),) * axis, index)
