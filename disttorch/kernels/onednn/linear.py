"""Matrix products: oneDNN's GEMM for two matrices, its primitives where they are faster or do more in one pass (bias
and activation, batches, gradients of wide weights), NumPy's BLAS for tiny ones. bfloat16 goes to the primitives, or
where the processor cannot multiply it, and for tiny products, to float32 and back."""

from math import isfinite

import numpy as np

from disttorch.kernels.blas import address
from disttorch.kernels.geometry import divisor_near
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.groups import averages_of
from disttorch.kernels.onednn.layouts import BFLOAT16, FLOAT, are_floats, contiguous, dense, kind_of, strides_of
from disttorch.kernels.portable.precision import converted, widened
from disttorch.kernels.threads import enter_thread, threads_for

# Multiplications below which NumPy's BLAS on one thread wins: oneDNN's GEMM spends some 5 us before it starts.
TINY = 1 << 19
# Multiplications and rows from which a primitive is quicker than the GEMM, though its code has left the caches.
LARGE, FEW_ROWS = 1 << 22, 16
# Rows from which the transpose of a wide weights' gradient is the quicker one to compute.
MANY_ROWS = 512
# Elements of a weights' gradient from which its transpose is the quicker one to compute where it is wide.
WIDE = 1 << 15
# Into how many parts rows are cut that are added up, and how long those may be.
PARTS, LONG = 8, 512
ACTIVATIONS = {"relu": dnnl.RELU, "gelu": dnnl.GELU_ERF}


