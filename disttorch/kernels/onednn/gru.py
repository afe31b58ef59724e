"""A GRU over sequences of equal length as one primitive: oneDNN's "linear before reset" is PyTorch's formula.

oneDNN stacks the gates z, r, n where PyTorch has r, z, n, so weights and their gradients change places; its bias has a
fourth row, b_hh's of n.
"""

import numpy as np

from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.cell import Cell, dense
from disttorch.kernels.onednn.layouts import FLOAT, are_floats

GATES = 3
LBR_GRU = Cell("lbr_gru", GATES, biases=GATES + 1, states=1)


class GRU:
    """`saved` of gru_forward: (oneDNN's workspace, h), or portable's arrays; None without training."""

    def gru_forward(self, x, batch_sizes, h0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, training=True):
        if dense(batch_sizes, FLOAT, x, h0, w_ih, w_hh):
            size = (len(batch_sizes), batch_sizes[0], x.shape[1], w_hh.shape[1])  # T, N, I, H
            y, h = np.empty((x.shape[0], size[3]), FLOAT), np.empty(h0.shape, FLOAT)
            given = (np.ascontiguousarray(x), np.ascontiguousarray(h0), _exchanged(w_ih), _exchanged(w_hh))
            try:
                workspace = LBR_GRU.forward(self, size, reverse, training, *given, _bias(size[3], b_ih, b_hh), y, h)
            except Unsupported:
                pass
            else:
                return y, h, (workspace, h) if training else None
        return super().gru_forward(x, batch_sizes, h0, w_ih, w_hh, b_ih, b_hh, reverse, training)

    def gru_backward(self, gy, gh, saved, x, batch_sizes, h0, y, w_ih, w_hh, bias=True, reverse=False):
        workspace, h = saved
        if workspace.dtype != np.uint8 or not are_floats(gy, x, y, w_ih, w_hh):
            return super().gru_backward(gy, gh, saved, x, batch_sizes, h0, y, w_ih, w_hh, bias, reverse)
        size = (len(batch_sizes), batch_sizes[0], x.shape[1], w_hh.shape[1])
        gx, gh0, gw_ih, gw_hh = (np.empty(a.shape, FLOAT) for a in (x, h0, w_ih, w_hh))
        gb = np.empty((GATES + 1, size[3]), FLOAT)
        weights = _exchanged(w_ih), _exchanged(w_hh)
        given = map(np.ascontiguousarray, (x, h0, *weights, np.zeros_like(gb), y, h, workspace, gy, gh))
        LBR_GRU.backward(self, size, reverse, *given, gx, gh0, gw_ih, gw_hh, gb)
        of_ih, of_hh = (gb[[1, 0, k]].reshape(-1) for k in (2, 3)) if bias else (None, None)
        return gx, gh0, _exchanged(gw_ih), _exchanged(gw_hh), of_ih, of_hh


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
