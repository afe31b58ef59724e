"""Layer normalisation by oneDNN."""

from math import prod

import numpy as np

from disttorch.kernels.geometry import divisor_near
from disttorch.kernels.hushing import hushed
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import FLOAT, are_floats, contiguous

BLOCK = 2048  # elements of a row that are added one after another
LONG = 16384  # elements of a row from which on their sums are worth a pass of their own
FEW = 1 << 19  # elements up to which one thread is quick enough


class LayerNorm:
    def layer_norm_forward(self, x, dims, weight, bias, eps):
        if not (are_floats(x, weight, bias) and x.size):
            return super().layer_norm_forward(x, dims, weight, bias, eps)
        rows, leading = _rows(x, dims)
        y, flags = np.empty(rows.shape, FLOAT), flags_of(weight, bias)
        if rows.shape[1] <= LONG:
            mean, var = np.empty(leading, FLOAT), np.empty(leading, FLOAT)
        else:
            parts = divisor_near(rows.shape[1], rows.shape[1] / BLOCK)
            if rows.shape[1] > parts * LONG:
                return super().layer_norm_forward(x, dims, weight, bias, eps)
            moments = self.layer_norm_forward(rows.reshape(len(rows), parts, -1), 1, None, None, 1.0)[1:]
            mean, var = (m.reshape(leading) for m in _of_whole(*moments))
            flags |= dnnl.GLOBAL_STATS
        arrays = (rows, y, mean, var, *present(weight, bias))
        key = ("layer_norm", rows.shape, eps, flags)
        self.engine.run(key, lambda plan: _layer_forward(plan, rows.shape, eps, flags), *arrays)
        return y if dims == 1 == x.ndim - 1 else y.reshape(x.shape), mean, var

    def layer_norm_backward(self, g, x, dims, weight, mean, var, eps, needs=(True, True, True)):
        if not (are_floats(g, x, weight, mean, var) and x.size and needs[0]):
            return super().layer_norm_backward(g, x, dims, weight, mean, var, eps, needs)
        rows, _ = _rows(x, dims)
        g_rows, _ = _rows(g, dims)
        width = rows.shape[1]
        gx = np.empty(rows.shape, FLOAT)
        arrays = [g_rows, rows, gx, *map(np.ascontiguousarray, (mean, var))]
        if weight is None and not (needs[1] or needs[2]):
            key = ("layer_norm_backward", rows.shape, eps, 0)
            self.engine.run(key, lambda plan: _layer_backward(plan, rows.shape, eps, 0), *arrays)
            return gx.reshape(x.shape), None, None
        scale = np.ones(width, FLOAT) if weight is None else np.ascontiguousarray(weight).reshape(-1)
        gw, gb = np.empty(width, FLOAT), np.empty(width, FLOAT)
        arrays += [scale, gw, gb]
        flags = dnnl.SCALE_FLAG | dnnl.SHIFT_FLAG
        key, few = ("layer_norm_backward", rows.shape, eps, flags), rows.size <= FEW
        work = 0 if few else None  # the primitive cuts the sums over rows as there are threads
        self.engine.run(key, lambda plan: _layer_backward(plan, rows.shape, eps, flags), *arrays, work=work)
        if not few and (needs[1] or needs[2]):
            x_hat = self._standardised(rows, mean, var, eps)
            gw, gb = self._sums_of_products(*(a[None].transpose(0, 2, 1) for a in (g_rows, x_hat))).astype(FLOAT)
        shape = x.shape[x.ndim - dims :]
        gw, gb = (p.reshape(shape) if need else None for p, need in zip((gw, gb), needs[1:], strict=True))
        return gx.reshape(x.shape), gw, gb

    def _standardised(self, rows, mean, var, eps):
        y, flags = np.empty(rows.shape, FLOAT), dnnl.GLOBAL_STATS
        arrays = (rows, y, *map(np.ascontiguousarray, (mean, var)))
        key = ("layer_norm", rows.shape, eps, flags)
        self.engine.run(key, lambda plan: _layer_forward(plan, rows.shape, eps, flags), *arrays)
        return y


@hushed
def _of_whole(means, variances):
    """The mean and variance of rows whose equal parts have these. Chan, Golub and LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances" (1979), formula 2.1.
    """
    means = means.astype(np.float64)
    mean = means.mean(axis=1)
    var = (variances + (means - mean[:, None]) ** 2).mean(axis=1)
    return mean.astype(FLOAT), var.astype(FLOAT)


def present(*vectors):
    return [np.ascontiguousarray(v) for v in vectors if v is not None]


def flags_of(weight, bias):
    return (0 if weight is None else dnnl.SCALE_FLAG) | (0 if bias is None else dnnl.SHIFT_FLAG)


def _rows(x, dims):
    """x as contiguous (rows, width) and the shape of its leading axes."""
    leading = x.shape[: x.ndim - dims]
    if dims == 1 == len(leading) and x.flags.c_contiguous:
        return x, leading
    return np.ascontiguousarray(x).reshape(prod(leading), -1), leading


# ---- plans


def _layer_forward(plan, shape, eps, flags):
    layout, stats = plan.layout(shape, contiguous(shape)), plan.layout(shape[:1], (1,))
    desc = plan.describe("layer_normalization_forward", dnnl.TRAINING, layout, layout, stats, eps, flags)
    names = [dnnl.SRC, dnnl.DST, dnnl.MEAN, dnnl.VARIANCE]
    arguments = {name: plan.array(each) for name, each in zip(names, (layout, layout, stats, stats), strict=True)}
    vector = plan.layout(shape[1:], (1,))
    if flags & dnnl.SCALE_FLAG:
        arguments[dnnl.SCALE] = plan.array(vector)
    if flags & dnnl.SHIFT_FLAG:
        arguments[dnnl.SHIFT] = plan.array(vector)
    plan.step(desc, arguments)


def _layer_backward(plan, shape, eps, flags):
    layout, stats, vector = (
        plan.layout(shape, contiguous(shape)),
        plan.layout(shape[:1], (1,)),
        plan.layout(shape[1:], (1,)),
    )
    hint = plan.describe("layer_normalization_forward", dnnl.TRAINING, layout, layout, stats, eps, flags)
    desc = plan.describe("layer_normalization_backward", dnnl.BACKWARD, layout, layout, layout, stats, eps, flags, hint)
    arguments = {name: plan.array(layout) for name in (dnnl.DIFF_DST, dnnl.SRC, dnnl.DIFF_SRC)}
    arguments |= {name: plan.array(stats) for name in (dnnl.MEAN, dnnl.VARIANCE)}
    if flags:
        arguments |= {name: plan.array(vector) for name in (dnnl.SCALE, dnnl.DIFF_SCALE, dnnl.DIFF_SHIFT)}
        arguments[dnnl.SHIFT] = arguments[dnnl.SCALE]  # counted among the inputs, never read
    plan.step(desc, arguments)
