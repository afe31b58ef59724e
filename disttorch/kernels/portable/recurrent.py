"""One layer, one direction of an LSTM, a GRU or a plain RNN over packed sequences.

`x` holds the time steps one after another, (sum(batch_sizes), I); step t has the first batch_sizes[t] sequences, and
sequences are sorted by decreasing length (a dense batch has equal sizes). With `reverse` the last step comes first.
Letters: T steps, N sequences, I input features, H hidden features. Gates are stacked in PyTorch's order.
"""

from disttorch.kernels.portable.precision import kernel_in_float32


class Recurrent:
    @kernel_in_float32(rounded=3)
    def lstm_forward(self, x, batch_sizes, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, training=True):
        """-> (y (sum(batch_sizes), H), h (N, H), c (N, H), saved, or None if not `training`).

        Hochreiter and Schmidhuber (1997) with forget gates: i, f, o = sigmoid, g = tanh of W_ih x + W_hh h + b;
        c = f * c + i * g; h = o * tanh(c).
        """
        xp = self.xp
        hidden = w_hh.shape[1]
        gates = _projection(self, x, w_ih, b_ih, b_hh)  # (sum, 4H)
        y = xp.empty((x.shape[0], hidden), gates.dtype)
        cells, tanhs = xp.empty_like(y), xp.empty_like(y)
        h, c = h0.copy(), c0.copy()
        product, from_h = self._step_product(w_hh.T, batch_sizes), xp.empty((len(h0), 4 * hidden), gates.dtype)
        for at in _steps(batch_sizes, reverse):
            n = at.stop - at.start
            a = gates[at]
            product(h[:n], from_h[:n])
            a += from_h[:n]
            self._sigmoid_in_place(a[:, : 2 * hidden])
            i, f, g, o = (a[:, k * hidden : (k + 1) * hidden] for k in range(4))
            xp.tanh(g, out=g)
            self._sigmoid_in_place(o)
            cells[at] = c[:n]
            c[:n] *= f
            c[:n] += i * g
            xp.tanh(c[:n], out=tanhs[at])
            xp.multiply(o, tanhs[at], out=y[at])
            h[:n] = y[at]
        return y, h, c, (gates, cells, tanhs) if training else None

    @kernel_in_float32
    def lstm_backward(self, gy, gh, gc, saved, x, batch_sizes, h0, c0, y, w_ih, w_hh, bias=True, reverse=False):
        """-> (gx, gh0, gc0, gw_ih, gw_hh, gb); b_ih and b_hh have the same gradient gb."""
        xp = self.xp
        hidden = w_hh.shape[1]
        gates, cells, tanhs = saved
        ga = xp.empty_like(gates)
        gh, gc = gh.copy(), gc.copy()
        product = self._step_product(w_hh, batch_sizes)
        buffer, slopes = xp.empty_like(gh), xp.empty((len(gh), 4 * hidden), gates.dtype)
        for at in reversed(_steps(batch_sizes, reverse)):
            n = at.stop - at.start
            i, f, g, o = (gates[at, k * hidden : (k + 1) * hidden] for k in range(4))
            gi, gf, gg, go = (ga[at, k * hidden : (k + 1) * hidden] for k in range(4))
            t, dh, dc, work = tanhs[at], gh[:n], gc[:n], buffer[:n]
            dh += gy[at]
            xp.multiply(dh, t, out=go)
            xp.multiply(go, t, out=work)
            xp.subtract(dh, work, out=work)
            work *= o
            dc += work  # dh * o * (1 - t * t)
            xp.multiply(dc, g, out=gi)
            xp.multiply(dc, cells[at], out=gf)
            xp.multiply(dc, i, out=gg)
            dc *= f
            slope = xp.multiply(gates[at], gates[at], out=slopes[:n])  # a - a * a for a sigmoid, 1 - a * a for tanh
            xp.subtract(gates[at, : 2 * hidden], slope[:, : 2 * hidden], out=slope[:, : 2 * hidden])
            xp.subtract(1, slope[:, 2 * hidden : 3 * hidden], out=slope[:, 2 * hidden : 3 * hidden])
            xp.subtract(o, slope[:, 3 * hidden :], out=slope[:, 3 * hidden :])
            ga[at] *= slope
            product(ga[at], dh)
        previous = _previous_hidden(xp, y, h0, batch_sizes, reverse)
        return _gradients(self, ga, ga, x, previous, w_ih, bias, (gh, gc))

    @kernel_in_float32(rounded=2)
    def gru_forward(self, x, batch_sizes, h0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, training=True):
        """-> (y, h, saved, or None if not `training`).

        Cho et al. (2014), reset after the product: r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh);
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn)); h = (1 - z) * n + z * h.
        """
        xp = self.xp
        hidden = w_hh.shape[1]
        gates = _projection(self, x, w_ih, b_ih)  # (sum, 3H)
        y = xp.empty((x.shape[0], hidden), gates.dtype)
        inner = xp.empty_like(y)  # W_hn h + b_hn
        h = h0.copy()
        product, from_h = self._step_product(w_hh.T, batch_sizes), xp.empty((len(h0), 3 * hidden), gates.dtype)
        for at in _steps(batch_sizes, reverse):
            m = at.stop - at.start
            a, b = gates[at], from_h[:m]
            product(h[:m], b)
            if b_hh is not None:
                b += b_hh
            a[:, : 2 * hidden] += b[:, : 2 * hidden]
            self._sigmoid_in_place(a[:, : 2 * hidden])
            r, z, n = (a[:, k * hidden : (k + 1) * hidden] for k in range(3))
            inner[at] = b[:, 2 * hidden :]
            n += r * inner[at]
            xp.tanh(n, out=n)
            h[:m] -= n
            h[:m] *= z
            h[:m] += n
            y[at] = h[:m]
        return y, h, (gates, inner) if training else None

    @kernel_in_float32
    def gru_backward(self, gy, gh, saved, x, batch_sizes, h0, y, w_ih, w_hh, bias=True, reverse=False):
        """-> (gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh)."""
        xp = self.xp
        hidden = w_hh.shape[1]
        gates, inner = saved
        previous = _previous_hidden(xp, y, h0, batch_sizes, reverse)
        gi, ghid = xp.empty_like(gates), xp.empty_like(gates)  # gradients of the two projections
        gh = gh.copy()
        product, from_gates = self._step_product(w_hh, batch_sizes), xp.empty_like(gh)
        for at in reversed(_steps(batch_sizes, reverse)):
            r, z, n = (gates[at, k * hidden : (k + 1) * hidden] for k in range(3))
            gr, gz, gn = (gi[at, k * hidden : (k + 1) * hidden] for k in range(3))
            m = at.stop - at.start
            dh = gh[:m]
            dh += gy[at]
            xp.multiply(dh * (previous[at] - n), z - z * z, out=gz)
            xp.multiply(dh * (1 - z), 1 - n * n, out=gn)
            xp.multiply(gn * inner[at], r - r * r, out=gr)
            ghid[at, : 2 * hidden] = gi[at, : 2 * hidden]
            xp.multiply(gn, r, out=ghid[at, 2 * hidden :])
            dh *= z
            product(ghid[at], from_gates[:m])
            dh += from_gates[:m]
        gx, gh0, gw_ih, gw_hh, gb_ih = _gradients(self, gi, ghid, x, previous, w_ih, bias, (gh,))
        return gx, gh0, gw_ih, gw_hh, gb_ih, ghid.sum(axis=0) if bias else None

    @kernel_in_float32
    def rnn_forward(self, x, batch_sizes, h0, w_ih, w_hh, b_ih=None, b_hh=None, nonlinearity="tanh", reverse=False):
        """-> (y, h): h = tanh or relu of W_ih x + b_ih + W_hh h + b_hh (Elman, 1990)."""
        xp = self.xp
        y = _projection(self, x, w_ih, b_ih, b_hh)
        h = h0.copy()
        product, from_h = self._step_product(w_hh.T, batch_sizes), xp.empty_like(h)
        for at in _steps(batch_sizes, reverse):
            n = at.stop - at.start
            a = y[at]
            product(h[:n], from_h[:n])
            a += from_h[:n]
            if nonlinearity == "tanh":
                xp.tanh(a, out=a)
            else:
                xp.maximum(a, 0, out=a)
            h[:n] = a
        return y, h

    @kernel_in_float32
    def rnn_backward(
        self, gy, gh, x, batch_sizes, h0, y, w_ih, w_hh, bias=True, nonlinearity="tanh", reverse=False
    ):  # fmt: skip
        """-> (gx, gh0, gw_ih, gw_hh, gb)."""
        xp = self.xp
        slope = 1 - y * y if nonlinearity == "tanh" else (y > 0).astype(y.dtype)
        gh = gh.copy()
        product = self._step_product(w_hh, batch_sizes)
        for at in reversed(_steps(batch_sizes, reverse)):
            dh = gh[: at.stop - at.start]
            dh += gy[at]
            slope[at] *= dh  # becomes the gradient of the pre-activation
            product(slope[at], dh)
        previous = _previous_hidden(xp, y, h0, batch_sizes, reverse)
        return _gradients(self, slope, slope, x, previous, w_ih, bias, (gh,))

    def _step_product(self, w, batch_sizes):
        """A function (a, out) that writes a @ w for each step; a backend may first bring w into a layout of its own."""

        def product(a, out):
            out[...] = self.matmul(a, w)

        return product

    def _sigmoid_in_place(self, a):
        a *= 0.5
        self.xp.tanh(a, out=a)
        a += 1
        a *= 0.5


