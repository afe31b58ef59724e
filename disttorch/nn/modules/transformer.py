"""The transformer: Vaswani et al. (2017). Sequences are (L, N, E), or (N, L, E) with `batch_first`."""

from copy import deepcopy

from ...autograd.mode import mode
from ...autograd.variable import Tensor
from ...ops import full, triu
from ...ops.encoder import encoder_layer
from ...ops.linear import linear_activated
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .hooks import everywhere
from .linear import Linear
from .module import Module
from .normalization import LayerNorm
from .rnn import autocasting


def _later_hidden(size: int, device=None, dtype=None):
    """The mask (size, size) that hides from each position those after it: -inf there, else 0."""
    return triu(full((size, size), float("-inf"), device=device, dtype=dtype), diagonal=1)


def _is_causal(mask, is_causal: bool | None, size: int) -> bool:
    """Whether attention is causal: as said, or if nothing was said, as the mask is."""
    if is_causal is not None or mask is None:
        return is_causal is True
    causal = _later_hidden(size, mask.device, mask.dtype)
    return mask.shape == causal.shape and bool((mask == causal).all())


def _length(x, batch_first: bool) -> int:
    return x.shape[1 if batch_first and x.ndim == 3 else 0]


def _activation(given):
    """A function by its name, relu or gelu; anything else as it is."""
    if not isinstance(given, str):
        return given
    if given not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {given}")
    return getattr(F, given)


_FUSED = {"relu": F.relu, "gelu": F.gelu}  # activations that a linear layer can apply itself


def _fused(activation) -> str | None:
    """The activation's name if it is one of those, or what `overrides` has put in front of them since."""
    return next((name for name, plain in _FUSED.items() if activation in (plain, getattr(F, name))), None)


