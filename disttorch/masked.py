"""torch.masked: reductions and normalizations over the elements that a mask keeps.

`mask` is a tensor of bools (other dtypes are converted), True where an element counts, broadcast to the input's shape;
without one everything counts. What is masked out is replaced by the operation's identity: 0 in a sum, -inf in a
maximum; a mean of nothing is NaN. `dim` is one dimension, several, or None for all; `dtype` that of the result.
"""

from . import dtypes, ops
from .autograd.variable import Tensor
from .ops.dims import axis
from .ops.norms import vector_norm

_SMALL_INTEGERS = (dtypes.bool_, dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32)


# -- what is masked out -----------------------------------------------------------------------------------------------
def _mask(input: Tensor, mask: Tensor) -> Tensor:
    """The mask as bools in the input's shape. IndexError for one with more dimensions."""
    if mask.ndim > input.ndim:
        raise IndexError("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)")
    return ops.broadcast_to(mask, input.shape).to(dtypes.bool_)


def _filled(input: Tensor, mask: Tensor | None, value) -> Tensor:
    return input if mask is None else ops.where(_mask(input, mask), input, value)


def _lowest(name: str, input: Tensor):
    """The identity of a maximum. NotImplementedError where there is none."""
    d = input.dtype
    if d.is_floating_point:
        return -float("inf")
    if d.is_complex or d is dtypes.bool_:
        raise NotImplementedError(f"identity of {name} on {d} input")
    return dtypes.iinfo(d).min


def _highest(name: str, input: Tensor):
    lowest = _lowest(name, input)
    return -lowest if input.dtype.is_floating_point else dtypes.iinfo(input.dtype).max


def _below(name: str, input: Tensor, mask: Tensor | None) -> Tensor:
    """The input, with what no maximum chooses where it is masked out."""
    return input if mask is None else _filled(input, mask, _lowest(name, input))


def _above(name: str, input: Tensor, mask: Tensor | None) -> Tensor:
    """The input, with what no minimum chooses where it is masked out."""
    return input if mask is None else _filled(input, mask, _highest(name, input))


def _dims(dim, ndim: int) -> tuple:
    """The dimensions to reduce, sorted. RuntimeError for one that is named twice."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    found = [axis(d, max(ndim, 1)) for d in ([dim] if isinstance(dim, int) else dim)]
    for nr, d in enumerate(found):
        if d in found[:nr]:
            raise RuntimeError(f"dim={d} appears multiple times in the list of dims")
    return tuple(sorted(found))


def _one(dim, ndim: int) -> int:
    return _dims(dim, ndim)[0]


def _total_dtype(input: Tensor, dtype):
    return dtype or (dtypes.int64 if input.dtype in _SMALL_INTEGERS else input.dtype)


def _count(input: Tensor, dim, keepdim, mask: Tensor | None) -> Tensor:
    """How many elements each result is made of."""
    kept = input.new_ones(input.shape, dtype=dtypes.bool_) if mask is None else _mask(input, mask)
    return ops.sum(kept, _dims(dim, input.ndim), bool(keepdim))


# -- reductions -------------------------------------------------------------------------------------------------------
def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Sum of the elements that are kept, 0 where there are none. Small integers are added as int64."""
    x = _filled(input, mask, 0)
    return ops.sum(x, _dims(dim, input.ndim), bool(keepdim), dtype=_total_dtype(input, dtype))


def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Product of the elements that are kept, 1 where there are none. Small integers are multiplied as int64."""
    x = _filled(input, mask, 1).to(_total_dtype(input, dtype))
    for d in reversed(_dims(dim, input.ndim)):
        x = ops.prod(x, d, bool(keepdim))
    return x


def amax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The largest element that is kept; -inf, or the least integer, where there are none."""
    x = _below("amax", input, mask)
    return ops.amax(x, _dims(dim, input.ndim), bool(keepdim)).to(dtype or input.dtype)


def amin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The smallest element that is kept; inf, or the largest integer, where there are none."""
    x = _above("amin", input, mask)
    return ops.amin(x, _dims(dim, input.ndim), bool(keepdim)).to(dtype or input.dtype)


def argmax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Where the largest element that is kept stands; in the flattened input without `dim`. In the input's dtype."""
    x = _below("argmax", input, mask)
    return ops.argmax(x, dim, bool(keepdim)).to(dtype or input.dtype)