def _steps(batch_sizes, reverse):
    """The rows of `x` that each step reads, in the order of computation."""
    steps, start = [], 0
    for n in batch_sizes:
        steps.append(slice(start, start + n))
        start += n
    return steps[::-1] if reverse else steps


def _projection(kernels, x, w_ih, *biases):
    biases = [b for b in biases if b is not None]
    y = kernels.linear_forward(x, w_ih, sum(biases[1:], biases[0]) if biases else None)
    return y


def _previous_hidden(xp, y, h0, batch_sizes, reverse):
    """The hidden state that each row of x met."""
    previous = xp.empty_like(y)
    steps = _steps(batch_sizes, reverse)
    state = h0
    for at in steps:
        n = at.stop - at.start
        if reverse and len(state) < n:  # a sequence that starts here, before the shorter batch of the step just done
            previous[at.start : at.start + len(state)] = state
            previous[at.start + len(state) : at.stop] = h0[len(state) : n]
        else:
            previous[at] = state[:n]
        state = y[at]
    return previous


def _gradients(kernels, ga_x, ga_h, x, previous, w_ih, bias, states):
    """Gradients of input, states and parameters from those of the two projections of every step."""
    gx, gw_ih, gb = kernels.linear_backward(ga_x, x, w_ih, (True, True, bias))
    gw_hh = kernels.matmul(ga_h.T, previous)
    return gx, *states, gw_ih, gw_hh, gb
