"""Group normalisation, which oneDNN has from version 3.3 on, by what it had before.

Where channels lie last, as convolutions leave them, it is batch normalisation of one sample after another, whose
statistics are put together; else layer normalisation, each group a row, and a scale and a shift for each channel.
Sums are one thread's, so that they do not depend on the number of threads.
"""

import numpy as np

from disttorch.kernels.hushing import hushed
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import (
    FLOAT,
    TO_CHANNELS_LAST,
    are_floats,
    channels_last,
    dense,
    empty_channels_last,
)
from disttorch.kernels.onednn.normalization import batch_backward, batch_forward, flags_of, present
from disttorch.kernels.onednn.rows import add_numbers, row_layouts

LEAST = 2048  # elements of a sample from which some calls for each cost less than turning all
SHORT = 16  # elements of a channel below which NumPy's formula is as quick
TOGETHER = 4  # channels that oneDNN takes at a time; what is left over makes it many times as slow
GLOBAL = dnnl.GLOBAL_STATS | dnnl.SCALE_FLAG | dnnl.SHIFT_FLAG


class GroupNorm:
    def group_norm_forward(self, x, groups, weight, bias, eps):
        if are_floats(x, weight, bias) and _is_long(x):
            forward = self._forward_by_samples if _lies_by_samples(x) else self._forward_by_rows
            try:
                return forward(x, groups, weight, bias, eps)
            except Unsupported:
                pass
        return super().group_norm_forward(x, groups, weight, bias, eps)

    def group_norm_backward(self, g, x, groups, weight, mean, var, eps, needs=(True, True, True)):
        if needs[0] and are_floats(g, x, weight, mean, var) and _is_long(x):
            backward = self._backward_by_samples if _lies_by_samples(x) else self._backward_by_rows
            by_channel = [np.repeat(a, x.shape[1] // groups, axis=1) for a in (mean, var)]
            try:
                gx, by_g, by_x = backward(dense(g), x, groups, weight, *by_channel, eps)
                return gx, by_x.sum(axis=0) if needs[1] else None, by_g.sum(axis=0) if needs[2] else None
            except Unsupported:
                pass
        return super().group_norm_backward(g, x, groups, weight, mean, var, eps, needs)

    # ---- channels last

    def _forward_by_samples(self, x, groups, weight, bias, eps):
        one, along = x[:1], x.shape[:2]
        y, mean, var = empty_channels_last(x.shape), np.empty(along, FLOAT), np.empty(along, FLOAT)

        def normalise(flags, parameters, mean, var, work):
            arrays = (x, y, mean, var, *[np.broadcast_to(p, along) for p in parameters])
            key = ("group_norm", one.shape, eps, flags)
            self._each(key, lambda plan: batch_forward(plan, one, eps, flags), arrays, work)

        flags, parameters = flags_of(weight, bias), present(weight, bias)
        if groups == along[1]:
            normalise(flags, parameters, mean, var, 0)
            return y, mean, var
        normalise(0, [], mean, var, 0)  # for the statistics of channels
        mean, var = (a.reshape(along[0], groups, -1) for a in (mean, var))
        centre = mean.mean(axis=2)
        spread = (var + np.square(mean - centre[:, :, None])).mean(axis=2)
        by_channel = [np.repeat(a, along[1] // groups, axis=1) for a in (centre, spread)]
        normalise(flags | dnnl.GLOBAL_STATS, parameters, *by_channel, None)
        return y, centre, spread

    def _backward_by_samples(self, g, x, groups, weight, mean, var, eps):
        g1, x1, along = g[:1], x[:1], x.shape[:2]
        gx, by_g, by_x = empty_channels_last(x.shape), np.empty(along, FLOAT), np.empty(along, FLOAT)
        scale = np.broadcast_to(np.ones(1, FLOAT) if weight is None else weight, along)
        flags = GLOBAL if groups < along[1] else GLOBAL & ~dnnl.GLOBAL_STATS
        key = ("group_norm_backward", x1.shape, g1.strides, eps, flags)
        arrays = (g, x, gx, mean, var, np.ascontiguousarray(scale), by_x, by_g)
        self._each(key, lambda plan: batch_backward(plan, g1, x1, eps, flags), arrays, 0)
        if groups < along[1]:  # so far the statistics counted as constants
            size, rstd = x[0, 0].size, 1 / np.sqrt(var + FLOAT.type(eps))
            _, of_x, of_1 = self._of_groups(by_g, by_x, groups, weight, rstd, size)
            key, arrays = ("group_norm_rest", x1.shape, eps), (x, mean, var, of_x, of_1, gx)
            self._each(key, lambda plan: _add_normalised(plan, x1.shape, eps), arrays)
        return gx, by_g, by_x

    def _each(self, key, build, arrays, work=None):
        """One plan for each sample, in order."""
        for parts in zip(*arrays, strict=True):
            self.engine.run(key, build, *parts, work=work)

    # ---- each channel of a sample a row

    def _forward_by_rows(self, x, groups, weight, bias, eps):
        samples, channels = x.shape[:2]
        y, mean, var = self.layer_norm_forward(x.reshape(samples, groups, -1), 1, None, None, eps)
        if weight is not None or bias is not None:
            rows = y.reshape(samples * channels, -1)
            scale = np.ones(len(rows), FLOAT) if weight is None else np.tile(weight, samples)
            shift = np.zeros(len(rows), FLOAT) if bias is None else np.tile(bias, samples)
            arrays = (rows, scale, shift, rows)
            self.engine.run(("scaled_rows", rows.shape), lambda p: add_numbers(p, rows.shape, dnnl.MUL), *arrays)
        return y.reshape(x.shape), mean, var

    @hushed
    def _backward_by_rows(self, g, x, groups, weight, mean, var, eps):
        rows = np.ascontiguousarray(x).reshape(mean.size, -1)
        g_rows, gx = np.ascontiguousarray(g).reshape(rows.shape), np.empty(rows.shape, FLOAT)
        rstd = 1 / np.sqrt(var + FLOAT.type(eps))
        by_g = (g_rows @ np.ones(rows.shape[1], FLOAT)).reshape(mean.shape)
        by_x = (np.vecdot(g_rows, rows).reshape(mean.shape) - mean * by_g) * rstd
        of_g, of_x, of_1 = self._of_groups(by_g, by_x, groups, weight, rstd, rows.shape[1])
        of_x *= rstd
        of_1 -= of_x * mean
        arrays = (g_rows, rows, gx, of_g, of_x, of_1)
        self.engine.run(("sum_of_rows", rows.shape), lambda plan: _sum_of_scaled(plan, rows.shape), *arrays)
        return gx.reshape(x.shape), by_g, by_x


def _is_long(x):
    return x.ndim > 2 and x.size >= SHORT * x.shape[0] * x.shape[1] > 0


def _lies_by_samples(x):
    """Whether channels lie last and samples are large enough to be taken one by one."""
    if x.flags.c_contiguous or x.shape[1] % TOGETHER or x.size < LEAST * len(x):
        return False
    return x.transpose(TO_CHANNELS_LAST[x.ndim]).flags.c_contiguous


def _add_normalised(plan, shape, eps):
    """Of x, mean, var, scale, shift and y: y += x normalised, scaled and shifted."""
    layout, vector = plan.layout(shape, channels_last(shape)), plan.layout(shape[1:2], (1,))
    desc = plan.describe("batch_normalization_forward", dnnl.TRAINING, layout, layout, eps, GLOBAL)
    arguments = {dnnl.SRC: plan.array(layout)}
    arguments |= {name: plan.array(vector) for name in (dnnl.MEAN, dnnl.VARIANCE, dnnl.SCALE, dnnl.SHIFT)}
    normalised, y = plan.temporary(layout), plan.array(layout)
    plan.step(desc, {**arguments, dnnl.DST: normalised})
    desc = plan.describe("binary", dnnl.ADD, layout, layout, layout)
    plan.step(desc, {dnnl.SRC: y, dnnl.SRC_1: normalised, dnnl.DST: y})


def _sum_of_scaled(plan, shape):
    """Of rows a, b and y, and vectors s, t and c: y = a * s + b * t + c."""
    rows, vector = row_layouts(plan, shape)
    lib = plan.lib

    def append(functions):
        return lib.dnnl_post_ops_append_binary(functions, dnnl.ADD, rows) or lib.dnnl_post_ops_append_binary(
            functions, dnnl.ADD, vector
        )

    a, b, y = (plan.array(rows) for _ in range(3))
    s, t, c = (plan.array(vector) for _ in range(3))
    plan.step(plan.describe("binary", dnnl.MUL, rows, vector, rows), {dnnl.SRC: a, dnnl.SRC_1: s, dnnl.DST: y})
    after = plan.engine.attributes_with(append)
    desc = plan.describe("binary", dnnl.MUL, rows, vector, rows, attributes=after)
    lib.dnnl_primitive_attr_destroy(after)
    plan.step(desc, {dnnl.SRC: b, dnnl.SRC_1: t, dnnl.AFTERWARDS_SRC_1: y, dnnl.THEN_SRC_1: c, dnnl.DST: y})