def _is_plain(module: Module, kind: type = Linear) -> bool:
    """Whether calling it does no more than what its class, `kind`, computes."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    own = type(module) is not kind or "forward" in module.__dict__
    return not (own or hooks or everywhere.calls or autocasting())


def _clones(module: Module, n: int) -> ModuleList:
    return ModuleList([deepcopy(module) for _ in range(n)])


class _Layer(Module):
    """What encoder and decoder layers have in common: self-attention and two linear maps, each with a residual."""

    _blocks: int  # that have a residual: attention, in a decoder another one to the memory, and the linear maps

    def __init__(
        self, d_model, nhead, dim_feedforward=2048, dropout=0.1, activation=F.relu, layer_norm_eps=1e-5,
        batch_first=False, norm_first=False, bias=True, device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        where = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **where)
        if self._blocks == 3:
            self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **where)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **where)
        self.norm_first = norm_first
        for i in range(1, self._blocks + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **where))
        for i in range(1, self._blocks + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    def _residual(self, x, norm: Module, block):
        return x + block(norm(x)) if self.norm_first else norm(x + block(x))

    def _attend(self, attention, x, memory, mask, padding, is_causal, dropout):
        found = attention(
            x, memory, memory, attn_mask=mask, key_padding_mask=padding, is_causal=is_causal, need_weights=False
        )
        return dropout(found[0])

    def _feed_forward(self, x):
        fused, first = _fused(self.activation), self.linear1
        if fused is not None and _is_plain(first):
            inner = linear_activated(x, first.weight, first.bias, fused)
        else:
            inner = self.activation(first(x))
        return self.linear2(self.dropout(inner))


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear maps, each added to its input and normalised (`norm_first`: before)."""

    _blocks = 2
    _parts = (
        ("self_attn", MultiheadAttention), ("linear1", Linear), ("linear2", Linear), ("norm1", LayerNorm),
        ("norm2", LayerNorm), ("dropout", Dropout), ("dropout1", Dropout), ("dropout2", Dropout),
    )  # fmt: skip

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        if not (mode.grad or self.training):
            inferred = self._infer(src, src_mask, src_key_padding_mask, is_causal)
            if inferred is not None:
                return inferred

        def attend(x):
            return self._attend(self.self_attn, x, x, src_mask, src_key_padding_mask, is_causal, self.dropout1)

        x = self._residual(src, self.norm1, attend)
        return self._residual(x, self.norm2, lambda x: self.dropout2(self._feed_forward(x)))

    def _infer(self, src, mask, padding, is_causal):
        """The output by one operation; None where that does not compute what the parts do."""
        for name, kind in self._parts:
            part = getattr(self, name)
            if part.training or not _is_plain(part, kind):
                return None
        attention, norm1, norm2, activation = self.self_attn, self.norm1, self.norm2, _fused(self.activation)
        if attention.bias_k is not None or attention.add_zero_attn or norm1.eps != norm2.eps or activation is None:
            return None
        weights = [
            attention.in_proj_weight, attention.in_proj_bias, attention.out_proj.weight, attention.out_proj.bias,
            norm1.weight, norm1.bias, norm2.weight, norm2.bias,
            self.linear1.weight, self.linear1.bias, self.linear2.weight, self.linear2.bias,
        ]  # fmt: skip
        if any(type(w) is not Parameter and type(w) is not Tensor for w in weights):
            return None
        turned = src.ndim == 3 and not attention.batch_first
        found = encoder_layer(
            src.transpose(0, 1) if turned else src, attention.num_heads, weights, activation, self.norm_first,
            norm1.eps, mask, padding, is_causal,
        )  # fmt: skip
        return found.transpose(0, 1) if turned and found is not None else found


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to `memory`, then two linear maps, each added to its input and normalised."""

    _blocks = 3

    def forward(
        self, tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None,
        tgt_is_causal=False, memory_is_causal=False,
    ):  # fmt: skip
        def attend(x):
            return self._attend(self.self_attn, x, x, tgt_mask, tgt_key_padding_mask, tgt_is_causal, self.dropout1)

        def look(x):
            return self._attend(
                self.multihead_attn, x, memory, memory_mask, memory_key_padding_mask, memory_is_causal, self.dropout2
            )

        x = self._residual(tgt, self.norm1, attend)
        x = self._residual(x, self.norm2, look)
        return self._residual(x, self.norm3, lambda x: self.dropout3(self._feed_forward(x)))


class TransformerEncoder(Module):
    """`num_layers` copies of a layer, one after another, and a norm. The last two settings are accepted."""

    def __init__(self, encoder_layer, num_layers, norm=None, enable_nested_tensor=True, mask_check=True):
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(self, src, mask=None, src_key_padding_mask=None, is_causal=None):
        is_causal = _is_causal(mask, is_causal, _length(src, self.layers[0].self_attn.batch_first))
        for layer in self.layers:
            src = layer(src, src_mask=mask, is_causal=is_causal, src_key_padding_mask=src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """`num_layers` copies of a layer, one after another, and a norm."""

    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self, tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None,
        tgt_is_causal=None, memory_is_causal=False,
    ):  # fmt: skip
        tgt_is_causal = _is_causal(tgt_mask, tgt_is_causal, _length(tgt, self.layers[0].self_attn.batch_first))
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder: src (S, N, d_model), tgt (T, N, d_model) -> (T, N, d_model).

    Matrices are drawn anew by xavier_uniform_. A custom encoder or decoder takes the place of the usual one.
    """

    def __init__(
        self, d_model=512, nhead=8, num_encoder_layers=6, num_decoder_layers=6, dim_feedforward=2048, dropout=0.1,
        activation=F.relu, custom_encoder=None, custom_decoder=None, layer_norm_eps=1e-5, batch_first=False,
        norm_first=False, bias=True, device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        where = {"device": device, "dtype": dtype}
        settings = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias,
        )  # fmt: skip

        def stack(kind, layer, count):
            made = layer(*settings, **where)
            return kind(made, count, LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **where))

        self.encoder = custom_encoder
        if custom_encoder is None:
            self.encoder = stack(TransformerEncoder, TransformerEncoderLayer, num_encoder_layers)
        self.decoder = custom_decoder
        if custom_decoder is None:
            self.decoder = stack(TransformerDecoder, TransformerDecoderLayer, num_decoder_layers)
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self, src, tgt, src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None,
        tgt_key_padding_mask=None, memory_key_padding_mask=None, src_is_causal=None, tgt_is_causal=None,
        memory_is_causal=False,
    ):  # fmt: skip
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device=None, dtype=None):
        """The mask (sz, sz) that hides from each position those after it: -inf there, else 0."""
        return _later_hidden(sz, device, dtype)

    def _reset_parameters(self):
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)
