"""Group normalisation, which oneDNN has from version 3.3 on, by what it had before.

Where channels lie last, as convolutions leave them, sums are average pooling over a sample's positions, and every pass
a binary primitive with a number for each of a sample's channels; else it is layer normalisation, each group a row, and
a scale and a shift for each channel. A sum is one thread's, so that it does not depend on their number.
"""

from math import prod

import numpy as np

from disttorch.kernels.geometry import divisor_near
from disttorch.kernels.hushing import hushed
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import (
    FLOAT,
    TO_CHANNELS_FIRST,
    TO_CHANNELS_LAST,
    are_floats,
    dense,
    empty_channels_last,
)
from disttorch.kernels.onednn.pooling import describe_forward
from disttorch.kernels.onednn.rows import add_numbers, row_layouts

LANES = 256  # a pass has some overhead for every row, which is a number for each lane long
ADDED = 64  # numbers that pooling, which adds one after the other, is to add; what comes of it is added in float64
SHORT = 16  # elements of a channel below which NumPy's formula is as quick


class GroupNorm:
    def group_norm_forward(self, x, groups, weight, bias, eps):
        if are_floats(x, weight, bias) and _is_long(x):
            forward = self._forward_by_lanes if _lies_channels_last(x) else self._forward_by_rows
            try:
                return forward(x, groups, weight, bias, eps)
            except Unsupported:
                pass
        return super().group_norm_forward(x, groups, weight, bias, eps)

    def group_norm_backward(self, g, x, groups, weight, mean, var, eps, needs=(True, True, True)):
        if needs[0] and are_floats(g, x, weight, mean, var) and _is_long(x):
            backward = self._backward_by_lanes if _lies_channels_last(x) else self._backward_by_rows
            by_channel = [np.repeat(a, x.shape[1] // groups, axis=1) for a in (mean, var)]
            try:
                gx, by_g, by_x = backward(dense(g), x, groups, weight, *by_channel, eps)
                return gx, by_x.sum(axis=0) if needs[1] else None, by_g.sum(axis=0) if needs[2] else None
            except Unsupported:
                pass
        return super().group_norm_backward(g, x, groups, weight, mean, var, eps, needs)

    # ---- channels last: a sample's channels, at some neighbouring positions together, are the lanes of all passes

    @hushed
    def _forward_by_lanes(self, x, groups, weight, bias, eps):
        lanes, each = _lanes(x.shape), x.shape[1] // groups
        averages, y = np.empty(lanes[:2], FLOAT), empty_channels_last(x.shape)

        def of_groups():
            return (_by_channel(averages, x.shape).reshape(len(x), groups, each).sum(axis=2) / each).astype(FLOAT)

        self.engine.run(("averages", lanes), lambda plan: averages_of(plan, lanes), x, averages)
        mean = of_groups()
        arrays = (x, _of_lanes(np.repeat(mean, each, axis=1), lanes), y, averages)
        self.engine.run(("centred", lanes), lambda plan: _centre(plan, lanes), *arrays)
        var = of_groups()
        scale = np.repeat(1 / np.sqrt(var + FLOAT.type(eps)), each, axis=1)
        if weight is not None:
            scale *= weight
        numbers = [_of_lanes(a, lanes) for a in (scale, bias) if a is not None]
        key = ("scaled", lanes, bias is None)
        self.engine.run(key, lambda plan: _scale(plan, lanes, bias is not None), y, *numbers)
        return y, mean, var

    @hushed
    def _backward_by_lanes(self, g, x, groups, weight, mean, var, eps):
        lanes, size = _lanes(x.shape), x[0, 0].size
        if not _lies_channels_last(g):
            g = self.contiguous_copy(g.transpose(TO_CHANNELS_LAST[g.ndim])).transpose(TO_CHANNELS_FIRST[g.ndim])
        averages, gx = np.empty(lanes[:2], FLOAT), empty_channels_last(x.shape)
        rstd = 1 / np.sqrt(var + FLOAT.type(eps))

        def sums():
            return (_by_channel(averages, x.shape) * size).astype(FLOAT)

        self.engine.run(("averages", lanes), lambda plan: averages_of(plan, lanes), g, averages)
        by_g = sums()
        arrays = (x, _of_lanes(mean, lanes), g, averages)
        self.engine.run(("products", lanes), lambda plan: _average_products(plan, lanes), *arrays)
        by_x = sums() * rstd
        of_g, of_x, of_1 = self._of_groups(by_g, by_x, groups, weight, rstd, size)
        of_x *= rstd
        of_1 -= of_x * mean
        arrays = (g, x, gx, *[_of_lanes(a, lanes) for a in (of_g, of_x, of_1)])
        self.engine.run(("sum_of_lanes", lanes), lambda plan: _sum_by_lanes(plan, lanes), *arrays)
        return gx, by_g, by_x

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
        self.engine.run(("sum_of_rows", rows.shape), lambda plan: _sum_by_rows(plan, rows.shape), *arrays)
        return gx.reshape(x.shape), by_g, by_x


def _is_long(x):
    return x.ndim > 2 and x.size >= SHORT * x.shape[0] * x.shape[1] > 0


def _lies_channels_last(x):
    return not x.flags.c_contiguous and x.transpose(TO_CHANNELS_LAST[x.ndim]).flags.c_contiguous


def _lanes(shape):
    """(N, C, *S) -> (N, K * C, P): K of the K * P positions are taken together, for LANES lanes and more, P about ADDED
    and less.
    """
    samples, channels = shape[:2]
    positions = prod(shape[2:])
    together = divisor_near(positions, max(LANES / channels, positions / ADDED))
    return samples, together * channels, positions // together


def _by_channel(averages, shape):
    """(N, K * C) -> (N, C), float64."""
    parts = averages.reshape(shape[0], -1, shape[1])
    return np.add.reduce(parts, axis=1, dtype=np.float64) / parts.shape[1]


def _of_lanes(numbers, lanes):
    """Numbers for channels, (N, C) or (C,), once for each of a lane's channels."""
    return np.tile(numbers, lanes[1] // numbers.shape[-1])


# ---- plans by lanes


def _layouts(plan, lanes):
    """Those of the whole and of a number for each of a sample's lanes."""
    samples, count, positions = lanes
    whole = plan.layout((samples, count, positions), (count * positions, 1, count))
    return whole, plan.layout((samples, count, 1), (count, 1, count))


def averages_of(plan, lanes):
    """Of x (N, P, C) and averages (N, C), which are over the positions P; lanes: (N, C, P)."""
    _average(plan, lanes, plan.array(_layouts(plan, lanes)[0]))


def _average(plan, lanes, x):
    """The averages of x over positions, a further argument."""
    samples, count, positions = lanes
    window = ((positions,), (positions,), (0,), (1,))
    desc = describe_forward(plan, dnnl.POOL_AVG_INCLUDE, lanes, (samples, count, 1), window)
    plan.step(desc, {dnnl.SRC: x, dnnl.DST: plan.array(_layouts(plan, lanes)[1])})


def _centre(plan, lanes):
    """Of x, centre, y and averages: y = x - centre, and the averages of its squares."""
    whole, numbers = _layouts(plan, lanes)
    x, centre, y, squares = plan.array(whole), plan.array(numbers), plan.array(whole), plan.temporary(whole)
    plan.combine(y, x, dnnl.SUB, centre)
    plan.combine(squares, y, dnnl.MUL, y)
    _average(plan, lanes, squares)


def _scale(plan, lanes, shifted):
    """Of y, scale and, if `shifted`, shift, which is the same for all samples: y = y * scale + shift."""
    whole, numbers = _layouts(plan, lanes)
    y, scale = plan.array(whole), plan.array(numbers)
    shift = [(dnnl.ADD, plan.array(plan.layout((1, lanes[1], 1), (lanes[1], 1, lanes[1]))))] if shifted else []
    plan.combine(y, y, dnnl.MUL, scale, *shift)


def _average_products(plan, lanes):
    """Of x, centre, g and averages: those of (x - centre) * g."""
    whole, numbers = _layouts(plan, lanes)
    x, centre, g, products = plan.array(whole), plan.array(numbers), plan.array(whole), plan.temporary(whole)
    plan.combine(products, x, dnnl.SUB, centre, (dnnl.MUL, g))
    _average(plan, lanes, products)


def _sum_by_lanes(plan, lanes):
    """Of a, b and y, and numbers s, t and c: y = a * s + b * t + c."""
    whole, numbers = _layouts(plan, lanes)
    a, b, y = (plan.array(whole) for _ in range(3))
    s, t, c = (plan.array(numbers) for _ in range(3))
    plan.combine(y, a, dnnl.MUL, s)
    plan.combine(y, b, dnnl.MUL, t, (dnnl.ADD, y))
    plan.combine(y, y, dnnl.ADD, c)  # no function that follows another takes such numbers


# ---- plans by rows


def _sum_by_rows(plan, shape):
    """Of rows a, b and y, and vectors s, t and c: y = a * s + b * t + c."""
    rows, vector = row_layouts(plan, shape)
    a, b, y = (plan.array(rows) for _ in range(3))
    s, t, c = (plan.array(vector) for _ in range(3))
    plan.combine(y, a, dnnl.MUL, s)
    plan.combine(y, b, dnnl.MUL, t, (dnnl.ADD, y), (dnnl.ADD, c))
