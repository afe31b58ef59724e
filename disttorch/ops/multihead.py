"""Multi-head attention (Vaswani et al., 2017, section 3.2.2): projections, heads, masks, attention, output projection.

Letters: L queries, S keys and values, N batch, E features, H heads, D = E / H features of a head.
"""

import math
import warnings

from .. import dtypes
from .attention import scaled_dot_product_attention
from .dropout import dropout
from .joining import cat
from .linear import linear, projections
from .matmul import matmul
from .padding import pad
from .softmax import softmax


def _expect(condition: bool, text: str) -> None:
    """AssertionError: what PyTorch raises for a misuse of multi-head attention."""
    if not condition:
        raise AssertionError(text)


def _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads) -> bool:
    """Whether the inputs have a batch dimension; AssertionError for inputs or masks of a wrong rank."""
    rank = query.dim()
    _expect(rank in (2, 3), f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor")
    kind = "batched (3-D)" if rank == 3 else "unbatched (2-D)"
    _expect(
        key.dim() == rank and value.dim() == rank,
        f"For {kind} `query`, expected `key` and `value` to be {rank}-D but found {key.dim()}-D and {value.dim()}-D "
        "tensors respectively",
    )
    if key_padding_mask is not None:
        _expect(
            key_padding_mask.dim() == rank - 1,
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {rank - 1}-D but found "
            f"{key_padding_mask.dim()}-D tensor instead",
        )
    if attn_mask is not None:
        _expect(
            attn_mask.dim() in (2, 3),
            f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor "
            "instead",
        )
        expected = (num_heads, query.shape[0], key.shape[0])
        if rank == 2 and attn_mask.dim() == 3:
            _expect(
                tuple(attn_mask.shape) == expected,
                f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}",
            )
    return rank == 3


def _added(mask, name: str, dtype, other=None, other_name=""):
    """A mask as numbers to be added to the scores: -inf where a bool mask is True."""
    if mask is None:
        return None
    boolean = mask.dtype is dtypes.bool_
    _expect(boolean or mask.is_floating_point(), f"only bool and floating types of {name} are supported")
    if other is not None and other.dtype is not mask.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    return mask.new_zeros(mask.shape, dtype=dtype).masked_fill(mask, -math.inf) if boolean else mask


def _projected(query, key, value, weight, bias):
    """Queries, keys and values from one weight (3 E, E)."""
    _expect(key.shape == value.shape, f"key shape {key.shape} does not match value shape {value.shape}")
    _expect(weight is not None, "use_separate_proj_weight is False but in_proj_weight is None")
    if key is value and query is key:
        return projections(query, weight, bias)
    return _each_projected((query, key, value), weight.chunk(3), bias)


def _projected_apart(query, key, value, weights, bias):
    """Queries, keys and values from a weight for each."""
    _expect(
        key.shape[:2] == value.shape[:2],
        f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}",
    )
    for name, weight in zip("qkv", weights, strict=True):
        _expect(weight is not None, f"use_separate_proj_weight is True but {name}_proj_weight is None")
    return _each_projected((query, key, value), weights, bias)


def _each_projected(inputs, weights, bias):
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return [linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]


def _heads(x, heads, head_dim):
    """(L, N, E) -> (N, H, L, D), a view."""
    return x.reshape(*x.shape[:2], heads, head_dim).permute(1, 2, 0, 3)


def _static(x, name, batch, heads, head_dim):
    """(N * H, S, D) -> (N, H, S, D)."""
    _expect(x.size(0) == batch * heads, f"expecting {name}.size(0) of {batch * heads}, but got {x.size(0)}")
    _expect(x.size(2) == head_dim, f"expecting {name}.size(2) of {head_dim}, but got {x.size(2)}")
    return x.reshape(batch, heads, *x.shape[1:])


def _sized_mask(mask, target, source, batch, heads):
    """The mask as (L, S) or (N, H, L, S); RuntimeError if its sizes are not those of the attention."""
    if mask is None:
        return None
    expected = (target, source) if mask.dim() == 2 else (batch * heads, target, source)
    if tuple(mask.shape) != expected:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}.")
    return mask if mask.dim() == 2 else mask.reshape(batch, heads, target, source)


