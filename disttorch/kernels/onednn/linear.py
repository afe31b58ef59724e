"""Matrix products: oneDNN's GEMM for two matrices, its matmul primitive for batches, NumPy's BLAS for tiny ones."""

import numpy as np

from disttorch.kernels.blas import address
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import FLOAT, contiguous, dense, strides_of
from disttorch.kernels.threads import enter_thread, threads_for

# Multiplications below which NumPy's BLAS on one thread wins: oneDNN's GEMM spends some 5 us before it starts.
TINY = 1 << 19


class Linear:
    def matmul(self, a, b):
        if a.dtype is not FLOAT or b.dtype is not FLOAT or a.ndim < 2 or b.ndim < 2 or a.size * b.shape[-1] < TINY:
            return super().matmul(a, b)
        if b.ndim == 2:
            out = self._gemm(a.reshape(-1, a.shape[-1]), b)
            return out if a.ndim == 2 else out.reshape(*a.shape[:-1], b.shape[1])
        try:
            return self._batched(a, b)
        except Unsupported:
            return super().matmul(a, b)

    def linear_forward(self, x, w, b=None):
        if x.dtype is not FLOAT or w.dtype is not FLOAT or not x.size:
            return super().linear_forward(x, w, b)
        rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        y = self._gemm(rows, w.T, b)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], w.shape[0])

    def linear_backward(self, g, x, w, needs=(True, True, True)):
        if g.dtype is not FLOAT or x.dtype is not FLOAT or w.dtype is not FLOAT or not (g.size and x.size):
            return super().linear_backward(g, x, w, needs)
        rows = g if g.ndim == 2 else g.reshape(-1, g.shape[-1])
        gx = gw = None
        if needs[0]:
            gx = self._gemm(rows, w)
            if g.ndim != 2:
                gx = gx.reshape(x.shape)
        if needs[1]:
            gw = self._gemm(rows.T, x if x.ndim == 2 else x.reshape(-1, x.shape[-1]))
        return gx, gw, np.add.reduce(rows, axis=0) if needs[2] else None

    def _gemm(self, a, b, bias=None):
        """a (M, K) @ b (K, N) + bias (N,)."""
        m, k = a.shape
        n = b.shape[1]
        if m * n * k < TINY:
            out = np.matmul(a, b)
            if bias is not None:
                out += bias
            return out
        out = np.empty((m, n), FLOAT)
        beta = 0.0
        if bias is not None:
            out[...] = bias
            beta = 1.0
        a, a_flag, lda = _operand(a)
        b, b_flag, ldb = _operand(b)
        enter_thread(threads_for(m * n * k))
        self.engine.lib.dnnl_sgemm(
            a_flag, b_flag, m, n, k, 1.0, address(a), lda, address(b), ldb, beta, address(out), n
        )  # fmt: skip
        return out

    def _batched(self, a, b):
        dims = max(a.ndim, b.ndim)
        a = a.reshape((1,) * (dims - a.ndim) + a.shape) if a.ndim < dims else a
        b = b.reshape((1,) * (dims - b.ndim) + b.shape) if b.ndim < dims else b
        a, b = _batch_operand(a), _batch_operand(b)
        batch = [q if p == 1 else p for p, q in zip(a.shape[:-2], b.shape[:-2], strict=True)]
        out = np.empty((*batch, a.shape[-2], b.shape[-1]), FLOAT)
        if not out.size or not a.size:
            raise Unsupported
        key = ("matmul", a.shape, a.strides, b.shape, b.strides)
        self.engine.run(key, lambda plan: _matmul(plan, a, b, out), a, b, out, work=out.size * a.shape[-1])
        return out


def _matmul(plan, a, b, out):
    left, right = (
        plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, contiguous(x.shape)))) for x in (a, b)
    )
    target = plan.array(plan.layout(out.shape, contiguous(out.shape)))
    desc = plan.describe("matmul", left.layout, right.layout, None, target.layout)
    plan.step(desc, {dnnl.SRC: left, dnnl.WEIGHTS: right, dnnl.DST: target})


def _operand(a):
    """(array, BLAS's transposition flag, leading dimension): rows or columns must be contiguous, else a copy."""
    rows, columns = a.shape
    s0, s1 = a.strides
    if s1 == 4 and s0 >= 4 * columns and s0 % 4 == 0:
        return a, b"N", s0 // 4
    if s0 == 4 and s1 >= 4 * rows and s1 % 4 == 0:
        return a, b"T", s1 // 4
    return np.ascontiguousarray(a), b"N", columns


def _batch_operand(a):
    """a, or a copy where neither its rows nor its columns are contiguous or where it is broadcast."""
    return dense(a) if 4 in a.strides[-2:] else np.ascontiguousarray(a)
