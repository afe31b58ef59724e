"""In-place fillers: zero_, fill_, and the random ones. They overwrite every element, so no gradient passes through
them.
"""

import functools
import math
import warnings

import numpy as np

from .. import dtypes, random, sampling
from ..autograd.inplace import assign, check_history, check_inplace, replace_memory
from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import Tensor, counter, wrap
from ..devices import META, namespace, scope
from .arguments import need_tensor
from .pointwise import no_gradient

C_NAMES = {  # the names that PyTorch's texts use for values
    "bool": "bool", "uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t",
    "uint16": "uint16_t", "uint32": "uint32_t", "uint64": "uint64_t", "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float", "float64": "double", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip
BOUND_NAMES = {
    **C_NAMES,
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "int64": "long",
    "float16": "Half",
}


NUMBERS = (int, float, complex, np.number, np.bool_)


def _overwriter(name: str) -> Op:
    return Op(name, lambda x, new: new, x=no_gradient)


_zero, _fill, _uniform, _normal = (
    _overwriter(f"{n}Backward{k}") for n, k in (("Zero", 0), ("Fill", 2), ("Uniform", 0), ("Normal", 0))
)
_random, _bernoulli, _exponential = (
    _overwriter(f"{n}Backward{k}") for n, k in (("Random", 2), ("Bernoulli", 2), ("Exponential", 0))
)
_cauchy, _log_normal, _geometric = (_overwriter(f"{n}Backward0") for n in ("Cauchy", "LogNormal", "Geometric"))
_fill_with = Op(
    "FillBackward3",
    lambda x, value: np.broadcast_to(value.astype(x.dtype), x.shape).copy(),
    x=no_gradient,
    value=lambda g: g.sum(),
)


def element(value, d: dtypes.dtype):
    """A number as an element of dtype `d`; RuntimeError (PyTorch's text) if it does not fit."""
    if isinstance(value, Tensor):
        value = value._data.item()
    if d is dtypes.bool_:
        return d.np.type(value)
    if isinstance(value, (complex, np.complexfloating)) and not d.is_complex:
        if value.imag:
            raise _overflow(d)
        value = value.real
    if d.category == dtypes.INTEGER:
        if not math.isfinite(value):
            raise _overflow(d)
        value, bits = int(value), 8 * d.itemsize
        top = 1 << (bits - 1 if d.is_signed else bits)
        if not -top <= value < top:
            raise _overflow(d)
        return d.np.type(value if d.is_signed else value % top)
    if d.category == dtypes.FLOATING and math.isfinite(value) and abs(value) > limits(d)[1]:
        raise _overflow(d)
    return d.np.type(value)


def _overflow(d: dtypes.dtype) -> RuntimeError:
    return RuntimeError(f"value cannot be converted to type {C_NAMES[d.name]} without overflow")


@functools.cache
def limits(d: dtypes.dtype) -> tuple:
    """The least and the largest number of a dtype that is not complex."""
    if d is dtypes.bool_:
        return 0, 1
    info = dtypes.finfo(d) if d.is_floating_point else dtypes.iinfo(d)
    return info.min, info.max


def _overwrite(self: Tensor, op: Op, make) -> Tensor:
    """Replace the elements by `make()`, an array of this shape and dtype."""
    check_inplace(self)
    if self.device is META:
        return self
    if self.device.host:
        new = make()
    else:
        with scope(self.device):
            new = make()
    if mode.grad and self.requires_grad:
        return assign(self, op(self, new))
    replace_memory(self, wrap(new, self.device))
    counter(self)[0] += 1
    return self


def zero_(self):
    """Set every element to 0."""
    need_tensor(self, "zero_", "input", 1)
    return _constant(self, _zero, 0)


def fill_(self, value):
    """Set every element to `value`, a number or a tensor of no dimensions."""
    need_tensor(self, "fill_", "input", 1)
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {value._data.ndim} dimensions."
            )
        if mode.grad and value.requires_grad:
            check_inplace(self)
            return assign(self, _fill_with(self, value))
    elif not isinstance(value, NUMBERS):
        raise TypeError(f"fill_(): argument 'value' (position 1) must be Number, not {type(value).__name__}")
    return _constant(self, _fill, element(value, self.dtype))


