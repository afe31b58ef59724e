"""Recurrent layers over sequences of equal length: an LSTM as one primitive (oneDNN stacks gates as PyTorch does); what
goes step by step has its recurrent weights packed once per call."""

from math import prod

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import FLOAT, contiguous, strides_of
from disttorch.kernels.onednn.linear import TINY
from disttorch.kernels.threads import threads_for

GATES = 4
LEFT_TO_RIGHT, RIGHT_TO_LEFT = 1, 2  # dnnl_rnn_direction_t
OVERWRITE = 1  # dnnl_rnn_flags_diff_weights_overwrite: do not add to what the gradient held


class Recurrent:
    """`saved` of lstm_forward: (oneDNN's workspace, h, c), or portable's arrays; None without training."""

    def lstm_forward(self, x, batch_sizes, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, training=True):
        if dense_float(batch_sizes, x, h0, c0, w_ih, w_hh):
            size = (len(batch_sizes), batch_sizes[0], x.shape[1], w_hh.shape[1])  # T, N, I, H
            bias = np.zeros(GATES * size[3], FLOAT)
            for b in (b_ih, b_hh):
                if b is not None:
                    bias += b
            y = np.empty((x.shape[0], size[3]), FLOAT)
            h, c = np.empty(h0.shape, FLOAT), np.empty(h0.shape, FLOAT)
            try:
                arrays = [*map(np.ascontiguousarray, (x, h0, c0, w_ih, w_hh)), bias, y, h, c]
                if training:
                    arrays.append(workspace := np.empty(self._workspace_size(size, reverse), np.uint8))
                key, kind = ("lstm", size, reverse, training), dnnl.TRAINING if training else dnnl.INFERENCE
                self.engine.run(key, lambda plan: _forward(plan, size, reverse, kind), *arrays, work=_work(size))
            except Unsupported:
                pass
            else:
                return y, h, c, (workspace, h, c) if training else None
        return super().lstm_forward(x, batch_sizes, h0, c0, w_ih, w_hh, b_ih, b_hh, reverse, training)

    def lstm_backward(self, gy, gh, gc, saved, x, batch_sizes, h0, c0, y, w_ih, w_hh, bias=True, reverse=False):
        workspace, h, c = saved
        if workspace.dtype != np.uint8:
            return super().lstm_backward(gy, gh, gc, saved, x, batch_sizes, h0, c0, y, w_ih, w_hh, bias, reverse)
        size = (len(batch_sizes), batch_sizes[0], x.shape[1], w_hh.shape[1])
        given = (x, h0, c0, w_ih, w_hh, np.zeros(GATES * size[3], FLOAT), y, h, c, workspace, gy, gh, gc)
        gx, gh0, gc0, gw_ih, gw_hh = (np.empty(a.shape, FLOAT) for a in (x, h0, c0, w_ih, w_hh))
        gb = np.empty(GATES * size[3], FLOAT)
        arrays = (*map(np.ascontiguousarray, given), gx, gh0, gc0, gw_ih, gw_hh, gb)
        key = ("lstm_backward", size, reverse)
        self.engine.run(key, lambda plan: _backward(plan, size, reverse), *arrays, work=_work(size))
        return gx, gh0, gc0, gw_ih, gw_hh, gb if bias else None

    def _workspace_size(self, size, reverse):
        key = ("lstm", size, reverse, threads_for(_work(size)))
        if key not in self._sizes:
            plan = self.engine.new_plan(_work(size))
            desc = _describe(plan, _Layouts(plan, size), reverse)
            self._sizes[key] = plan.size(plan.wanted(desc, dnnl.QUERY_WORKSPACE))
        return self._sizes[key]

    def _step_product(self, w, batch_sizes):
        problem = (batch_sizes[0], *w.shape)  # n, k, m
        if w.dtype is not FLOAT or batch_sizes[-1] != batch_sizes[0] or prod(problem) < TINY:
            return super()._step_product(w, batch_sizes)
        work, run = prod(problem), self.engine.run
        key = ("product", problem, threads_for(work))
        if key not in self._sizes:
            plan = self.engine.new_plan(work)
            self._sizes[key] = plan.size(plan.wanted(_describe_product(plan, *problem), dnnl.QUERY_WEIGHTS))
        packed = np.empty(self._sizes[key], np.uint8)
        strides = strides_of(w.shape, w.strides, contiguous(w.shape))
        run(("pack", problem, strides), lambda plan: _pack(plan, problem, strides), w, packed, work=work)

        def build(plan):
            _multiply(plan, *problem)

        def product(a, out):
            run(key, build, a, packed, out, work=work)

        return product


def _work(size):
    """Multiplications of one time step."""
    _, n, i, h = size
    return n * (i + h) * GATES * h


def dense_float(batch_sizes, *arrays):
    equal = batch_sizes[0] == batch_sizes[-1]  # they never increase
    return equal and all(a.dtype is FLOAT and a.size for a in arrays)


