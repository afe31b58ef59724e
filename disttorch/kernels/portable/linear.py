"""Matrix products."""

from disttorch.kernels.portable.precision import in_float32


class Linear:
    @in_float32
    def matmul(self, a, b):
        return self.xp.matmul(a, b)

    @in_float32
    def linear_forward(self, x, w, b=None):
        y = x @ w.T
        if b is not None:
            y += b
        return y

    @in_float32
    def linear_backward(self, g, x, w, needs=(True, True, True)):
        out, inner = w.shape
        rows = g.size // out if out else 0
        g2 = g.reshape(rows, out)
        gx = (g2 @ w).reshape(x.shape) if needs[0] else None
        gw = g2.T @ x.reshape(rows, inner) if needs[1] else None
        gb = g2.sum(axis=0) if needs[2] else None
        return gx, gw, gb