def _constant(self, op, value):
    check_history(self)
    if self.device is META:
        return self
    with scope(self.device):
        if mode.grad and self.requires_grad:
            return assign(self, op(self, namespace(self.device).full(self._data.shape, value, self._data.dtype)))
        self._data[...] = value
    counter(self)[0] += 1
    return self


def fill_diagonal_(self, fill_value, wrap=False):
    """Set the main diagonal to `fill_value`; `wrap` begins it again below a square in a tall matrix."""
    shape = self._data.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")

    def make():
        new = self._data.copy()
        namespace(self.device).fill_diagonal(new, element(fill_value, self.dtype), wrap)
        return new

    return _overwrite(self, _fill_diagonal, make)


_fill_diagonal = Op("FillDiagonalBackward0", lambda x, new: new, x=lambda g: fill_diagonal_(g.clone(), 0))


# -- random ----------------------------------------------------------------------------------------------------------
def _draw(self: Tensor, op: Op, generator, sampler, *args) -> Tensor:
    """Overwrite by `sampler(stream, shape, dtype, *args)`, in the order in which the elements lie in memory."""
    if self.device is META:
        check_inplace(self)
        return self
    words = random.stream(generator, self.device)

    def make():
        data = self._data
        if data.flags.c_contiguous:
            return sampler(words, data.shape, data.dtype, *args)
        order = sorted(range(data.ndim), key=lambda i: -data.strides[i])
        drawn = sampler(words, tuple([data.shape[i] for i in order]), data.dtype, *args)
        return drawn.transpose(np.argsort(order).tolist())

    return _overwrite(self, op, make)


def _require_floating(self, kernel: str, complex_too=False):
    if not (self.dtype.is_floating_point or (complex_too and self.dtype.is_complex)):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_NAMES[self.dtype]}'")


def uniform_(self, from_=0.0, to=1.0, *, generator=None, **named):
    """Numbers from [from, to). RuntimeError if from > to."""
    low, high = float(named.pop("from", from_)), float(to)
    if named:
        raise TypeError(f"uniform_() got an unexpected keyword argument '{next(iter(named))}'")
    _require_floating(self, "check_uniform_bounds", complex_too=True)
    if (low, high) != (0.0, 1.0):
        _check_range(self, low, high)
    return _draw(self, _uniform, generator, sampling.uniform, low, high)


def _check_range(self, low: float, high: float) -> None:
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    limit = dtypes.finfo(self.dtype.to_real()).max
    for name, value in (("from", low), ("to", high)):
        if not -limit <= value <= limit:
            raise RuntimeError(f"{name} is out of bounds for {BOUND_NAMES[self.dtype.name]}")
    if high - low > limit:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{dtypes.SCALAR_NAMES[self.dtype]}>::max(), but found "
            f"to={high:g} and from={low:g} which result in to-from to exceed the limit"
        )


def normal_(self, mean=0.0, std=1.0, *, generator=None):
    """Normally distributed numbers. RuntimeError if std < 0."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    _require_floating(self, "normal_kernel_cpu", complex_too=True)
    contiguous = self._data.flags.c_contiguous
    return _draw(self, _normal, generator, sampling.normal, float(mean), float(std), contiguous)


def log_normal_(self, mean=1.0, std=2.0, *, generator=None):
    """exp of normally distributed numbers. RuntimeError unless std > 0."""
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    _require_floating(self, "log_normal_cpu")
    return _draw(self, _log_normal, generator, sampling.log_normal, float(mean), float(std))


def exponential_(self, lambd=1.0, *, generator=None):
    """Exponentially distributed numbers of rate `lambd`. RuntimeError unless lambd > 0."""
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    if not self.dtype.is_floating_point:
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {dtypes.SCALAR_NAMES[self.dtype]}"
        )
    return _draw(self, _exponential, generator, sampling.exponential, float(lambd))


def cauchy_(self, median=0.0, sigma=1.0, *, generator=None):
    """Numbers of a Cauchy distribution. RuntimeError unless sigma > 0."""
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    if not self.dtype.is_floating_point:
        raise RuntimeError(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {dtypes.SCALAR_NAMES[self.dtype]}"
        )
    return _draw(self, _cauchy, generator, sampling.cauchy, float(median), float(sigma))


def geometric_(self, p, *, generator=None):
    """The number of trials until the first success, of probability `p`. RuntimeError unless 0 < p < 1."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if self.dtype.category not in (dtypes.INTEGER, dtypes.FLOATING):
        raise NotImplementedError(f"\"geometric_cpu\" not implemented for '{dtypes.SCALAR_NAMES[self.dtype]}'")
    return _draw(self, _geometric, generator, sampling.geometric, float(p))


