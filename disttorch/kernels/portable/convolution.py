"""Convolution as matrix products over columns (im2col), channels last.

Letters: N batch, C input channels, O output channels, G groups, S input spatial, P output spatial, K kernel.

A column's elements are ordered (*K, C), as pixels lie, or (C, *K), as weights lie, whichever there are more of; the
others are copied into that order. Deep layers see few pixels through millions of weights.
"""

from math import prod

from disttorch.kernels.geometry import conv_out_size, window_slices
from disttorch.kernels.portable import depthwise
from disttorch.kernels.portable.precision import kernel_in_float32

# Elements of the column matrix built at a time: large enough for GEMM to run at full speed, small enough (16 MB of
# float32) that a deep network's activations, not the columns, decide the peak memory.
COLUMN_ELEMENTS = 1 << 22


class Convolution:
    @kernel_in_float32
    def conv_forward(self, x, w, b, stride, padding, dilation, groups):
        xp = self.xp
        n, kernel = x.shape[0], w.shape[2:]
        out = _out_shape(x.shape[2:], kernel, stride, padding, dilation)
        windows = self._windows(x, kernel, stride, padding, dilation, out)
        if _is_depthwise(w.shape, groups):
            y = depthwise.forward(xp, windows, w)
        else:
            y = xp.empty((n, *out, w.shape[0]), xp.result_type(x, w))  # (N, *P, O)
            deep = _is_deep(n, out, w.shape)
            matrix = _weight_matrix(w, groups, deep)
            for part in _batch_parts(windows):
                columns = _columns(windows[part], groups, len(out), deep)  # (G, M, K*C/G)
                rows = y[part].reshape(columns.shape[1], groups, w.shape[0] // groups)
                xp.matmul(columns, matrix, out=rows.transpose(1, 0, 2))
        if b is not None:
            y += b
        return xp.moveaxis(y, -1, 1)

    @kernel_in_float32
    def conv_backward_input(self, g, w, x_shape, stride, padding, dilation, groups):
        xp = self.xp
        n, c = x_shape[:2]
        kernel, out = w.shape[2:], g.shape[2:]
        reach = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True))
        deep = _is_deep(n, out, w.shape)
        if set(stride) == {1} and w.shape[0] <= c and min(reach) >= 0 and not deep:
            return self.conv_forward(g, _mirrored(xp, w, groups), None, stride, reach, dilation, groups)
        sizes = [
            max(s + 2 * p, (o - 1) * t + d * (k - 1) + 1)
            for s, p, o, t, d, k in zip(x_shape[2:], padding, out, stride, dilation, kernel, strict=True)
        ]
        padded = xp.zeros((n, *sizes, c), xp.result_type(g, w))
        rows, seen = xp.moveaxis(g, 1, -1), window_slices(kernel, stride, dilation, out)  # (N, *P, O)
        if _is_depthwise(w.shape, groups):
            depthwise.backward_input(padded, rows, w, seen)
        else:
            _backward_input(xp, padded, rows, w, groups, seen)
        inner = tuple(slice(p, p + s) for p, s in zip(padding, x_shape[2:], strict=True))
        return xp.moveaxis(padded[(slice(None), *inner)], -1, 1)

    @kernel_in_float32
    def conv_backward_weight(self, g, x, w_shape, stride, padding, dilation, groups):
        xp = self.xp
        kernel, out = w_shape[2:], g.shape[2:]
        windows = self._windows(x, kernel, stride, padding, dilation, out)
        rows = xp.moveaxis(g, 1, -1)
        if _is_depthwise(w_shape, groups):
            return depthwise.backward_weight(xp, windows, rows, w_shape)
        o, c = w_shape[0] // groups, w_shape[1]
        deep = _is_deep(x.shape[0], out, w_shape)

        def product(part):
            columns = _columns(windows[part], groups, len(out), deep)
            return rows[part].reshape(columns.shape[1], groups, o).transpose(1, 2, 0) @ columns  # (G, O/G, K*C/G)

        first, *others = _batch_parts(windows)
        gw = product(first)
        for part in others:
            gw += product(part)
        if not deep:
            gw = xp.ascontiguousarray(xp.moveaxis(gw.reshape(groups, o, *kernel, c), -1, 2))  # (G, O/G, C/G, *K)
        return gw.reshape(w_shape)

    def conv_backward(self, g, x, w, stride, padding, dilation, groups, needs=(True, True, True), into=None):
        geometry = (stride, padding, dilation, groups)
        gx = self.conv_backward_input(g, w, x.shape, *geometry) if needs[0] else None
        gw = self.conv_backward_weight(g, x, w.shape, *geometry) if needs[1] else None
        gb = self._channel_sum(g) if needs[2] else None
        return gx, gw, gb

    @kernel_in_float32
    def _channel_sum(self, g):
        return g.sum(axis=(0, *range(2, g.ndim)))

    def _windows(self, x, kernel, stride, padding, dilation, out):
        """A strided view (N, *P, *K, C) of x, zero-padded and channels last."""
        xp = self.xp
        x = xp.moveaxis(x, 1, -1)
        if any(padding):
            n, *spatial, c = x.shape
            padded = xp.zeros((n, *(s + 2 * p for s, p in zip(spatial, padding, strict=True)), c), x.dtype)
            padded[(slice(None), *(slice(p, p + s) for s, p in zip(spatial, padding, strict=True)))] = x
            x = padded
        x = xp.ascontiguousarray(x)  # what lies together is copied into columns together
        steps = x.strides[1:-1]
        strides = (
            x.strides[0],
            *(t * s for t, s in zip(stride, steps, strict=True)),
            *(d * s for d, s in zip(dilation, steps, strict=True)),
            x.strides[-1],
        )
        return xp.lib.stride_tricks.as_strided(x, (x.shape[0], *out, *kernel, x.shape[-1]), strides)


