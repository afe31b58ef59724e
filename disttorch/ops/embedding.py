"""Tables looked up by index: embedding, bags of embeddings, one-hot vectors."""

import numpy as np

from ..autograd.mode import no_grad
from ..autograd.op import Op
from ..autograd.variable import Tensor, counter, wrap
from ..devices import namespace
from ..kernels.portable.precision import is_narrow
from ..kernels.portable.scatter import are_within
from .arguments import need_tensor
from .matmul import kernels_of

_lookup = Op(
    "EmbeddingBackward0",
    lambda weight, indices, padding_idx, by_frequency: weight.take(indices, axis=0),
    weight=lambda g, weight_shape, indices, padding_idx, by_frequency: _added_rows(
        _scaled_by_frequency(g, indices) if by_frequency else g, indices, weight_shape[0], padding_idx
    ),
)
_added_rows = Op(
    "EmbeddingDenseBackwardBackward0",
    lambda rows, indices, count, padding_idx: kernels_of(rows).embedding_backward(rows, indices, count, padding_idx),
    rows=lambda g, indices, padding_idx: _rows_but_padding(g, indices, padding_idx),
)


def _rows_but_padding(g, indices, padding_idx):
    rows = _lookup(g, indices, None, False)
    return rows if padding_idx is None else rows.masked_fill((indices == padding_idx).unsqueeze(-1), 0)


def _scaled_by_frequency(g, indices):
    _, place, counts = np.unique(indices._data, return_inverse=True, return_counts=True)
    return g / wrap(counts[place].reshape(indices._data.shape).astype(g._data.dtype), g.device).unsqueeze(-1)


def _check(indices, weight, function):
    kind = indices._data.dtype
    if kind.kind != "i" or kind.itemsize < 4:
        place = "torch.cuda." if indices.device.type == "cuda" else "torch."
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{place}{indices.dtype.type_name} instead (while checking arguments for {function})"
        )
    if weight._data.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")


def _check_range(data, rows):
    """IndexError for an index outside of the table."""
    if not are_within(data, rows):
        raise IndexError("index out of range in self")


def _check_padding(padding_idx, rows):
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % rows


def embedding(
    input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False
):  # fmt: skip
    """Rows of `weight` (rows, D) at `input` (*, int64 or int32) -> (*, D).

    padding_idx: a row that gets no gradient. max_norm: the rows looked up are first scaled down, in place, to this
    p-norm (`norm_type`). scale_grad_by_freq divides a row's gradient by its count in the batch. `sparse` gradients are
    dense here. IndexError for an index outside of the table.
    """
    need_tensor(input, "embedding", "indices", 2)
    need_tensor(weight, "embedding", "weight", 1)
    indices, rows = input._data, weight._data.shape[0] if weight._data.ndim else 0
    padding_idx = _check_padding(padding_idx, rows)
    if indices.dtype != np.int64 or weight._data.ndim != 2:
        _check(input, weight, "embedding")
    _check_range(indices, rows)
    if max_norm is not None:
        renorm_rows(weight, indices, max_norm, norm_type)
    return _lookup(weight, input, padding_idx, bool(scale_grad_by_freq))


def renorm_rows(weight: Tensor, indices, max_norm: float, norm_type: float) -> None:
    """Scale the rows at `indices` down to a p-norm of at most `max_norm`, in place."""
    with no_grad():
        at = np.unique(indices)
        rows = weight._data[at]
        norms = (np.abs(rows) ** norm_type).sum(-1) ** (1 / norm_type) if norm_type != np.inf else np.abs(rows).max(-1)
        big = norms > max_norm
        weight._data[at[big]] = rows[big] * (max_norm / (norms[big, None] + 1e-7)).astype(rows.dtype)
        counter(weight)[0] += 1


