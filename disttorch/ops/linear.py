"""Linear and bilinear maps of the last dimension."""

from .. import dtypes
from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..devices import scope
from .activation import gelu, relu
from .arguments import C_NAMES, need_tensor
from .fused import fused
from .joining import cat
from .matmul import _mm, kernels_of, matmul


def _forward(x, w, b):
    return kernels_of(x).linear_forward(x, w, b)


def _rule(g, needs, x, w, into=()):
    """Gradients of bias, x and w: g summed over rows, g @ w, g^T @ x."""
    if not mode.grad and g._data.dtype.kind != "c":
        gx, gw, gb = fused("linear_backward", g, x, w, (needs[1], needs[2], needs[0]), into[2] if into else None)
        return gb, gx, gw
    rows, flat = g, x
    if x._data.ndim != 2:
        rows, flat = g.reshape(-1, g._data.shape[-1]), x.reshape(-1, x._data.shape[-1])
    gx = _mm(rows, w.conj()) if needs[1] else None
    if gx is not None and flat is not x:
        gx = gx.reshape(x._data.shape)
    gw = _mm(rows.t(), flat.conj()) if needs[2] else None
    return rows.sum(0) if needs[0] else None, gx, gw


# The bias is the first edge, as of PyTorch's addmm.
_linear = Op("AddmmBackward0", _forward, joint=_rule, inputs=("b", "x", "w"))
_linear_plain = Op("MmBackward0", _forward, joint=_rule, inputs=("b", "x", "w"))


def _parts_rule(g, needs, x, w):
    if mode.grad or g[0]._data.dtype.kind == "c":
        return _rule(cat(g, -1), needs, x, w)
    kernels, where = kernels_of(x._data), x.device
    with scope(where):
        found = kernels.linear_parts_backward([t._data for t in g], x._data, w._data, (needs[1], needs[2], needs[0]))
    gx, gw, gb = (None if a is None else wrap(a, where) for a in found)
    return gb, gx, gw


def _parts_forward(x, w, b):
    kernels, each = kernels_of(x), len(w) // 3
    own = [slice(k * each, (k + 1) * each) for k in range(3)]
    return tuple([kernels.linear_forward(x, w[at], None if b is None else b[at]) for at in own])


# Three products on a third of the weights each take no longer than one, and leave nothing to cut apart.
_parts = Op("AddmmBackward0", _parts_forward, outputs=("q", "k", "v"), joint=_parts_rule, inputs=("b", "x", "w"))


def projections(input, weight, bias=None):
    """linear(input, weight, bias) in three equal parts of the last dimension, each contiguous."""
    x, w = input._data, weight._data
    if (
        x.ndim != 3
        or x.shape[-1] != w.shape[1]
        or x.dtype != w.dtype
        or (bias is not None and bias._data.dtype != w.dtype)
    ):
        return linear(input, weight, bias).chunk(3, -1)
    return _parts(input, weight, bias)


def _relu_rule(g, needs, x, w, out):
    if mode.grad:
        return _rule(g.masked_fill(out.detach() == 0, 0), needs, x, w)
    return _rule(fused("relu_backward", g, out), needs, x, w)


_linear_relu = Op(
    "ReluBackward0",
    lambda x, w, b: kernels_of(x).linear_forward(x, w, b, "relu"),
    joint=_relu_rule,
    inputs=("b", "x", "w"),
)


def linear_activated(input, weight, bias, activation):
    """relu or gelu of linear(input, weight, bias), in one pass where the gradient does not need what lies between."""
    x, w = input._data, weight._data
    plain = bias is not None and x.ndim > 1 and x.shape[-1] == w.shape[1] and x.dtype == w.dtype == bias._data.dtype
    if plain and x.dtype.kind == "f":
        if activation == "relu":
            return _linear_relu(input, weight, bias)
        if not mode.grad:
            with scope(input.device):
                return wrap(kernels_of(x).linear_forward(x, w, bias._data, "gelu"), input.device)
    y = linear(input, weight, bias)
    return relu(y) if activation == "relu" else gelu(y)