class Linear:
    def matmul(self, a, b):
        known = (a.dtype is FLOAT and b.dtype is FLOAT) or self._are_bfloats(a, b)
        if not known or a.ndim < 2 or b.ndim < 2 or a.size * b.shape[-1] < TINY:
            return super().matmul(a, b)
        if b.ndim == 2:
            rows, turned = a.reshape(-1, a.shape[-1]), b.T
            out = self.linear_forward(rows, turned) if turned.flags.c_contiguous else self._gemm(rows, b)
            return out if a.ndim == 2 else out.reshape(*a.shape[:-1], b.shape[1])
        try:
            return self._batched(a, b)
        except Unsupported:
            return super().matmul(a, b)

    def linear_forward(self, x, w, b=None, activation=None):
        if not ((are_floats(x, w, b) or self._are_bfloats(x, w, b)) and x.size):
            return super().linear_forward(x, w, b, activation)
        turned = _is_turned(x)
        x = x.swapaxes(0, 1) if turned else x
        rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        work = rows.size * len(w)
        if x.dtype is BFLOAT16:
            at_once = work >= TINY and activation is None
        else:
            at_once = work >= LARGE and len(rows) >= FEW_ROWS and _is_safe(rows, w, b, activation)
        if at_once:
            y = self._linear_product(rows, w, b, activation)
        else:
            y = self._gemm(rows, w.T, b)
            if activation is not None:
                y = self.relu_forward(y) if activation == "relu" else self.gelu_forward(y)
        y = y if x.ndim == 2 else y.reshape(*x.shape[:-1], w.shape[0])
        return y.swapaxes(0, 1) if turned else y

    def linear_backward(self, g, x, w, needs=(True, True, True), into=None):
        if not ((are_floats(g, x, w) or self._are_bfloats(g, x, w)) and g.size and x.size):
            return super().linear_backward(g, x, w, needs, into)
        turned = _is_turned(x)
        if turned:
            g, x = g.swapaxes(0, 1), x.swapaxes(0, 1)
        rows = g if g.ndim == 2 else g.reshape(-1, g.shape[-1])
        gx = gw = None
        if needs[0]:
            gx = self._gemm(rows, w)
            if g.ndim != 2:
                gx = gx.reshape(x.shape)
            if turned:
                gx = gx.swapaxes(0, 1)
        if needs[1]:
            gw = self._weights_gradient(rows, x if x.ndim == 2 else x.reshape(-1, x.shape[-1]), into)
        return gx, gw, self._column_sums(rows) if needs[2] else None

    def _are_bfloats(self, *arrays):
        """Whether all are bfloat16 (None: not given), and the processor multiplies that."""
        return self.engine.multiplies_bfloat16 and all([a is None or a.dtype is BFLOAT16 for a in arrays])

    def linear_parts_backward(self, gs, x, w, needs=(True, True, True)):
        if not (are_floats(x, w, *gs) and x.size and w.size):
            return super().linear_parts_backward(gs, x, w, needs)
        turned = _is_turned(x)
        if turned:
            gs, x = [g.swapaxes(0, 1) for g in gs], x.swapaxes(0, 1)
        rows, parts = x.reshape(-1, x.shape[-1]), [g.reshape(-1, g.shape[-1]) for g in gs]
        each = len(w) // len(gs)
        gx = np.empty(rows.shape, FLOAT) if needs[0] else None
        gw = np.empty(w.shape, FLOAT) if needs[1] else None
        gb = np.empty(len(w), FLOAT) if needs[2] else None
        for k, part in enumerate(parts):
            own = slice(k * each, (k + 1) * each)
            if needs[0]:
                self._gemm(part, w[own], out=gx, add=k > 0)
            if needs[1]:
                self._gemm(part.T, rows, out=gw[own])
            if needs[2]:
                gb[own] = self._column_sums(part)
        if needs[0]:
            gx = gx.reshape(x.shape)
            gx = gx.swapaxes(0, 1) if turned else gx
        return gx, gw, gb

    def _linear_product(self, rows, w, b, activation):
        """rows @ w.T + b and the activation in one pass."""
        rows = np.ascontiguousarray(rows)
        y = np.empty((len(rows), len(w)), rows.dtype)
        strides = strides_of(w.shape, w.strides, contiguous(w.shape), w.itemsize)
        if min(strides) < 1:
            w, strides = np.ascontiguousarray(w), contiguous(w.shape)
        arrays = (rows, w, y) if b is None else (rows, w, y, np.ascontiguousarray(b))
        key = ("linear", rows.shape, w.shape, strides, b is None, activation)
        self.engine.run(
            key,
            lambda plan: _linear(plan, rows.shape, w.shape, strides, b is not None, activation),
            *arrays,
            work=rows.size * len(w),
            kind=kind_of(rows),
        )
        return y

    def _weights_gradient(self, g, x, into):
        """g.T @ x: as the transpose of x.T @ g if there are more outputs than inputs, which the GEMM packs faster."""
        (rows, out), inner = g.shape, x.shape[1]
        if out <= inner or out * inner < WIDE or rows < MANY_ROWS or g.dtype is BFLOAT16:
            return self._gemm(g.T, x, out=into)
        turned, gw = self._gemm(x.T, g), np.empty((out, inner), FLOAT) if into is None else into
        self.engine.run(("transpose", gw.shape), lambda plan: _transpose(plan, gw.shape), turned, gw)
        return gw

    def _column_sums(self, rows):
        """The sum over rows: those of parts by average pooling, which reads faster than NumPy adds, then in float64."""
        if rows.dtype is BFLOAT16:
            return converted(self._column_sums(widened(rows)), BFLOAT16)
        count, width = rows.shape
        parts = divisor_near(count, max(PARTS, count / LONG))
        if rows.size < TINY // 8 or count > 2 * LONG * parts or not rows.flags.c_contiguous:
            return np.add.reduce(rows, axis=0)
        averages = np.empty((parts, width), FLOAT)
        shape = (parts, width, count // parts)
        self.engine.run(("column_sums", shape), lambda plan: averages_of(plan, shape), rows, averages)
        return (np.add.reduce(averages, axis=0, dtype=np.float64) * shape[2]).astype(FLOAT)

    def _gemm(self, a, b, bias=None, out=None, add=False):
        """a (M, K) @ b (K, N) + bias (N,), into `out` (contiguous) if given, or added to it."""
        m, k = a.shape
        n = b.shape[1]
        if out is None:
            out = np.empty((m, n), a.dtype)
        if a.dtype is BFLOAT16:
            self._narrow_product(a, b, bias, out)
            return out
        if m * n * k < TINY:
            if add:
                out += np.matmul(a, b)
            else:
                np.matmul(a, b, out=out)
            if bias is not None:
                out += bias
            return out
        beta = 1.0 if add or bias is not None else 0.0
        if bias is not None:
            out[...] = bias
        a, a_flag, lda = _operand(a)
        b, b_flag, ldb = _operand(b)
        enter_thread(threads_for(m * n * k))
        self.engine.lib.dnnl_sgemm(
            a_flag, b_flag, m, n, k, 1.0, address(a), lda, address(b), ldb, beta, address(out), n
        )  # fmt: skip
        return out

    def _narrow_product(self, a, b, bias, out):
        if out.size * a.shape[1] >= TINY and bias is None:
            self._batched(a, b, out)
            return
        wide = np.matmul(widened(a), widened(b))
        if bias is not None:
            wide += bias
        out[...] = converted(wide, BFLOAT16)

    def _batched(self, a, b, out=None):
        dims = max(a.ndim, b.ndim)
        a = a.reshape((1,) * (dims - a.ndim) + a.shape) if a.ndim < dims else a
        b = b.reshape((1,) * (dims - b.ndim) + b.shape) if b.ndim < dims else b
        a, b = _batch_operand(a), _batch_operand(b)
        batch = [q if p == 1 else p for p, q in zip(a.shape[:-2], b.shape[:-2], strict=True)]
        out = np.empty((*batch, a.shape[-2], b.shape[-1]), a.dtype) if out is None else out
        if not out.size or not a.size:
            raise Unsupported
        key, work = ("matmul", a.shape, a.strides, b.shape, b.strides), out.size * a.shape[-1]
        self.engine.run(key, lambda plan: _matmul(plan, a, b, out), a, b, out, work=work, kind=kind_of(a))
        return out


def _is_safe(x, w, b, activation):
    """Whether oneDNN may apply the activation: it passes over NaN, which PyTorch's carry on.

    Finite sums of squares bound every product's value (Cauchy and Schwarz), so no NaN can arise.
    """
    return activation is None or all(isfinite(_square(a)) for a in (x, w, b))


@np.errstate(all="ignore")
def _square(a):
    a = a if a.flags.c_contiguous else a.T if a.T.flags.c_contiguous else np.ascontiguousarray(a)
    flat = a.reshape(-1)
    return np.dot(flat, flat)


def _is_turned(x):
    """Whether x is a contiguous (N, L, E) seen as (L, N, E): its rows are taken as they lie."""
    return x.ndim == 3 and not x.flags.c_contiguous and x.swapaxes(0, 1).flags.c_contiguous


def _linear(plan, x_shape, w_shape, w_strides, biased, activation):
    rows, width = x_shape[0], w_shape[0]
    x, w = plan.array(plan.layout(x_shape, contiguous(x_shape))), plan.layout(w_shape[::-1], w_strides[::-1])
    arguments = {dnnl.SRC: x, dnnl.WEIGHTS: plan.array(w), dnnl.DST: plan.array(plan.layout((rows, width), (width, 1)))}
    b = None
    if biased:
        b = plan.layout((1, width), (width, 1))
        arguments[dnnl.BIAS] = plan.array(b)
    after = None if activation is None else plan.engine.followed_by(ACTIVATIONS[activation])
    plan.step(plan.describe("matmul", x.layout, w, b, arguments[dnnl.DST].layout, attributes=after), arguments)


def _transpose(plan, shape):
    source = plan.array(plan.layout(shape, (1, shape[0])))
    plan.reorder(source, plan.array(plan.layout(shape, contiguous(shape))))


def _matmul(plan, a, b, out):
    left, right = (
        plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, contiguous(x.shape), x.itemsize)))
        for x in (a, b)
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
    return dense(a) if a.itemsize in a.strides[-2:] else np.ascontiguousarray(a)
