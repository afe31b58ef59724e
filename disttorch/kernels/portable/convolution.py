"""Convolution as matrix products over columns (im2col), channels last.

Letters: N batch, C input channels, O output channels, G groups, S input spatial, P output spatial, K kernel.
"""

from math import prod

from disttorch.kernels.geometry import conv_out_size, window_slices
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
        y = xp.empty((n, *out, w.shape[0]), xp.result_type(x, w))  # (N, *P, O)
        windows = self._windows(x, kernel, stride, padding, dilation, out)
        matrix = _weight_matrix(xp, w, groups)
        for part in _batch_parts(windows):
            columns = _columns(windows[part], groups, len(out))  # (G, M, K*C/G)
            product = columns @ matrix  # (G, M, O/G)
            y[part] = product.transpose(1, 0, 2).reshape(y[part].shape)
        if b is not None:
            y += b
        return xp.moveaxis(y, -1, 1)

    @kernel_in_float32
    def conv_backward_input(self, g, w, x_shape, stride, padding, dilation, groups):
        xp = self.xp
        n, c = x_shape[:2]
        kernel, out = w.shape[2:], g.shape[2:]
        sizes = [
            max(s + 2 * p, (o - 1) * t + d * (k - 1) + 1)
            for s, p, o, t, d, k in zip(x_shape[2:], padding, out, stride, dilation, kernel, strict=True)
        ]
        padded = xp.zeros((n, *sizes, c), xp.result_type(g, w))
        matrix = _weight_matrix(xp, w, groups).transpose(0, 2, 1)  # (G, O/G, K*C/G)
        rows = xp.moveaxis(g, 1, -1)  # (N, *P, O)
        step = _batch_step(prod(out) * prod(kernel) * c)
        for start in range(0, n, step):
            part = rows[start : start + step]
            m = part.shape[0] * prod(out)
            flat = (
                part.reshape(m, groups, -1).transpose(1, 0, 2) if m else part.reshape(groups, 0, w.shape[0] // groups)
            )
            columns = flat @ matrix  # (G, M, K*C/G)
            columns = columns.reshape(groups, part.shape[0], *out, prod(kernel), c // groups)
            columns = xp.moveaxis(columns, 0, -2)  # (N, *P, K, G, C/G)
            for k, window in enumerate(window_slices(kernel, stride, dilation, out)):
                target = padded[(slice(start, start + step), *window)]
                target += columns[..., k, :, :].reshape(target.shape)
        inner = tuple(slice(p, p + s) for p, s in zip(padding, x_shape[2:], strict=True))
        return xp.moveaxis(padded[(slice(None), *inner)], -1, 1)

    @kernel_in_float32
    def conv_backward_weight(self, g, x, w_shape, stride, padding, dilation, groups):
        xp = self.xp
        kernel, out = w_shape[2:], g.shape[2:]
        windows = self._windows(x, kernel, stride, padding, dilation, out)
        rows = xp.moveaxis(g, 1, -1)
        o, c = w_shape[0] // groups, w_shape[1]
        gw = xp.zeros((groups, prod(kernel) * c, o), xp.result_type(g, x))
        for part in _batch_parts(windows):
            columns = _columns(windows[part], groups, len(out))
            gw += columns.transpose(0, 2, 1) @ rows[part].reshape(columns.shape[1], groups, o).transpose(1, 0, 2)
        gw = gw.reshape(groups, *kernel, c, o)
        gw = xp.moveaxis(gw, (-1, -2), (1, 2))  # (G, O/G, C/G, *K)
        return xp.ascontiguousarray(gw).reshape(w_shape)

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
        steps = x.strides[1:-1]
        strides = (
            x.strides[0],
            *(t * s for t, s in zip(stride, steps, strict=True)),
            *(d * s for d, s in zip(dilation, steps, strict=True)),
            x.strides[-1],
        )
        return xp.lib.stride_tricks.as_strided(x, (x.shape[0], *out, *kernel, x.shape[-1]), strides)


def _out_shape(spatial, kernel, stride, padding, dilation):
    return tuple(conv_out_size(*axis) for axis in zip(spatial, kernel, stride, padding, dilation, strict=True))


def _batch_step(elements_per_sample):
    return max(1, COLUMN_ELEMENTS // max(1, elements_per_sample))


def _batch_parts(windows):
    step = _batch_step(prod(windows.shape[1:]))
    return [slice(start, start + step) for start in range(0, windows.shape[0], step)]


def _columns(windows, groups, dims):
    """(G, M, K*C/G): one row per output position, one matrix per group."""
    m, k, c = prod(windows.shape[: dims + 1]), prod(windows.shape[dims + 1 : -1]), windows.shape[-1]
    if groups == 1:
        return windows.reshape(1, m, k * c)
    columns = windows.reshape(m, k, groups, c // groups).transpose(2, 0, 1, 3)
    return columns.reshape(groups, m, k * (c // groups))


def _weight_matrix(xp, w, groups):
    """(G, K*C/G, O/G) from (O, C/G, *K)."""
    o, c = w.shape[:2]
    w = w.reshape(groups, o // groups, c, prod(w.shape[2:]))
    return w.transpose(0, 3, 2, 1).reshape(groups, -1, o // groups)
