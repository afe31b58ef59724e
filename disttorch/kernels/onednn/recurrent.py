"""Recurrent layers over sequences of equal length: an LSTM as one primitive (oneDNN stacks gates as PyTorch does); what
goes step by step has its recurrent weights packed once per call."""

from math import prod

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.cell import Cell, dense
from disttorch.kernels.onednn.layouts import BFLOAT16, FLOAT, are_floats, contiguous, strides_of
from disttorch.kernels.onednn.linear import TINY
from disttorch.kernels.portable.precision import converted, widened
from disttorch.kernels.threads import threads_for

LSTM = Cell("lstm", gates=4, biases=4, states=2)


class Recurrent:
    """`saved` of lstm_forward: (oneDNN's workspace, h, c), or portable's arrays; None without training."""

    def lstm_forward(self, x, batch_sizes, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, training=True):
        narrow = x.dtype is BFLOAT16 and self.engine.multiplies_bfloat16 and not training
        kind = BFLOAT16 if narrow else FLOAT
        if dense(batch_sizes, kind, x, h0, c0, w_ih, w_hh):
            size = (len(batch_sizes), batch_sizes[0], x.shape[1], w_hh.shape[1])  # T, N, I, H
            bias = np.zeros(len(w_hh), FLOAT)
            for b in (b_ih, b_hh):
                if b is not None:
                    bias += widened(b)
            y = np.empty((x.shape[0], size[3]), kind)
            h, c = np.empty(h0.shape, kind), np.empty(h0.shape, FLOAT)
            given = map(np.ascontiguousarray, (x, h0, widened(c0), w_ih, w_hh))
            try:
                workspace = LSTM.forward(self, size, reverse, training, *given, bias, y, h, c)
            except Unsupported:
                pass
            else:
                return y, h, converted(c, kind) if narrow else c, (workspace, h, c) if training else None
        return super().lstm_forward(x, batch_sizes, h0, c0, w_ih, w_hh, b_ih, b_hh, reverse, training)

    def lstm_backward(self, gy, gh, gc, saved, x, batch_sizes, h0, c0, y, w_ih, w_hh, bias=True, reverse=False):
        workspace, h, c = saved
        if workspace.dtype != np.uint8 or not are_floats(gy, x, y, w_ih, w_hh):
            return super().lstm_backward(gy, gh, gc, saved, x, batch_sizes, h0, c0, y, w_ih, w_hh, bias, reverse)
        size = (len(batch_sizes), batch_sizes[0], x.shape[1], w_hh.shape[1])
        gb = np.empty(len(w_hh), FLOAT)
        given = map(np.ascontiguousarray, (x, h0, c0, w_ih, w_hh, np.zeros_like(gb), y, h, c, workspace, gy, gh, gc))
        made = [np.empty(a.shape, FLOAT) for a in (x, h0, c0, w_ih, w_hh)]
        LSTM.backward(self, size, reverse, *given, *made, gb)
        return *made, gb if bias else None

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
