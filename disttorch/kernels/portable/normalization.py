"""Normalisations and softmax.

`mean` and `var` are the statistics the forward used (`var` biased, as batch normalisation normalises with); backward
takes them back.
"""

from math import prod

from disttorch.kernels.hushing import hushed
from disttorch.kernels.portable.blocks import BLOCK
from disttorch.kernels.portable.precision import kernel_in_float32

SHORT = 64  # elements of a row up to which it is worth while to turn rows into columns


class Normalization:
    @kernel_in_float32(rounded=1)
    def batch_norm_forward(self, x, weight, bias, eps, mean=None, var=None):
        xp = self.xp
        axes, shape = _channel_axes(x)
        if mean is None:
            mean = x.mean(axis=axes)
            centred = x - mean.reshape(shape)
            var = (centred * centred).mean(axis=axes)
        else:
            centred = x - mean.reshape(shape)
        scale = 1 / xp.sqrt(var + eps)
        if weight is not None:
            scale = scale * weight
        centred *= scale.reshape(shape)
        if bias is not None:
            centred += bias.reshape(shape)
        return centred, mean, var

    @kernel_in_float32
    def batch_norm_backward(self, g, x, weight, mean, var, eps, training=True, needs=(True, True, True)):
        """Ioffe and Szegedy, "Batch Normalization" (2015), section 3."""
        xp = self.xp
        axes, shape = _channel_axes(x)
        rstd = 1 / xp.sqrt(var + eps)
        gb = g.sum(axis=axes)
        gx = gw = None
        if needs[1] or (needs[0] and training):
            x_hat = (x - mean.reshape(shape)) * rstd.reshape(shape)
            gw = (g * x_hat).sum(axis=axes)
        if needs[0]:
            scale = rstd if weight is None else rstd * weight
            if training:
                m = x.size // x.shape[1]
                x_hat *= (gw / -m).reshape(shape)
                x_hat += g
                x_hat -= (gb / m).reshape(shape)
                x_hat *= scale.reshape(shape)
                gx = x_hat
            else:
                gx = g * scale.reshape(shape)
        return gx, gw if needs[1] else None, gb if needs[2] else None

    @kernel_in_float32(rounded=1)
    def layer_norm_forward(self, x, dims, weight, bias, eps):
        axes = tuple(range(x.ndim - dims, x.ndim))
        mean = x.mean(axis=axes, keepdims=True)
        y = x - mean
        var = (y * y).mean(axis=axes, keepdims=True)
        y *= 1 / self.xp.sqrt(var + eps)
        if weight is not None:
            y *= weight
        if bias is not None:
            y += bias
        leading = x.shape[: x.ndim - dims]
        return y, mean.reshape(leading), var.reshape(leading)

    @kernel_in_float32
    def layer_norm_backward(self, g, x, dims, weight, mean, var, eps, needs=(True, True, True)):
        """Ba, Kiros and Hinton, "Layer Normalization" (2016)."""
        xp = self.xp
        leading = tuple(range(x.ndim - dims))
        axes = tuple(range(x.ndim - dims, x.ndim))
        shape = mean.shape + (1,) * dims
        rstd = 1 / xp.sqrt(var.reshape(shape) + eps)
        x_hat = (x - mean.reshape(shape)) * rstd
        gw = (g * x_hat).sum(axis=leading) if needs[1] else None
        gb = g.sum(axis=leading) if needs[2] else None
        gx = None
        if needs[0]:
            gx = g.copy() if weight is None else g * weight
            along = (gx * x_hat).mean(axis=axes, keepdims=True)
            gx -= gx.mean(axis=axes, keepdims=True)
            x_hat *= along
            gx -= x_hat
            gx *= rstd
        return gx, gw, gb

    @kernel_in_float32(rounded=1)
    def group_norm_forward(self, x, groups, weight, bias, eps):
        rows = x.reshape(x.shape[0], groups, prod(x.shape[1:]) // groups)
        y, mean, var = self.layer_norm_forward(rows, 1, None, None, eps)
        y, shape = y.reshape(x.shape), _channel_axes(x)[1]
        if weight is not None:
            y *= weight.reshape(shape)
        if bias is not None:
            y += bias.reshape(shape)
        return y, mean, var

    @kernel_in_float32
    def group_norm_backward(self, g, x, groups, weight, mean, var, eps, needs=(True, True, True)):
        xp = self.xp
        samples, channels = x.shape[:2]
        each = channels // groups
        g_rows, rows = (xp.ascontiguousarray(a).reshape(samples * channels, prod(x.shape[2:])) for a in (g, x))
        mean = xp.repeat(mean.reshape(-1), each)[:, None]
        rstd = xp.repeat(1 / xp.sqrt(var + var.dtype.type(eps)), each, axis=1)
        by_g, by_x = (a.reshape(samples, channels) for a in self._sums(g_rows, rows, mean))
        by_x = by_x * rstd
        gw = by_x.sum(axis=0) if needs[1] else None
        gb = by_g.sum(axis=0) if needs[2] else None
        if not needs[0]:
            return None, gw, gb
        of_g, of_x, of_1 = self._of_groups(by_g, by_x, groups, weight, rstd, rows.shape[1])
        of_g, of_x, of_1 = (a.reshape(-1, 1).astype(rows.dtype) for a in (of_g, of_x * rstd, of_1))
        gx = xp.empty_like(rows)
        for at in _blocks(rows):
            block = gx[at]
            xp.subtract(rows[at], mean[at], out=block)
            block *= of_x[at]
            block += of_1[at]
            block += g_rows[at] * of_g[at]
        return gx.reshape(x.shape), gw, gb

    def _of_groups(self, by_g, by_x, groups, weight, rstd, size):
        """Group norm's gradient is of_g * g + of_x * x_hat + of_1, x_hat the normalised x: these three, (N, C), from
        the sums of g and of g * x_hat over a channel's `size` elements. Layer norm's formula, each group a row.
        """
        scale = rstd if weight is None else rstd * weight
        samples, channels = scale.shape
        each = channels // groups
        of_x, of_1 = (
            self.xp.repeat((a * scale).reshape(samples, groups, each).sum(axis=2) / -(each * size), each, axis=1)
            for a in (by_x, by_g)
        )
        return scale, of_x, of_1

    def _sums(self, g, x, mean):
        """The sums of the rows of g, and of g * (x - mean)."""
        xp = self.xp
        by_g, by_x = xp.empty(len(x), x.dtype), xp.empty(len(x), x.dtype)
        for at in _blocks(x):
            block = x[at] - mean[at]
            block *= g[at]
            xp.sum(g[at], axis=1, out=by_g[at])
            xp.sum(block, axis=1, out=by_x[at])
        return by_g, by_x

    @kernel_in_float32
    def softmax_forward(self, x, axis):
        if not x.size:
            return x.copy()
        y = self._shifted(x, axis)
        self.xp.exp(y, out=y)
        y /= y.sum(axis=axis, keepdims=True)
        return y

    @kernel_in_float32
    def softmax_backward(self, g, y, axis):
        gx = g * y
        gx -= y * self.xp.add.reduce(gx, axis=axis, keepdims=True)
        return gx

    @kernel_in_float32
    def log_softmax_forward(self, x, axis):
        if not x.size:
            return x.copy()
        y = self._shifted(x, axis)
        y -= self.xp.log(self.xp.exp(y).sum(axis=axis, keepdims=True))
        return y

    def softmax_and_log(self, x, at):
        """The softmax of the rows x (M, C), and its logarithm at each row's place of `at` (two vectors of indices)."""
        y = self._shifted(x, 1)
        chosen = y[at]
        self.xp.exp(y, out=y)
        total = y.sum(axis=1)
        y /= total[:, None]
        return y, chosen - self.xp.log(total)

    def _powers(self, x, axis):
        """exp(x) for x that is not positive, and its sums along the axis."""
        powers = self.xp.exp(x)
        return powers, powers.sum(axis=axis)

    def row_maxima(self, x):
        """The largest elements of the rows x (M, C): NumPy starts anew for each row, but not for whole columns, and
        finds the place of a long row's faster than its size.
        """
        if x.shape[1] > SHORT:
            return x[self.xp.arange(len(x)), x.argmax(1)]
        return self.xp.maximum.reduce(self.xp.ascontiguousarray(x.T), axis=0)

    @kernel_in_float32
    def log_softmax_backward(self, g, y, axis):
        return g - self.xp.exp(y) * self.xp.add.reduce(g, axis=axis, keepdims=True)

    @hushed
    def _shifted(self, x, axis):
        """x minus its maximum along the axis; a row of -inf stays NaN, as the formula says."""
        return x - x.max(axis=axis, keepdims=True)


def _channel_axes(x):
    """The axes a channel's statistics run over, and the shape that lays a per-channel vector along x."""
    return (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))


def _blocks(rows):
    """Slices of rows that stay in the cache from one step to the next."""
    step = max(1, BLOCK // max(rows.shape[1], 1))
    return [slice(i, i + step) for i in range(0, len(rows), step)]
