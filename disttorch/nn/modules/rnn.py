"""Recurrent networks over whole sequences, and the cells that take one step.

Letters: L length, N batch, I input_size, H hidden_size, P proj_size (or H), D directions. Sequences are (L, N, I), or
(N, L, I) with `batch_first`, or (L, I), or a PackedSequence.
"""

import math
import numbers
import warnings

from ... import ops
from ...ops.recurrent import gru, gru_cell, lstm, lstm_cell, rnn_relu, rnn_relu_cell, rnn_tanh, rnn_tanh_cell
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


class RNNBase(Module):
    """Parameters weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 (, weight_hr_l0), and so on for each layer and,
    with "_reverse", direction. All are drawn evenly from ±1/sqrt(H).
    """

    def __init__(
        self, mode, input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
        bidirectional=False,
        proj_size=0, device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        _check_settings(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._all_weights = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: self._directions]:
                shapes = self._shapes(layer)
                names = [f"{name}_l{layer}{suffix}" for name in shapes]
                for name, shape in zip(names, shapes.values(), strict=True):
                    self.register_parameter(name, Parameter(ops.empty(*shape, device=device, dtype=dtype)))
                self._all_weights.append(names)
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _shapes(self, layer: int) -> dict:
        """Name -> shape of a layer's parameters."""
        gates = GATES[self.mode] * self.hidden_size
        inputs = self.input_size if layer == 0 else self._output_size * self._directions
        shapes = {"weight_ih": (gates, inputs), "weight_hh": (gates, self._output_size)}
        if self.bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self):
        """Draw all parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self):
        """Accepted for PyTorch's sake: the parameters lie as they are used."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [weight for weights in self.all_weights for weight in weights]

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        usual = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        return text + "".join(f", {k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v)

    # -- forward ------------------------------------------------------------------------------------------------------
    def _run(self, input, states: list | None, sizes: list[int]):
        """-> (output, final states): `states` are h0 (and c0) of `sizes` features each, None for zeros."""
        packed = isinstance(input, PackedSequence)
        data, batch_sizes, order, back = input if packed else (input, None, None, None)
        if not packed and data.ndim not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {data.ndim}D instead")
        batched = packed or data.ndim == 3
        batch = 0 if self.batch_first else 1
        if not batched:
            data = data.unsqueeze(batch)
        n = int(batch_sizes[0]) if packed else data.shape[batch]
        expected = [(self.num_layers * self._directions, n, size) for size in sizes]
        if states is None:
            states = [ops.zeros(*shape, dtype=data.dtype, device=data.device) for shape in expected]
        else:
            states = self._given(states, batched, packed)
        self._check(data, states, expected, packed)
        if order is not None:
            states = [s.index_select(1, order) for s in states]
        if not packed and not data.shape[1 - batch]:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        output, *states = self._compute(data, batch_sizes, states)
        if packed:
            output = PackedSequence(output, batch_sizes, order, back)
            if back is not None:
                states = [s.index_select(1, back) for s in states]
        elif not batched:
            output, states = output.squeeze(batch), [s.squeeze(1) for s in states]
        return output, states

    def _given(self, states: list, batched: bool, packed: bool) -> list:
        """The states that the caller gave, with a batch dimension."""
        if packed:
            return states
        dims = [s.ndim for s in states]
        wanted = 3 if batched else 2
        if any(d != wanted for d in dims):
            kind = "batched 3-D" if batched else "unbatched 2-D"
            if len(states) == 2:
                raise RuntimeError(
                    f"For {kind} input, hx and cx should also be {wanted}-D but got ({dims[0]}-D, {dims[1]}-D) tensors"
                )
            raise RuntimeError(f"For {kind} input, hx should also be {wanted}-D but got {dims[0]}-D tensor")
        return states if batched else [s.unsqueeze(1) for s in states]

    def _check(self, data, states: list, expected: list, packed: bool):
        weight = getattr(self, self._all_weights[0][0])
        if data.dtype is not weight.dtype and not autocasting():
            raise ValueError(
                f"RNN input dtype ({data.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({data.dtype})"
            )
        wanted = 2 if packed else 3
        if data.ndim != wanted:
            raise RuntimeError(f"input must have {wanted} dimensions, got {data.ndim}")
        if data.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {data.shape[-1]}"
            )
        for i, (state, shape) in enumerate(zip(states, expected, strict=True)):
            if tuple(state.shape) != shape:
                which = f"hidden[{i}]" if len(states) > 1 else "hidden"
                raise RuntimeError(f"Expected {which} size {shape}, got {list(state.shape)}")

    def _compute(self, data, batch_sizes, states: list) -> tuple:
        function = {"LSTM": lstm, "GRU": gru, "RNN_TANH": rnn_tanh, "RNN_RELU": rnn_relu}[self.mode]
        state = tuple(states) if len(states) > 1 else states[0]
        settings = (self._flat_weights, self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        if batch_sizes is None:
            return function(data, state, *settings, self.batch_first)
        return function(data, batch_sizes, state, *settings)


def autocasting() -> bool:
    """Whether autocast is on."""
    import sys

    amp = sys.modules.get("disttorch.amp")  # not loaded: not in use
    return amp is not None and any(map(amp.is_autocast_enabled, ("cpu", "cuda")))


def _check_settings(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size):
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=5,
        )
    for name, value, kind in (
        ("bias", bias, bool), ("batch_first", batch_first, bool), ("input_size", input_size, int),
        ("hidden_size", hidden_size, int),
    ):  # fmt: skip
        if not isinstance(value, kind):
            raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


