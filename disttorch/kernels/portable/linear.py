"""Matrix products."""

from disttorch.kernels.portable.precision import is_narrow, kernel_in_float32


class Linear:
    @kernel_in_float32
    def matmul(self, a, b):
        return self.xp.matmul(a, b)

    @kernel_in_float32
    def linear_forward(self, x, w, b=None, activation=None):
        y = x @ w.T
        if b is not None:
            y += b
        if activation is None:
            return y
        return self.relu_forward(y) if activation == "relu" else self.gelu_forward(y)

    @kernel_in_float32
    def linear_backward(self, g, x, w, needs=(True, True, True), into=None):
        out, inner = w.shape
        rows = g.size // out if out else 0
        g2 = g.reshape(rows, out)
        gx = (g2 @ w).reshape(x.shape) if needs[0] else None
        gw = self.xp.matmul(g2.T, x.reshape(rows, inner), out=into) if needs[1] else None
        gb = g2.sum(axis=0) if needs[2] else None
        return gx, gw, gb

    def linear_parts_backward(self, gs, x, w, needs=(True, True, True)):
        """`linear_backward` where g comes in equal parts of its last axis."""
        if is_narrow(x.dtype):  # rounded once, not part by part
            return self.linear_backward(self.xp.concatenate(gs, axis=-1), x, w, needs)
        each = len(w) // len(gs)
        found = [self.linear_backward(g, x, w[k * each : (k + 1) * each], needs) for k, g in enumerate(gs)]
        gx, gw, gb = zip(*found, strict=True)
        return (
            sum(gx[1:], gx[0]) if needs[0] else None,
            self.xp.concatenate(gw) if needs[1] else None,
            self.xp.concatenate(gb) if needs[2] else None,
        )