def argmin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Where the smallest element that is kept stands; in the flattened input without `dim`. In the input's dtype."""
    x = _above("argmin", input, mask)
    return ops.argmin(x, dim, bool(keepdim)).to(dtype or input.dtype)


def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Mean of the elements that are kept, NaN where there are none. ValueError unless the result is floating."""
    d = dtype or input.dtype
    if not (d.is_floating_point or d.is_complex):
        raise ValueError(
            f"mean(): Could not infer output dtype. {'Input' if dtype is None else 'Optional'} dtype must be either "
            f"a floating point or complex dtype. Got: {d}"
        )
    return sum(input, dim, keepdim=keepdim, dtype=d, mask=mask) / _count(input, dim, keepdim, mask)


def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    """The lower median of the elements that are kept, NaN where there are none: ValueError then for integers."""
    floating = input.dtype.is_floating_point
    x = _filled(input if floating else input.to(dtypes.float32), mask, float("nan"))
    values = ops.nanmedian(x, _one(dim, input.ndim), keepdim).values
    if floating:
        return values
    if bool(ops.isnan(values).any()):
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return values.to(dtype or input.dtype)


def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """log(sum(exp(...))) of the elements that are kept; -inf where there are none."""
    if mask is not None:
        input = _filled(input, mask, -float("inf") if input.dtype.is_complex else _lowest("logsumexp", input))
    return ops.logsumexp(input, _dims(dim, input.ndim), keepdim).to(dtype or input.dtype)


def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    """log(exp(input) + exp(other)), each without the elements that its own mask leaves out."""
    x = _below("logaddexp", input, input_mask)
    y = _below("logaddexp", other, other_mask)
    return ops.logaddexp(x, y).to(dtype or input.dtype)


def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The vector norm of the elements that are kept; 0 where there are none, inf for ord=-inf."""
    ord = 2.0 if ord is None else ord
    x = _filled(input, mask, float("inf") if ord == -float("inf") else 0)
    return vector_norm(x, ord, _dims(dim, input.ndim), bool(keepdim), dtype=dtype or input.dtype)


def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """Variance of the elements that are kept: squares over their number less `correction` (1 unless given)."""
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    if correction is None:
        correction = 0 if unbiased is False else 1
    d = dtype or (input.dtype if input.dtype.is_floating_point or input.dtype.is_complex else dtypes.float32)
    middle = sum(input, dim, keepdim=True, dtype=d, mask=mask) / _count(input, dim, True, mask)
    apart = input - middle
    squares = sum(apart * ops.conj(apart), dim, keepdim=keepdim, mask=mask)
    freedom = (_count(input, dim, keepdim, mask) - correction).clamp(min=0)
    return (squares / freedom).to(d)


def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """The square root of `var`."""
    return ops.sqrt(var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask))


# -- what keeps the shape ---------------------------------------------------------------------------------------------
def cumsum(input, dim, *, dtype=None, mask=None):
    """Running sum along `dim`; what is masked out adds nothing."""
    return ops.cumsum(_filled(input, mask, 0), _one(dim, input.ndim), dtype=dtype or input.dtype)


def cumprod(input, dim, *, dtype=None, mask=None):
    """Running product along `dim`; what is masked out changes nothing."""
    return ops.cumprod(_filled(input, mask, 1), _one(dim, input.ndim), dtype=dtype or input.dtype)


def softmax(input, dim, *, dtype=None, mask=None):
    """Softmax among the elements that are kept, 0 for the others; NaN where none is kept."""
    x = _below("amax", input, mask)
    return ops.softmax(x, _one(dim, input.ndim), dtype=dtype or input.dtype)


def log_softmax(input, dim, *, dtype=None, mask=None):
    """Logarithm of `softmax`."""
    x = _below("amax", input, mask)
    return ops.log_softmax(x, _one(dim, input.ndim), dtype=dtype or input.dtype)


def softmin(input, dim, *, dtype=None, mask=None):
    """Softmax of -input."""
    x = _above("amin", input, mask)
    return ops.softmax(-x, _one(dim, input.ndim), dtype=dtype or input.dtype)


def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    """The elements that are kept (0 for the others) over their norm, or over `eps` if that is larger."""
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _filled(input, mask, 0) / size.clamp(min=eps)


__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median",
    "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip
