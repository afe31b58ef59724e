"""Recurrent networks: LSTM, GRU and Elman's, of several layers and directions, dense or packed; and their single cells.

Each layer and direction is one operation over packed rows (sum of batch_sizes, features): step t has the first
batch_sizes[t] sequences. A dense batch (T, N, features) is the packed one with equal sizes. H hidden features, P
projected ones, D directions.
"""

from ..autograd.mode import mode
from ..autograd.op import Op
from .activation import relu
from .dropout import dropout
from .fused import by_parts, fused
from .joining import cat, stack
from .linear import linear
from .matmul import kernels_of
from .unary import sigmoid, tanh

# -- one step, as compositions ----------------------------------------------------------------------------------------


def _lstm_step(x, state, w_ih, w_hh, b_ih, b_hh, w_hr=None):
    """i, f, g, o = gates; c = f c + i g; h = o tanh(c), projected by w_hr if there is one (Sak et al., 2014)."""
    h, c = state
    i, f, g, o = (linear(x.to(w_ih), w_ih, b_ih) + linear(h.to(w_hh), w_hh, b_hh)).chunk(4, 1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if w_hr is None else linear(h.to(w_hr), w_hr), c)


def _gru_step(x, state, w_ih, w_hh, b_ih, b_hh):
    """r, z = sigmoid of gates; n = tanh(x_n + r h_n); h = (1 - z) n + z h."""
    (h,) = state
    xr, xz, xn = linear(x, w_ih, b_ih).chunk(3, 1)
    hr, hz, hn = linear(h, w_hh, b_hh).chunk(3, 1)
    n = tanh(xn + sigmoid(xr + hr) * hn)
    return (n + sigmoid(xz + hz) * (h - n),)


def _elman_step(function):
    def step(x, state, w_ih, w_hh, b_ih, b_hh):
        return (function(linear(x, w_ih, b_ih) + linear(state[0], w_hh, b_hh)),)

    return step


def _by_steps(step, x, batch_sizes, state, weights, reverse):
    """-> (rows of hidden states, *last states): `step` after step, as tensor operations."""
    starts, at = [], 0
    for n in batch_sizes:
        starts.append((at, n))
        at += n
    outputs = [None] * len(starts)
    for t in reversed(range(len(starts))) if reverse else range(len(starts)):
        at, n = starts[t]
        new = step(x.narrow(0, at, n), [s.narrow(0, 0, n) for s in state], *weights)
        whole = n == state[0]._data.shape[0]
        state = [
            a if whole else cat([a, s.narrow(0, n, s._data.shape[0] - n)]) for a, s in zip(new, state, strict=True)
        ]
        outputs[t] = new[0]
    return (cat(outputs), *state)


# -- one layer and direction, as one operation -------------------------------------------------------------------------
def _lstm_rule(g, needs, x, batch_sizes, h0, c0, w_ih, w_hh, b_ih, b_hh, reverse, y, saved):
    inputs = (x, h0, c0, w_ih, w_hh, b_ih, b_hh)
    if mode.grad:
        return by_parts(lambda x, h, c, *w: _by_steps(_lstm_step, x, batch_sizes, (h, c), w, reverse), inputs, needs, g)
    gx, gh, gc, gi, gw, gb = fused(
        "lstm_backward", *g, saved, x, batch_sizes, h0, c0, y, w_ih, w_hh, b_ih is not None, reverse
    )
    return gx, gh, gc, gi, gw, gb, gb


_lstm_layer = Op(
    "MkldnnRnnLayerBackward0",
    lambda x, batch_sizes, h0, c0, w_ih, w_hh, b_ih, b_hh, reverse: kernels_of(x).lstm_forward(
        x, batch_sizes, h0, c0, w_ih, w_hh, b_ih, b_hh, reverse, training=mode.grad
    ),
    outputs=("y", "h", "c"),
    keeps=("saved",),
    joint=_lstm_rule,
    inputs=("x", "h0", "c0", "w_ih", "w_hh", "b_ih", "b_hh"),
)


def _gru_rule(g, needs, x, batch_sizes, h0, w_ih, w_hh, b_ih, b_hh, reverse, y, saved):
    if mode.grad:
        inputs = (x, h0, w_ih, w_hh, b_ih, b_hh)
        return by_parts(lambda x, h, *w: _by_steps(_gru_step, x, batch_sizes, (h,), w, reverse), inputs, needs, g)
    return fused("gru_backward", *g, saved, x, batch_sizes, h0, y, w_ih, w_hh, b_ih is not None, reverse)