def embedding_bag(
    input, weight, offsets=None, max_norm=None, norm_type=2, scale_grad_by_freq=False, mode="mean", sparse=False,
    per_sample_weights=None, include_last_offset=False, padding_idx=None,
):  # fmt: skip
    """Sums, means or maxima of bags of rows of `weight` (rows, D) -> (bags, D).

    input (B, N): B bags of N indices; input (N,) with offsets (B,): a bag starts at each offset (`include_last_offset`:
    and the last offset is the end). per_sample_weights (as input) scale the rows, mode "sum" only. Rows `padding_idx`
    do not count.
    """
    if per_sample_weights is not None and input._data.shape != per_sample_weights._data.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(per_sample_weights._data.shape)}) is not None, then it must "
            f"have the same shape as the input ({list(input._data.shape)})"
        )
    _check_padding_range(padding_idx, weight)
    starts = _bag_starts(input, offsets, include_last_offset)
    _check_bag_mode(mode, scale_grad_by_freq, sparse, per_sample_weights)
    input = input.reshape(-1)
    _check(input, weight, "embedding_bag")
    padding = None if padding_idx is None else padding_idx % weight._data.shape[0]
    if max_norm is not None:
        renorm_rows(weight, input._data, max_norm, norm_type)
    rows = embedding(input, weight, padding, scale_grad_by_freq=scale_grad_by_freq)
    if is_narrow(rows._data.dtype):
        rows = rows.float()  # rounded once, at the end
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    bags = len(starts)
    ends = np.append(starts[1:], input._data.size)
    bag_of = np.repeat(np.arange(bags), ends - starts)
    kept = np.ones(input._data.size, bool) if padding is None else input._data != padding
    if not kept.all():
        rows = rows[wrap(np.flatnonzero(kept), input.device)]
        bag_of = bag_of[kept]
    if mode == "max":
        return _bag_max(rows, bag_of, bags, weight).to(weight.dtype)
    total = rows.new_zeros((bags, weight._data.shape[1])).index_add(0, wrap(bag_of, weight.device), rows)
    if mode == "mean":
        counts = np.maximum(np.bincount(bag_of, minlength=bags), 1).astype(rows._data.dtype)
        total = total / wrap(counts, weight.device).unsqueeze(-1)
    return total.to(weight.dtype)


def _bag_starts(input, offsets, include_last_offset):
    """Where each bag starts among all indices, as an array. ValueError and RuntimeError (PyTorch's texts)."""
    ndim, size = input._data.ndim, input._data.size
    if ndim not in (1, 2):
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {ndim}")
    if ndim == 2 and offsets is not None:
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
            f"sequences. However, found offsets of type {type(offsets)}"
        )
    if ndim == 2:
        bags, length = input._data.shape
        return np.arange(bags, dtype=np.int64) * length
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets._data.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    starts = offsets._data.astype(np.int64)
    starts = starts[:-1] if include_last_offset else starts
    if len(starts) and starts[0]:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
            f"However, got {int(starts[0])}"
        )
    if len(starts) and starts[-1] > size:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({size}) but got offsets[-1] of {int(starts[-1])}"
        )
    return starts


def _check_bag_mode(mode, scale_grad_by_freq, sparse, per_sample_weights):
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got "
            f"mode='{mode}'). Please open a feature request on GitHub."
        )


def _check_padding_range(padding_idx, weight):
    rows = weight._data.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise RuntimeError(
            f"padding_idx must be within the number of embeddings, -{rows} through {rows - 1}, but got {padding_idx}"
        )


def _bag_max(rows, bag_of, bags, weight):
    """The elementwise maximum of each bag's rows: its first largest element is picked."""
    width = weight._data.shape[1]
    winners = np.zeros((bags, width), np.int64)
    filled = np.zeros(bags, bool)
    for bag in range(bags):
        members = np.flatnonzero(bag_of == bag)
        if members.size:
            winners[bag] = members[rows._data[members].argmax(0)]
            filled[bag] = True
    if not rows._data.shape[0]:
        return rows.new_zeros((bags, width)) + rows.sum()
    return rows.gather(0, wrap(winners, weight.device)).masked_fill(wrap(~filled, weight.device).unsqueeze(-1), 0)


def one_hot(tensor, num_classes=-1):
    """int64 vectors of `num_classes` (by default the largest index + 1) zeros with a one at each index: (*) -> (*,
    classes).
    """
    need_tensor(tensor, "one_hot", "tensor", 1)
    data = tensor._data
    if data.dtype != np.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if not data.size:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return wrap(np.zeros((*data.shape, num_classes), np.int64), tensor.device)
    if data.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    top = int(data.max())
    if num_classes == -1:
        num_classes = top + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif num_classes <= top:
        raise RuntimeError("Class values must be smaller than num_classes.")
    xp = namespace(tensor.device)
    vectors = xp.zeros((data.size, num_classes), np.int64)
    vectors[xp.arange(data.size), data.reshape(-1)] = 1
    return wrap(vectors.reshape(*data.shape, num_classes), tensor.device)


__all__: list[str] = []