class _Layouts:
    """The layouts of a layer's arrays: plain ones as PyTorch has them, free ones for the weights."""

    def __init__(self, plan, size):
        t, n, i, h = size

        def plain(*shape):
            return plan.layout(shape, contiguous(shape))

        self.x, self.y, self.state = plain(t, n, i), plain(t, n, h), plain(1, 1, n, h)
        self.bias = plain(1, 1, GATES, h)
        # PyTorch's (4H, I), seen as oneDNN's (layers, directions, I, gates, H)
        self.w_ih = plan.layout((1, 1, i, GATES, h), (GATES * h * i, GATES * h * i, 1, h * i, i))
        self.w_hh = plan.layout((1, 1, h, GATES, h), (GATES * h * h, GATES * h * h, 1, h * h, h))
        self.free_w_ih, self.free_w_hh = plan.layout((1, 1, i, GATES, h)), plan.layout((1, 1, h, GATES, h))

    def arguments(self):
        """In the order of the primitive's descriptors; no peephole, no projection."""
        inputs = (self.x, self.state, self.state, self.free_w_ih, self.free_w_hh, None, None, self.bias)
        return *inputs, self.y, self.state, self.state


def _describe(plan, layouts, reverse, kind=dnnl.TRAINING):
    direction = RIGHT_TO_LEFT if reverse else LEFT_TO_RIGHT
    return plan.describe("lstm_forward", kind, direction, *layouts.arguments(), 0)


def _forward_arrays(plan, layouts, forward, desc):
    """The arrays of a forward pass, weights in the layouts that `desc` wants."""
    x, h0, c0 = plan.array(layouts.x), plan.array(layouts.state), plan.array(layouts.state)
    w_ih, w_hh = plan.array(layouts.w_ih), plan.array(layouts.w_hh)
    arrays = {
        dnnl.SRC: x,
        dnnl.SRC_1: h0,
        dnnl.SRC_2: c0,
        dnnl.WEIGHTS: plan.input(w_ih, desc, dnnl.QUERY_WEIGHTS, 0),
        dnnl.WEIGHTS_1: plan.input(w_hh, desc, dnnl.QUERY_WEIGHTS, 1),
        dnnl.BIAS: plan.array(layouts.bias),
        dnnl.DST: plan.array(layouts.y),
        dnnl.DST_1: plan.array(layouts.state),
        dnnl.DST_2: plan.array(layouts.state),
    }
    workspace = plan.wanted(forward, dnnl.QUERY_WORKSPACE)
    if workspace and plan.size(workspace):
        arrays[dnnl.WORKSPACE] = plan.array(workspace)
    return arrays


def _forward(plan, size, reverse, kind):
    layouts = _Layouts(plan, size)
    desc = _describe(plan, layouts, reverse, kind)
    plan.step(desc, _forward_arrays(plan, layouts, desc, desc))


def _backward(plan, size, reverse):
    layouts = _Layouts(plan, size)
    forward = _describe(plan, layouts, reverse)
    direction = RIGHT_TO_LEFT if reverse else LEFT_TO_RIGHT
    arguments = layouts.arguments()
    desc = plan.describe("lstm_backward", dnnl.BACKWARD, direction, *arguments, *arguments, OVERWRITE, forward)
    arrays = _forward_arrays(plan, layouts, forward, desc)
    names = (dnnl.DIFF_DST, dnnl.DIFF_DST + 1, dnnl.DIFF_DST + 2, dnnl.DIFF_SRC, dnnl.DIFF_SRC + 1, dnnl.DIFF_SRC + 2)
    state = layouts.state
    for name, layout in zip(names, (layouts.y, state, state, layouts.x, state, state), strict=True):
        arrays[name] = plan.array(layout)
    gw_ih, gw_hh = plan.array(layouts.w_ih), plan.array(layouts.w_hh)
    arrays[dnnl.DIFF_WEIGHTS] = plan.output(gw_ih, desc, dnnl.QUERY_DIFF_WEIGHTS, 0)
    arrays[dnnl.DIFF_WEIGHTS + 1] = plan.output(gw_hh, desc, dnnl.QUERY_DIFF_WEIGHTS, 1)
    arrays[dnnl.DIFF_BIAS] = plan.array(layouts.bias)
    plan.step(desc, arrays)
    plan.finish(arrays[dnnl.DIFF_WEIGHTS], gw_ih)
    plan.finish(arrays[dnnl.DIFF_WEIGHTS + 1], gw_hh)


# ---- one step's product: a (n, k) @ w (k, m), w packed


def _describe_product(plan, n, k, m):
    left, right, out = plan.layout((n, k), (k, 1)), plan.layout((k, m)), plan.layout((n, m), (m, 1))
    return plan.describe("matmul", left, right, None, out)


def _pack(plan, problem, strides):
    source = plan.array(plan.layout(problem[1:], strides))
    plan.reorder(source, plan.array(plan.wanted(_describe_product(plan, *problem), dnnl.QUERY_WEIGHTS)))


def _multiply(plan, n, k, m):
    desc = _describe_product(plan, n, k, m)
    a, packed = plan.array(plan.layout((n, k), (k, 1))), plan.array(plan.wanted(desc, dnnl.QUERY_WEIGHTS))
    plan.step(desc, {dnnl.SRC: a, dnnl.WEIGHTS: packed, dnnl.DST: plan.array(plan.layout((n, m), (m, 1)))})