_gru_layer = Op(
    "GruLayerBackward0",
    lambda x, batch_sizes, h0, w_ih, w_hh, b_ih, b_hh, reverse: kernels_of(x).gru_forward(
        x, batch_sizes, h0, w_ih, w_hh, b_ih, b_hh, reverse, training=mode.grad
    ),
    outputs=("y", "h"),
    keeps=("saved",),
    joint=_gru_rule,
    inputs=("x", "h0", "w_ih", "w_hh", "b_ih", "b_hh"),
)


def _rnn_rule(g, needs, x, batch_sizes, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity, reverse, y):
    if mode.grad:
        step, inputs = _ELMAN[nonlinearity], (x, h0, w_ih, w_hh, b_ih, b_hh)
        return by_parts(lambda x, h, *w: _by_steps(step, x, batch_sizes, (h,), w, reverse), inputs, needs, g)
    *found, gb = fused("rnn_backward", *g, x, batch_sizes, h0, y, w_ih, w_hh, b_ih is not None, nonlinearity, reverse)
    return *found, gb, gb


_ELMAN = {"tanh": _elman_step(tanh), "relu": _elman_step(relu)}
_rnn_layer = Op(
    "RnnLayerBackward0",
    lambda x, batch_sizes, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity, reverse: kernels_of(x).rnn_forward(
        x, batch_sizes, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity, reverse
    ),
    outputs=("y", "h"),
    joint=_rnn_rule,
    inputs=("x", "h0", "w_ih", "w_hh", "b_ih", "b_hh"),
)


def _run_lstm(x, batch_sizes, state, weights, reverse):
    """weights: w_ih, w_hh, b_ih, b_hh (or None), w_hr (or None); of fewer bits than the states under autocast."""
    if weights[4] is not None or weights[0].dtype is not state[1].dtype:
        return _by_steps(_lstm_step, x, batch_sizes, state, weights, reverse)
    return _lstm_layer(x, batch_sizes, *state, *weights[:4], reverse)


def _run_gru(x, batch_sizes, state, weights, reverse):
    return _gru_layer(x, batch_sizes, *state, *weights[:4], reverse)


def _run_rnn(nonlinearity):
    def run(x, batch_sizes, state, weights, reverse):
        return _rnn_layer(x, batch_sizes, *state, *weights[:4], nonlinearity, reverse)

    return run


# -- layers and directions --------------------------------------------------------------------------------------------
def _layers(run, x, batch_sizes, states, params, has_biases, num_layers, p, train, bidirectional, projected):
    """-> (rows of the last layer, *states); states: tensors (layers * D, N, features)."""
    directions = 2 if bidirectional else 1
    each = 2 + 2 * has_biases + projected
    if len(params) != each * num_layers * directions:
        raise RuntimeError(f"expected {each * num_layers * directions} weights and biases, but got {len(params)}")
    ends: list = []
    for layer in range(num_layers):
        rows = []
        for direction in range(directions):
            k = layer * directions + direction
            given = list(params[k * each : (k + 1) * each])
            w_hr = given.pop() if projected else None
            weights = (*given, *(None,) * (4 - len(given)), w_hr)
            y, *end = run(x, batch_sizes, [s.select(0, k) for s in states], weights, direction == 1)
            rows.append(y)
            ends.append(end)
        x = rows[0] if directions == 1 else cat(rows, 1)
        if train and p > 0 and layer < num_layers - 1:
            x = dropout(x, p)
    return (x, *(stack(s) for s in zip(*ends, strict=True)))