class _OneState(RNNBase):
    """A layer whose only state is its output, so that nothing can be projected."""

    def __init__(self, mode, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__(mode, *args, **kwargs)

    def forward(self, input, hx=None):
        output, (h,) = self._run(input, None if hx is None else [hx], [self.hidden_size])
        return output, h


class RNN(_OneState):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu (`nonlinearity`): -> (output (L, N, D·H), h_n
    (D·layers, N, H)).
    """

    def __init__(self, *args, **kwargs):
        if len(args) > 3:
            nonlinearity, args = args[3], args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory, Hochreiter and Schmidhuber (1997): -> (output (L, N, D·P), (h_n (D·layers, N, P), c_n
    (.., H))).

    With `proj_size` the output is projected: Sak et al. (2014).
    """

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def forward(self, input, hx=None):
        output, states = self._run(input, None if hx is None else [hx[0], hx[1]], [self._output_size, self.hidden_size])
        return output, tuple(states)


class GRU(_OneState):
    """Gated recurrent units, Cho et al. (2014): -> (output (L, N, D·H), h_n (D·layers, N, H))."""

    def __init__(self, *args, **kwargs):
        super().__init__("GRU", *args, **kwargs)


# -- cells ------------------------------------------------------------------------------------------------------------
class RNNCellBase(Module):
    """weight_ih (gates·H, I), weight_hh (gates·H, H), bias_ih and bias_hh (gates·H), drawn evenly from ±1/sqrt(H)."""

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }
        for name, shape in shapes.items():
            wanted = bias or name.startswith("weight")
            made = Parameter(ops.empty(*shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw all parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"

    def _step(self, function, input, states: tuple | None):
        """One step from states with or without a batch dimension (None: zeros, as many as the cell has)."""
        name = self._get_name()
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        for i, state in enumerate(states or ()):
            if state.ndim not in (1, 2):
                which = f"hx[{i}]" if len(states) > 1 else "hidden"
                raise ValueError(f"{name}: Expected {which} to be 1D or 2D, got {state.ndim}D instead")
        batched = input.ndim == 2
        if not batched:
            input = input.unsqueeze(0)
        if states is None:
            zeros = ops.zeros(input.shape[0], self.hidden_size, dtype=input.dtype, device=input.device)
            states = (zeros,) * (2 if isinstance(self, LSTMCell) else 1)
        elif not batched:
            states = tuple(s.unsqueeze(0) for s in states)
        self._check_sizes(input, states)
        state = states if len(states) > 1 else states[0]
        made = function(input, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if batched:
            return made
        return tuple(m.squeeze(0) for m in made) if isinstance(made, tuple) else made.squeeze(0)

    def _check_sizes(self, input, states: tuple):
        if input.shape[1] != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected {self.input_size}")
        for i, state in enumerate(states):
            if state.shape[0] != input.shape[0]:
                raise RuntimeError(
                    f"Input batch size {input.shape[0]} doesn't match hidden{i} batch size {state.shape[0]}"
                )
            if state.shape[1] != self.hidden_size:
                raise RuntimeError(
                    f"hidden{i} has inconsistent hidden_size: got {state.shape[1]}, expected {self.hidden_size}"
                )


class RNNCell(RNNCellBase):
    """One step of an RNN: input (N, I), hx (N, H) -> (N, H)."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        function = rnn_tanh_cell if self.nonlinearity == "tanh" else rnn_relu_cell
        return self._step(function, input, None if hx is None else (hx,))


class LSTMCell(RNNCellBase):
    """One step of an LSTM: input (N, I), (h, c) each (N, H) -> (h, c)."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._step(lstm_cell, input, None if hx is None else tuple(hx))


class GRUCell(RNNCellBase):
    """One step of a GRU: input (N, I), hx (N, H) -> (N, H)."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._step(gru_cell, input, None if hx is None else (hx,))
