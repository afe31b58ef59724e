"""A GRU over sequences of equal length as one primitive: oneDNN's "linear before reset" is PyTorch's formula.

oneDNN stacks the gates z, r, n where PyTorch has r, z, n, so weights and their gradients change places; its bias has a
fourth row, b_hh's of n.
"""

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import FLOAT, contiguous
from disttorch.kernels.onednn.recurrent import LEFT_TO_RIGHT, OVERWRITE, RIGHT_TO_LEFT, dense_float
from disttorch.kernels.threads import threads_for

GATES = 3


class GRU:
    """`saved` of gru_forward: (oneDNN's workspace, h), or portable's arrays; None without training."""

    def gru_forward(self, x, batch_sizes, h0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, training=True):
        if dense_float(batch_sizes, x, h0, w_ih, w_hh):
            size = (len(batch_sizes), batch_sizes[0], x.shape[1], w_hh.shape[1])  # T, N, I, H
            y, h = np.empty((x.shape[0], size[3]), FLOAT), np.empty(h0.shape, FLOAT)
            given = (np.ascontiguousarray(x), np.ascontiguousarray(h0), _exchanged(w_ih), _exchanged(w_hh))
            arrays = [*given, _bias(size[3], b_ih, b_hh), y, h]
            try:
                if training:
                    arrays.append(workspace := np.empty(self._gru_workspace(size, reverse), np.uint8))
                key, kind = ("gru", size, reverse, training), dnnl.TRAINING if training else dnnl.INFERENCE
                self.engine.run(key, lambda plan: _forward(plan, size, reverse, kind), *arrays, work=_work(size))
            except Unsupported:
                pass
            else:
                return y, h, (workspace, h) if training else None
        return super().gru_forward(x, batch_sizes, h0, w_ih, w_hh, b_ih, b_hh, reverse, training)

    def gru_backward(self, gy, gh, saved, x, batch_sizes, h0, y, w_ih, w_hh, bias=True, reverse=False):
        workspace, h = saved
        if workspace.dtype != np.uint8:
            return super().gru_backward(gy, gh, saved, x, batch_sizes, h0, y, w_ih, w_hh, bias, reverse)
        size = (len(batch_sizes), batch_sizes[0], x.shape[1], w_hh.shape[1])
        gx, gh0, gw_ih, gw_hh = (np.empty(a.shape, FLOAT) for a in (x, h0, w_ih, w_hh))
        gb = np.empty((GATES + 1, size[3]), FLOAT)
        given = map(np.ascontiguousarray, (x, h0, _exchanged(w_ih), _exchanged(w_hh), np.zeros_like(gb), y, h))
        arrays = (*given, workspace, np.ascontiguousarray(gy), np.ascontiguousarray(gh), gx, gh0, gw_ih, gw_hh, gb)
        key = ("gru_backward", size, reverse)
        self.engine.run(key, lambda plan: _backward(plan, size, reverse), *arrays, work=_work(size))
        of_ih, of_hh = (gb[[1, 0, k]].reshape(-1) for k in (2, 3)) if bias else (None, None)
        return gx, gh0, _exchanged(gw_ih), _exchanged(gw_hh), of_ih, of_hh

    def _gru_workspace(self, size, reverse):
        key = ("gru", size, reverse, threads_for(_work(size)))
        if key not in self._sizes:
            plan = self.engine.new_plan(_work(size))
            desc = _describe(plan, _Layouts(plan, size), reverse)
            self._sizes[key] = plan.size(plan.wanted(desc, dnnl.QUERY_WORKSPACE))
        return self._sizes[key]


def _exchanged(w):
    """A copy of w (3H, *) whose first two blocks of H rows have changed places."""
    return w.reshape(GATES, -1, w.shape[1])[[1, 0, 2]].reshape(w.shape)


def _bias(hidden, b_ih, b_hh):
    """(4, H): of z, r and n, with b_hh's of n apart."""
    bias = np.zeros((GATES + 1, hidden), FLOAT)
    for b, last in ((b_ih, 2), (b_hh, 3)):
        if b is not None:
            bias[[1, 0, last]] += b.reshape(GATES, hidden)
    return bias


def _work(size):
    """Multiplications of one time step."""
    _, n, i, h = size
    return n * (i + h) * GATES * h


class _Layouts:
    """The layouts of a layer's arrays: plain ones, free ones for the weights."""

    def __init__(self, plan, size):
        t, n, i, h = size

        def plain(*shape):
            return plan.layout(shape, contiguous(shape))

        self.x, self.y, self.state, self.bias = plain(t, n, i), plain(t, n, h), plain(1, 1, n, h), plain(1, 1, 4, h)
        # (3H, I), seen as oneDNN's (layers, directions, I, gates, H)
        self.weights = [plan.layout((1, 1, k, GATES, h), (GATES * h * k, GATES * h * k, 1, h * k, k)) for k in (i, h)]
        self.free = [plan.layout((1, 1, k, GATES, h)) for k in (i, h)]

    def arguments(self):
        """In the order of the primitive's descriptors."""
        return self.x, self.state, *self.free, self.bias, self.y, self.state


def _direction(reverse):
    return RIGHT_TO_LEFT if reverse else LEFT_TO_RIGHT


def _describe(plan, layouts, reverse, kind=dnnl.TRAINING):
    return plan.describe("lbr_gru_forward", kind, _direction(reverse), *layouts.arguments(), 0)


def _forward_arrays(plan, layouts, forward, desc):
    """The arrays of a forward pass, weights in the layouts that `desc` wants."""
    x, h0 = plan.array(layouts.x), plan.array(layouts.state)
    weights = [plan.array(layout) for layout in layouts.weights]
    arrays = {
        dnnl.SRC: x,
        dnnl.SRC_1: h0,
        dnnl.WEIGHTS: plan.input(weights[0], desc, dnnl.QUERY_WEIGHTS, 0),
        dnnl.WEIGHTS_1: plan.input(weights[1], desc, dnnl.QUERY_WEIGHTS, 1),
        dnnl.BIAS: plan.array(layouts.bias),
        dnnl.DST: plan.array(layouts.y),
        dnnl.DST_1: plan.array(layouts.state),
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
    forward, arguments = _describe(plan, layouts, reverse), layouts.arguments()
    described = (*arguments, *arguments, OVERWRITE, forward)
    desc = plan.describe("lbr_gru_backward", dnnl.BACKWARD, _direction(reverse), *described)
    arrays = _forward_arrays(plan, layouts, forward, desc)
    names = (dnnl.DIFF_DST, dnnl.DIFF_DST + 1, dnnl.DIFF_SRC, dnnl.DIFF_SRC + 1)
    for name, layout in zip(names, (layouts.y, layouts.state, layouts.x, layouts.state), strict=True):
        arrays[name] = plan.array(layout)
    targets = [plan.array(layout) for layout in layouts.weights]
    for k, target in enumerate(targets):
        arrays[dnnl.DIFF_WEIGHTS + k] = plan.output(target, desc, dnnl.QUERY_DIFF_WEIGHTS, k)
    arrays[dnnl.DIFF_BIAS] = plan.array(layouts.bias)
    plan.step(desc, arrays)
    for k, target in enumerate(targets):
        plan.finish(arrays[dnnl.DIFF_WEIGHTS + k], target)