def linear(input, weight, bias=None):
    """input @ weight.T + bias: (*, in), (out, in), (out,) -> (*, out)."""
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor)):
        need_tensor(input, "linear", "input", 1)
        need_tensor(weight, "linear", "weight", 2)
    x, w = input._data, weight._data
    shape = w.shape
    if len(shape) == 2 and x.shape[-1:] == shape[1:] and x.dtype is w.dtype:
        if bias is None:
            return _linear_plain(input, weight, None)
        b = bias._data
        if b.shape == shape[:1] and b.dtype is w.dtype:
            return _linear(input, weight, bias)
    return _unusual_linear(input, weight, bias)


def _unusual_linear(input, weight, bias):
    """A weight that is a vector, a bias to be broadcast, equal dtypes that are two objects, or an error."""
    x, w = input._data, weight._data
    if not x.ndim or not w.ndim:
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {x.ndim}D and {w.ndim}D")
    if w.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {w.ndim}D")
    if w.ndim == 1 and bias is not None:
        raise RuntimeError("mat2 must be a matrix, got 1-D tensor")
    if w.ndim == 2 and x.shape[-1] != w.shape[1]:
        rows = x.size // x.shape[-1] if x.shape[-1] else 0
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{x.shape[-1]} and {w.shape[1]}x{w.shape[0]})"
        )
    if bias is not None and bias._data.dtype != w.dtype:
        names = [dtypes.SCALAR_NAMES[t.dtype] for t in (bias, weight)]
        raise RuntimeError("self and mat2 must have the same dtype, but got {} and {}".format(*names))
    if x.dtype != w.dtype:
        if bias is not None:
            names = [dtypes.SCALAR_NAMES[t.dtype] for t in (input, weight)]
            raise RuntimeError("mat1 and mat2 must have the same dtype, but got {} and {}".format(*names))
        names = [C_NAMES[t.dtype.name] for t in (input, weight)]
        raise RuntimeError("expected m1 and m2 to have the same dtype, but got: {} != {}".format(*names))
    if w.ndim == 1:
        return matmul(input, weight)
    y = _linear_plain(input, weight, None)
    return y if bias is None else y + bias.expand(*x.shape[:-1], w.shape[0])


def bilinear(input1, input2, weight, bias=None):
    """out[*, k] = input1[*, :] @ weight[k] @ input2[*, :] + bias[k]: (*, in1), (*, in2), (out, in1, in2) -> (*,
    out).
    """
    need_tensor(input1, "bilinear", "input1", 1)
    need_tensor(input2, "bilinear", "input2", 2)
    need_tensor(weight, "bilinear", "weight", 3)
    a, b, w = input1._data, input2._data, weight._data
    if a.ndim != b.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {a.ndim} and {b.ndim}")
    for d in range(a.ndim - 1):
        if a.shape[d] != b.shape[d]:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {d}: got {a.shape[d]} and {b.shape[d]}"
            )
    for k, (t, name) in enumerate(((a, "input1"), (b, "input2")), 1):
        if t.shape[-1] != w.shape[k]:
            raise RuntimeError(
                f"bilinear(): {name} size does not match weight size: got {t.shape[-1]} but expected {w.shape[k]}"
            )
    if bias is not None and bias._data.shape[0] != w.shape[0]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias._data.shape[0]} but expected {w.shape[0]}"
        )
    out, n1, n2 = w.shape
    left = _mm(input1.reshape(-1, n1), weight.permute(1, 0, 2).reshape(n1, out * n2)).reshape(-1, out, n2)
    result = matmul(left, input2.reshape(-1, n2, 1)).reshape(*a.shape[:-1], out)
    return result if bias is None else result + bias


__all__ = ["bilinear"]