def _backward_input(xp, padded, rows, w, groups, seen):
    """Add to the padded input's gradient (N, *S, C) what comes of the output's `rows` (N, *P, O).

    seen: what of a sample each element of the kernel meets.
    """
    n, *out, o = rows.shape
    c, deep = padded.shape[-1], _is_deep(n, out, w.shape)
    matrix = _weight_matrix(w, groups, deep).transpose(0, 2, 1)  # (G, O/G, K*C/G)
    order = (c // groups, len(seen)) if deep else (len(seen), c // groups)
    step = _batch_step(prod(out) * len(seen) * c)
    for start in range(0, n, step):
        part = rows[start : start + step]
        flat = part.reshape(part.shape[0] * prod(out), groups, o // groups).transpose(1, 0, 2)
        columns = (flat @ matrix).reshape(groups, part.shape[0], *out, *order)
        columns = xp.moveaxis(columns, -1 if deep else -2, 0)  # (K, G, N, *P, C/G)
        for column, window in zip(columns, seen, strict=True):
            target = padded[(slice(start, start + step), *window)]
            target += xp.moveaxis(column, 0, -2).reshape(target.shape)


def _out_shape(spatial, kernel, stride, padding, dilation):
    return tuple(conv_out_size(*axis) for axis in zip(spatial, kernel, stride, padding, dilation, strict=True))


def _batch_step(elements_per_sample):
    return max(1, COLUMN_ELEMENTS // max(1, elements_per_sample))


def _batch_parts(windows):
    step = _batch_step(prod(windows.shape[1:]))
    return [slice(start, start + step) for start in range(0, max(windows.shape[0], 1), step)]


def _mirrored(xp, w, groups):
    """The weights (C, O/G, *K) that bring an output's gradient back to the input, where nothing is skipped."""
    o, c = w.shape[0] // groups, w.shape[1]
    w = xp.flip(w, tuple(range(2, w.ndim)))
    return w.reshape(groups, o, c, *w.shape[2:]).swapaxes(1, 2).reshape(groups * c, o, *w.shape[2:])


def _is_depthwise(w_shape, groups):
    return groups > 1 and w_shape[1] == 1


def _is_deep(n, out, w_shape):
    """Whether columns are to be ordered as weights are: there are fewer positions of the output than channels."""
    return n * prod(out) < w_shape[0]


def _columns(windows, groups, dims, deep):
    """(G, M, K*C/G): one row per output position, one matrix per group; deep: its elements are ordered (C/G, *K)."""
    m, k, c = prod(windows.shape[: dims + 1]), prod(windows.shape[dims + 1 : -1]), windows.shape[-1]
    if deep:
        windows = windows.transpose(*range(dims + 1), windows.ndim - 1, *range(dims + 1, windows.ndim - 1))
        return windows.reshape(m, groups, k * (c // groups)).transpose(1, 0, 2)
    if groups == 1:
        return windows.reshape(1, m, k * c)
    columns = windows.reshape(m, k, groups, c // groups).transpose(2, 0, 1, 3)
    return columns.reshape(groups, m, k * (c // groups))


def _weight_matrix(w, groups, deep):
    """(G, K*C/G, O/G) from (O, C/G, *K); deep: in the order in which weights lie, (C/G, *K)."""
    o, c = w.shape[:2]
    w = w.reshape(groups, o // groups, c, prod(w.shape[2:]))
    if deep:
        return w.reshape(groups, o // groups, -1).transpose(0, 2, 1)
    return w.transpose(0, 3, 2, 1).reshape(groups, -1, o // groups)
