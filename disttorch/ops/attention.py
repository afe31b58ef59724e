"""Scaled dot-product attention (Vaswani et al., 2017): softmax(q k^T * scale + mask) v as one operation.

Letters: L queries, S keys and values, E features, F features of the values; leading dimensions are batches and heads.
"""

import functools
import math

import numpy as np

from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import wrap
from .arguments import C_NAMES, need_tensor
from .dropout import _mask
from .fused import by_parts, fused
from .matmul import kernels_of, matmul
from .softmax import softmax


def _forward(q, k, v, bias, keep, scale):
    """bias: what is added to the scores, or None; keep: the dropout's mask, already scaled, or None -> y, weights."""
    return kernels_of(q).attention_forward(q, k, v, bias, keep, scale)


def _rule(g, needs, q, k, v, bias, keep, scale, weights):
    if not mode.grad:
        return fused("attention_backward", g, q, k, v, keep, weights, scale, needs)

    def meaning(q, k, v, bias):
        scores = matmul(q, k.transpose(-2, -1)) * scale
        found = softmax(scores if bias is None else scores + bias, -1)
        if bias is not None:
            found = found.masked_fill(wrap(weights == 0, q.device), 0)
        return matmul(found if keep is None else found * keep, v)

    return by_parts(meaning, (q, k, v, bias), needs, g)


_attention = Op(
    "ScaledDotProductFlashAttentionForCpuBackward0",
    _forward,
    keeps=("weights",),
    joint=_rule,
    inputs=("q", "k", "v", "bias"),
)


def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):  # fmt: skip
    """softmax(query key^T * scale + mask) value: (*, L, E), (*, S, E), (*, S, F) -> (*, L, F).

    attn_mask: bool (True: may be seen) or added to the scores; is_causal: a query sees keys up to its own position;
    scale:
    1 / sqrt(E) unless given; enable_gqa: heads (third dimension from the end) of keys and values serve several of the
    queries'.
    """
    need_tensor(query, "scaled_dot_product_attention", "query", 1)
    need_tensor(key, "scaled_dot_product_attention", "key", 2)
    need_tensor(value, "scaled_dot_product_attention", "value", 3)
    _check(query, key, value, attn_mask, dropout_p, is_causal)
    if enable_gqa:
        key, value = _shared_heads(query, key, value)
    q, k = query._data, key._data
    bias = attn_mask
    if is_causal:
        bias = wrap(_causal(q.shape[-2], k.shape[-2], q.dtype), query.device)
    elif attn_mask is not None and attn_mask._data.dtype.kind == "b":
        bias = wrap(_masking(attn_mask._data, q.dtype), query.device)
    keep = None
    if dropout_p > 0:
        shape = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])
        keep = wrap(np.zeros(shape, q.dtype), query.device)
        if dropout_p < 1:
            kept = _mask(keep, shape, dropout_p)._data.astype(q.dtype)
            keep = wrap(kept / q.dtype.type(1 - dropout_p), query.device)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None and q.shape[-1] else 1.0 if scale is None else scale
    return _attention(query, key, value, bias, keep, float(scale))


def _masking(visible, dtype):
    return np.where(visible, dtype.type(0), dtype.type(-np.inf))


@functools.lru_cache(maxsize=16)
def _causal(queries, keys, dtype):
    """What is added to the scores where a query sees keys up to its own position; not to be written to."""
    mask = _masking(np.tri(queries, keys, dtype=bool), dtype)
    mask.flags.writeable = False
    return mask


def _shared_heads(query, key, value):
    """Keys' and values' heads repeated for the queries' heads that share them."""
    heads, kept, valued = (t._data.shape[-3] for t in (query, key, value))
    if heads % kept or heads % valued:
        raise RuntimeError(
            f"Number of heads in key and value must divide the number of heads in query. Got query heads {heads}, key "
            f"heads {kept} and value heads {valued}"
        )
    return key.repeat_interleave(heads // kept, -3), value.repeat_interleave(heads // valued, -3)


def _check(query, key, value, attn_mask, dropout_p, is_causal):
    named = (("query", query), ("key", key), ("value", value))
    ranks = [t._data.ndim for _, t in named]
    if min(ranks) < 2:
        raise RuntimeError(
            f"Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {ranks[0]} key.dim: "
            f"{ranks[1]} and value.dim: {ranks[2]} instead."
        )
    kinds = [t._data.dtype for _, t in named]
    if kinds[1:] != kinds[:-1]:
        names = [C_NAMES[t.dtype.name] for _, t in named]
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {names[0]} key.dtype: "
            f"{names[1]} and value.dtype: {names[2]} instead."
        )
    if attn_mask is not None:
        if is_causal:
            raise RuntimeError(
                "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
            )
        if attn_mask._data.dtype.kind != "b" and attn_mask._data.dtype not in (query._data.dtype, np.dtype(np.float32)):
            names = [C_NAMES[t.dtype.name] for t in (attn_mask, query)]
            raise RuntimeError(
                "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
                f"{names[0]} and  query.dtype: {names[1]} instead."
            )
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p:g}")
    (*_, e), (*_, s, e2), (*_, s2, _) = (t._data.shape for _, t in named)
    if e != e2:
        batch = math.prod(query._data.shape[:-2])
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {e}] but got: [{batch}, {e2}]."
        )
    if s != s2:
        batch = math.prod(query._data.shape[:-2])
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {s}] but got: [{batch}, {s2}]."
        )


__all__: list[str] = []
