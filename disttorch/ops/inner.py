"""Operations that PyTorch keeps to itself, which compilers and libraries call as `torch.ops.aten.<name>`."""

import math

import numpy as np

from ..autograd.variable import wrap
from ..dtypes import bool_
from .comparison import where
from .cutting import slice_of as slice
from .indexing import getitem, index_put
from .joining import cat
from .native import native_batch_norm
from .padding import pad
from .resampling import _resize
from .segments import segment_reduce as _segment_reduce
from .shape import reshape
from .softmax import softmax


# -- gradients --------------------------------------------------------------------------------------------------------
def _softmax_backward_data(grad_output, output, dim, input_dtype):
    """The gradient of softmax's input, in `input_dtype`."""
    g = grad_output * output
    return (g - output * g.sum(dim, keepdim=True)).to(input_dtype)


def native_dropout_backward(grad_output, mask, scale):
    """The gradient of dropout's input."""
    return grad_output * mask * scale


def max_pool2d_with_indices_backward(grad_output, input, kernel_size, stride, padding, dilation, ceil_mode, indices):
    """The gradient of max pooling's input (N, C, H, W) or (C, H, W), given where the maxima stood."""
    planes = input.masked_fill(input.new_ones((), dtype=bool_), 0).flatten(-2)  # which does depend on the input
    return planes.scatter_add(-1, indices.flatten(-2), grad_output.flatten(-2)).reshape(input.shape)


# -- batch normalisation ----------------------------------------------------------------------------------------------
def _native_batch_norm_legit(input, weight, bias, *settings):
    """`native_batch_norm`; the running statistics may be left out."""
    running = settings[:2] if len(settings) == 5 else (None, None)
    return native_batch_norm(input, weight, bias, *running, *settings[-3:])


def _batch_norm_with_update(input, weight, bias, running_mean, running_var, momentum, eps):
    """`native_batch_norm` in training, and the bytes that a kernel would keep for its gradient: none."""
    made = native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *made, wrap(np.empty(0, np.uint8), input.device)


# -- selection --------------------------------------------------------------------------------------------------------
def _safe_softmax(self, dim, dtype=None):
    """Softmax that gives 0 where all elements are -inf."""
    nothing = (self == -math.inf).all(dim, keepdim=True)
    return where(nothing, 0, softmax(where(nothing, 0, self), dim, dtype=dtype))


def _clamped(self, indices) -> list:
    """Indices within the tensor's bounds."""
    return [i if i is None else i.clamp(-n, n - 1) for i, n in zip(indices, self.shape, strict=False)]


def _key(indices) -> tuple:
    return tuple([np.s_[:] if i is None else i for i in indices])


def _unsafe_masked_index(self, mask, indices, fill):
    """self[indices] where the mask holds, elsewhere `fill`; the indices need hold only where the mask does."""
    return where(mask, getitem(self, _key(_clamped(self, indices))), fill)


def _unsafe_masked_index_put_accumulate(self, mask, indices, values):
    """`self` with the values added at the indices, where the mask holds."""
    return index_put(self, _clamped(self, indices), where(mask, values, 0), accumulate=True)


# -- pieces -----------------------------------------------------------------------------------------------------------
def _chunk_cat(tensors, dim, num_chunks, *, out=None):
    """Each tensor padded with zeros and cut into `num_chunks` along `dim`, flattened from there on; joined by chunk."""
    if num_chunks <= 0:
        raise RuntimeError("_chunk_cat expects positive num_chunks")
    if not tensors:
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    if any(t.numel() == 0 for t in tensors):
        raise RuntimeError("_chunk_cat expects non-empty tensor")
    if dim < 0 and len({t.ndim for t in tensors}) > 1:
        raise RuntimeError("_chunk_cat expects non-negative dim when input tensors have different ndims")
    parts = []
    for t in tensors:
        d = dim % t.ndim
        missing = -t.shape[d] % num_chunks
        padded = pad(t, [0, 0] * (t.ndim - 1 - d) + [0, missing]) if missing else t
        parts.append(reshape(padded, *t.shape[:d], num_chunks, -1))
    return cat(parts, dim % tensors[0].ndim + 1, out=out)


def _upsample_bilinear2d_aa(
    input, output_size, align_corners, scale_factors=None, scales_h=None, scales_w=None
):  # fmt: skip
    """(N, C, H, W) resized bilinearly with antialiasing, to a size or by scales."""
    scales = list(scale_factors) if scale_factors is not None else [scales_h, scales_w]
    sizes = output_size
    if sizes is None:
        sizes = [math.floor(n * s) for n, s in zip(input.shape[2:], scales, strict=True)]
    return _resize(input, tuple(sizes), scales, "bilinear", align_corners, True)


__all__ = [
    "_batch_norm_with_update", "_chunk_cat", "_native_batch_norm_legit", "_safe_softmax", "_segment_reduce",
    "_softmax_backward_data", "_unsafe_masked_index", "_unsafe_masked_index_put_accumulate", "_upsample_bilinear2d_aa",
    "max_pool2d_with_indices_backward", "native_dropout_backward", "slice",
]  # fmt: skip
