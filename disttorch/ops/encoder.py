"""A Transformer's encoder layer as one operation, where nobody records (Vaswani et al., 2017, section 3.1).

Letters: N batch, L positions, E features, H heads.
"""

from ..autograd.mode import mode
from ..autograd.variable import Tensor, wrap
from .attention import _causal, _masking
from .matmul import kernels_of

PRECISIONS = ("float32", "float64")  # 16 bits are rounded after each part


def encoder_layer(
    x, num_heads, weights, activation, norm_first, eps, mask=None, key_padding_mask=None, is_causal=False
):  # fmt: skip
    """The layer's output (N, L, E) for x (N, L, E); None where its parts have to compute it: while operations are
    recorded, off the CPU, and for arguments that do not fit.

    weights: weight and bias of the projection to queries, keys and values, of that of the output, of both norms and of
    both linear maps; activation: "relu" or "gelu"; masks as those of `multi_head_attention_forward`.
    """
    data, arrays = x._data, [w._data for w in weights]
    if mode.grad or type(x) is not Tensor or not x.device.host or not _fit(data, num_heads, arrays):
        return None
    bias = None
    if mask is not None or key_padding_mask is not None or is_causal:
        added = _added(data, num_heads, mask, key_padding_mask, is_causal)
        if added is None:
            return None
        bias = sum(added[1:], added[0])
    y = kernels_of(data).encoder_layer_forward(data, num_heads, arrays, activation, norm_first, eps, bias)
    return wrap(y, x.device)


def _fit(x, num_heads, weights):
    """Whether the arrays are of one precision, and of shapes that belong together."""
    if (
        x.ndim != 3
        or x.shape[2] % num_heads
        or x.dtype.name not in PRECISIONS
        or any(w.dtype != x.dtype for w in weights)
    ):
        return False
    e, f = x.shape[2], weights[8].shape[0]
    shapes = (3 * e, e), (3 * e,), (e, e), (e,), (e,), (e,), (e,), (e,), (f, e), (f,), (e, f), (e,)
    return [w.shape for w in weights] == list(shapes)


def _added(x, num_heads, mask, key_padding_mask, is_causal):
    """What each mask adds to the scores (N, H, L, L); None if one does not fit."""
    n, length, _ = x.shape
    if is_causal and mask is None:  # an error
        return None
    if is_causal and key_padding_mask is None:
        return [_causal(length, length, x.dtype)[None, None]]
    whole = {(length, length): (1, 1, length, length), (n * num_heads, length, length): (n, num_heads, length, length)}
    padding = {(n, length): (n, 1, 1, length)}
    given = [(m._data, places) for m, places in ((mask, whole), (key_padding_mask, padding)) if m is not None]
    kinds = {m.dtype for m, _ in given}
    if len(kinds) > 1 or kinds.pop().name not in ("bool", x.dtype.name) or any(m.shape not in p for m, p in given):
        return None
    placed = [m.reshape(places[m.shape]) for m, places in given]
    return [_masking(~m, x.dtype) if m.dtype.kind == "b" else m for m in placed]


__all__: list[str] = []