def _network(run, stateful):
    """A function with the signatures of torch.lstm and its kin: dense and packed."""

    def network(input, second, third, fourth, *rest):
        if isinstance(fourth, (tuple, list)):  # the weights come fourth where batch_sizes come second
            return packed(input, second, third, fourth, *rest)
        return dense(input, second, third, fourth, *rest)

    def states_of(hx):
        return list(hx) if stateful else [hx]

    def dense(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
        """input (T, N, I), or (N, T, I) with batch_first; -> y (T, N, D * H) or (N, T, D * H), *states."""
        states = states_of(hx)
        if batch_first:
            input = input.transpose(0, 1)
        steps, batch, features = input._data.shape
        projected = stateful and states[0]._data.shape[2] != states[1]._data.shape[2]
        y, *ends = _layers(
            run, input.reshape(steps * batch, features), (batch,) * steps, states, params, has_biases, num_layers,
            dropout, train, bidirectional, projected,
        )  # fmt: skip
        y = y.reshape(steps, batch, y._data.shape[1])
        return (y.transpose(0, 1) if batch_first else y, *ends)

    def packed(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional):
        """data (sum of batch_sizes, I) -> y (sum of batch_sizes, D * H), *states."""
        states = states_of(hx)
        projected = stateful and states[0]._data.shape[2] != states[1]._data.shape[2]
        sizes = tuple(batch_sizes.tolist())
        return _layers(
            run, data, sizes, states, params, has_biases, num_layers, dropout, train, bidirectional, projected
        )

    return network


lstm = _network(_run_lstm, True)
lstm.__doc__ = """lstm(input, (h0, c0), params, has_biases, num_layers, dropout, train, bidirectional, batch_first) ->
y, h, c
lstm(data, batch_sizes, (h0, c0), params, has_biases, num_layers, dropout, train, bidirectional), packed.

params: for each layer and direction w_ih (4 H, I), w_hh (4 H, P), b_ih, b_hh (with biases), w_hr (P, H) (if P is not
H).
"""
gru = _network(_run_gru, False)
gru.__doc__ = """gru(input, h0, params, has_biases, num_layers, dropout, train, bidirectional, batch_first) -> y, h
gru(data, batch_sizes, h0, params, has_biases, num_layers, dropout, train, bidirectional), packed."""
rnn_tanh, rnn_relu = _network(_run_rnn("tanh"), False), _network(_run_rnn("relu"), False)
rnn_tanh.__doc__ = "As `gru`, with h = tanh(W_ih x + b_ih + W_hh h + b_hh)."
rnn_relu.__doc__ = "As `gru`, with h = relu(W_ih x + b_ih + W_hh h + b_hh)."
for _name, _function in (("lstm", lstm), ("gru", gru), ("rnn_tanh", rnn_tanh), ("rnn_relu", rnn_relu)):
    _function.__name__ = _function.__qualname__ = _name


# -- cells ------------------------------------------------------------------------------------------------------------
def _check_cell(input, states, w_ih, w_hh):
    """RuntimeError (PyTorch's texts) for sizes that do not fit."""
    (batch, features), wanted, hidden = input._data.shape, w_ih._data.shape[1], w_hh._data.shape[1]
    if features != wanted:
        raise RuntimeError(f"input has inconsistent input_size: got {features} expected {wanted}")
    for k, state in enumerate(states):
        rows, size = state._data.shape[:2]
        if rows != batch:
            raise RuntimeError(f"Input batch size {batch} doesn't match hidden{k} batch size {rows}")
        if size != hidden:
            raise RuntimeError(f"hidden{k} has inconsistent hidden_size: got {size}, expected {hidden}")


def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an LSTM: input (N, I), hx (h, c) (N, H) each -> h, c."""
    _check_cell(input, hx, w_ih, w_hh)
    _, h, c = _lstm_layer(input, (input._data.shape[0],), *hx, w_ih, w_hh, b_ih, b_hh, False)
    return h, c


def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of a GRU: input (N, I), hx (N, H) -> h."""
    _check_cell(input, (hx,), w_ih, w_hh)
    return _gru_layer(input, (input._data.shape[0],), hx, w_ih, w_hh, b_ih, b_hh, False)[1]


def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an Elman network: tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    _check_cell(input, (hx,), w_ih, w_hh)
    return _rnn_layer(input, (input._data.shape[0],), hx, w_ih, w_hh, b_ih, b_hh, "tanh", False)[1]


def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an Elman network: relu(W_ih x + b_ih + W_hh h + b_hh)."""
    _check_cell(input, (hx,), w_ih, w_hh)
    return _rnn_layer(input, (input._data.shape[0],), hx, w_ih, w_hh, b_ih, b_hh, "relu", False)[1]


__all__ = ["gru", "gru_cell", "lstm", "lstm_cell", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell"]