def bernoulli_(self, p=0.5, *, generator=None):
    """1 with probability `p` (a number, or a tensor that broadcasts to this shape), else 0."""
    if isinstance(p, Tensor):
        return _draw(self, _bernoulli, generator, _weighted_coins, _probabilities(p, self._data.shape, self.device))
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    return _draw(self, _bernoulli, generator, _coins, float(p))


def _coins(stream, shape, dtype, p):
    return sampling.bernoulli(stream, shape, p).astype(dtype)


def _weighted_coins(stream, shape, dtype, p):
    return sampling.bernoulli(stream, p.shape, p).astype(dtype).reshape(shape)


def _probabilities(p: Tensor, shape: tuple, where):
    """The array of `p` broadcast to `shape`, checked."""
    if not p.dtype.is_floating_point:
        raise NotImplementedError(f"\"bernoulli_tensor_cpu_p_\" not implemented for '{dtypes.SCALAR_NAMES[p.dtype]}'")
    data = p.detach().to(where)._data
    if data.size and not bool(((data >= 0) & (data <= 1)).all()):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    return data if data.shape == shape else namespace(where).broadcast_to(data, shape)


def random_(self, *bounds, generator=None, **named):
    """Integers: random_() up to the largest that the dtype holds exactly, random_(to) from [0, to), or (from, to)."""
    low, high = named.pop("from", 0), named.pop("to", None)
    if named:
        raise TypeError(f"random_() got an unexpected keyword argument '{next(iter(named))}'")
    if not bounds and low == 0 and high is None:
        if self.dtype.is_complex or self.dtype.name in ("uint16", "uint32", "uint64"):
            raise NotImplementedError(f"\"random_kernel_cpu\" not implemented for '{dtypes.SCALAR_NAMES[self.dtype]}'")
        return _draw(self, _random, generator, sampling.any_integers)
    if len(bounds) == 2:
        low, high = bounds
    elif bounds:
        high = bounds[0]
    low, high = integer_bounds(self.dtype, int(low), None if high is None else int(high))
    return _draw(self, _random, generator, sampling.integers, low, high)


def integer_bounds(d: dtypes.dtype, low: int, high: int | None) -> tuple[int, int]:
    """[low, high) as `d` can hold it; RuntimeError (PyTorch's texts) if it cannot."""
    if d.is_complex:
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    least, most = limits(d)
    bits = sampling.digits(d.np) if d.is_floating_point else 0
    if high is None:
        if low == -(1 << 63):
            return low, 1 << 63
        high = (1 << bits) + 1 if d.is_floating_point else most + 1
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    for name, value in (("from", low), ("to - 1", high - 1)):
        if not least <= value <= most:
            raise RuntimeError(f"{name} is out of bounds for {BOUND_NAMES[d.name]}")
        if d.is_floating_point and abs(value) > 1 << bits:
            warnings.warn(
                f"{name} is out of bounds [-(2^{bits}), 2^{bits}]. Due to precision limitations {BOUND_NAMES[d.name]} "
                "can support discrete uniform distribution only within this range.",
                stacklevel=3,
            )
    if d.is_floating_point and int(d.np.type(high - 1)) >= high:  # the largest would round up to `high`
        high = int(d.np.type(high - 1)) - (1 << (high - 1).bit_length() - bits)
    return low, high


__all__ = [
    "bernoulli_", "cauchy_", "element", "exponential_", "fill_", "fill_diagonal_", "geometric_", "log_normal_",
    "normal_", "random_", "uniform_", "zero_",
]  # fmt: skip