def _with_padding(mask, key_padding_mask, batch, source):
    """The mask with what hides the keys that only pad (N, S) added to it."""
    if key_padding_mask is None:
        return mask
    for d, size in enumerate((batch, source)):
        _expect(
            key_padding_mask.shape[d] == size,
            f"Expected key_padded_mask.shape[{d}] to be {size}, but got {key_padding_mask.shape[d]}",
        )
    padding = key_padding_mask.reshape(batch, 1, 1, source)
    return padding if mask is None else mask + padding


def multi_head_attention_forward(
    query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn,
    dropout_p, out_proj_weight, out_proj_bias, training=True, key_padding_mask=None, need_weights=True, attn_mask=None,
    use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None, static_k=None,
    static_v=None, average_attn_weights=True, is_causal=False,
):  # fmt: skip
    """Multi-head attention of query (L, N, E), key and value (S, N, E), or without N -> (L, N, E), weights.

    Masks are bool (True: not seen) or added to the scores: key_padding_mask (N, S), attn_mask (L, S) or (N * H, L, S).
    `is_causal` says that attn_mask is the causal one. The weights (N, L, S), or (N, H, L, S) unless averaged, are None
    without `need_weights`. AssertionError and RuntimeError (PyTorch's texts) for shapes that do not fit.
    """
    batched = _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same_key, same_value = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same_key else key.unsqueeze(1)
        value = key if same_value else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    target, batch, embed = query.shape
    source = key.shape[0]
    key_padding_mask = _added(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask, is_causal = _added(attn_mask, "attn_mask", query.dtype), False
    _expect(embed == embed_dim_to_check, f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed}")
    head_dim = embed // num_heads
    _expect(head_dim * num_heads == embed, f"embed_dim {embed} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _projected_apart(query, key, value, weights, in_proj_bias)
    else:
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)
    attn_mask = _sized_mask(attn_mask, target, source, batch, num_heads)

    extra = 0  # keys beyond those that were given
    if bias_k is not None and bias_v is not None:
        _expect(static_k is None, "bias cannot be added to static key.")
        _expect(static_v is None, "bias cannot be added to static value.")
        k, v, extra = cat([k, bias_k.repeat(1, batch, 1)]), cat([v, bias_v.repeat(1, batch, 1)]), 1
    else:
        _expect(bias_k is None, "bias_k is set but bias_v is None")
        _expect(bias_v is None, "bias_v is set but bias_k is None")
    sizes = (batch, num_heads, head_dim)
    q = _heads(q, num_heads, head_dim)
    k = _heads(k, num_heads, head_dim) if static_k is None else _static(static_k, "static_k", *sizes)
    v = _heads(v, num_heads, head_dim) if static_v is None else _static(static_v, "static_v", *sizes)
    if add_zero_attn:
        k, v = (cat([t, t.new_zeros((batch, num_heads, 1, head_dim))], 2) for t in (k, v))
        extra += 1
    if extra:
        attn_mask, key_padding_mask = (None if m is None else pad(m, (0, extra)) for m in (attn_mask, key_padding_mask))
    attn_mask = _with_padding(attn_mask, key_padding_mask, batch, k.shape[2])

    attend = _with_weights if need_weights else _without_weights
    found, weights = attend(q, k, v, attn_mask, dropout_p if training else 0.0, is_causal)
    found = linear(found.permute(2, 0, 1, 3).reshape(target, batch, embed), out_proj_weight, out_proj_bias)
    if weights is not None and average_attn_weights:
        weights = weights.mean(1)
    if not batched:
        return found.squeeze(1), None if weights is None else weights.squeeze(0)
    return found, weights


def _with_weights(q, k, v, mask, dropout_p, is_causal):
    """-> (N, H, L, D), weights (N, H, L, S)."""
    scores = matmul(q * math.sqrt(1.0 / q.shape[-1]), k.transpose(-2, -1))
    weights = softmax(scores if mask is None else scores + mask, -1)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return matmul(weights, v), weights


def _without_weights(q, k, v, mask, dropout_p, is_causal):
    """-> (N, H, L, D), None."""
    return scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal), None


__all__: list[str] = []
