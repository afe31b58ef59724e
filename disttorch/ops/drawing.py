"""Making tensors of random numbers, on the device's own generator unless one is given."""

import numpy as np

from .. import dtypes, random, sampling
from ..autograd.inplace import write
from ..autograd.op import Op
from ..autograd.variable import Tensor, wrap
from ..devices import resolve, scope
from ..layouts import contiguous_format
from . import fill
from .arguments import need_tensor
from .creation import EMPTY, as_dtype, as_shape, created, empty, empty_like, leaf, sized
from .pointwise import no_gradient
from .shape import broadcast_shapes, broadcast_tensors

# By filler: what draws, for which kinds of dtypes, and what it is told besides.
_SAMPLERS = {
    fill.uniform_: (sampling.uniform, "fc", (0.0, 1.0)),
    fill.normal_: (sampling.normal, "fc", ()),
    fill.random_: (sampling.integers, "iu", ()),
}

_bernoulli = Op("BernoulliBackward0", lambda p, new: new, p=no_gradient)
_normal_by_mean = Op("NormalBackward1", lambda mean, new: new, mean=no_gradient)
_normal_by_std = Op("NormalBackward2", lambda std, new: new, std=no_gradient)
_binomial = Op("BinomialBackward0", lambda count, prob, new: new, count=no_gradient, prob=no_gradient)
_poisson = Op("PoissonBackward0", lambda rate, new: new, rate=no_gradient)


def _drawn(shape, filler, args, generator, out, dtype, layout, device, requires_grad) -> Tensor:
    if out is None and layout is None:
        d, where = as_dtype("empty", dtype) or dtypes.get_default_dtype(), resolve(device)
        sampler, kinds, settings = _SAMPLERS[filler]
        if where.host and d.np.kind in kinds:  # at once, without a tensor to be overwritten
            if filler is fill.random_:
                args = fill.integer_bounds(d, *args)
            return leaf(
                wrap(sampler(random.stream(generator, where), shape, d.np, *args, *settings), where), requires_grad
            )
    t = created("empty", shape, EMPTY, None, dtype or (out.dtype if out is not None else None), layout, device, False)
    filler(t, *args, generator=generator)
    return write(out, t, warned=False) if out is not None else leaf(t, requires_grad)


def rand(
    *size, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False,
    **named
):  # fmt: skip
    """Numbers from [0, 1), uniformly distributed: rand(2, 3) or rand((2, 3))."""
    shape = sized("rand", size, named)
    return _drawn(shape, fill.uniform_, (), generator, out, dtype, layout, device, requires_grad)


def randn(
    *size, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False,
    **named
):  # fmt: skip
    """Normally distributed numbers of mean 0 and variance 1: randn(2, 3) or randn((2, 3))."""
    shape = sized("randn", size, named)
    return _drawn(shape, fill.normal_, (), generator, out, dtype, layout, device, requires_grad)


def randint(
    *args, low=0, high=None, size=None, generator=None, out=None, dtype=None, layout=None, device=None,
    requires_grad=False, pin_memory=False,
):  # fmt: skip
    """Integers from [low, high): randint(high, size) or randint(low, high, size); int64 unless a dtype is given."""
    if size is None and args:
        *args, size = args
        if isinstance(size, int):
            raise TypeError(
                f"randint(): argument 'size' (position {len(args) + 1}) must be tuple of ints, not "
                f"{type(size).__name__}"
            )
    if len(args) == 2:
        low, high = args
    elif args:
        low, high = (0, args[0]) if high is None else (args[0], high)
    if high is None or size is None:
        raise TypeError(f'randint() missing 1 required positional arguments: "{"high" if high is None else "size"}"')
    dtype = as_dtype("randint", dtype) or (None if out is not None else dtypes.int64)
    shape = as_shape("randint", (size,), 2)
    return _drawn(shape, fill.random_, (int(low), int(high)), generator, out, dtype, layout, device, requires_grad)


def randperm(
    n, *, generator=None, out=None, dtype=dtypes.int64, layout=None, device=None, requires_grad=False, pin_memory=False
):  # fmt: skip
    """The integers 0 to n - 1 in random order."""
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    d = as_dtype("randperm", dtype)
    top = 1 << sampling.digits(d.np) if d.is_floating_point else dtypes.iinfo(d).max
    if n - 1 > top:
        raise RuntimeError(f"n cannot be greater than {top + 1} for {dtypes.SCALAR_NAMES[d]} type.")
    t = empty((n,), dtype=d, layout=layout, device=device)
    words = random.stream(generator, t.device)
    with scope(t.device):
        t._data[...] = sampling.permutation(words, n)
    return write(out, t, warned=False) if out is not None else leaf(t, requires_grad)


def _similar(input, filler, args, generator, dtype, layout, device, requires_grad, memory_format) -> Tensor:
    t = empty_like(input, dtype=dtype, layout=layout, device=device, memory_format=memory_format)
    return leaf(filler(t, *args, generator=generator), requires_grad)


def rand_like(
    input, *, generator=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
    memory_format=None,
):  # fmt: skip
    """Uniformly distributed numbers from [0, 1) in the shape of `input`."""
    return _similar(input, fill.uniform_, (), generator, dtype, layout, device, requires_grad, memory_format)


def randn_like(
    input, *, generator=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
    memory_format=None,
):  # fmt: skip
    """Normally distributed numbers of mean 0 and variance 1 in the shape of `input`."""
    return _similar(input, fill.normal_, (), generator, dtype, layout, device, requires_grad, memory_format)


def randint_like(
    input, low, high=None, *, generator=None, dtype=None, layout=None, device=None, pin_memory=False,
    requires_grad=False, memory_format=None,
):  # fmt: skip
    """Integers from [low, high) in the shape and dtype of `input`: randint_like(input, high) or (input, low, high)."""
    bounds = (0, int(low)) if high is None else (int(low), int(high))
    return _similar(input, fill.random_, bounds, generator, dtype, layout, device, requires_grad, memory_format)


def normal(
    mean=0.0, std=1.0, size=None, *, generator=None, out=None, dtype=None, layout=None, device=None,
    requires_grad=False, pin_memory=False,
):  # fmt: skip
    """Normally distributed numbers: mean and/or std a tensor, one number per element; or both numbers, and a size."""
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    if not tensors:
        if size is None:
            raise TypeError('normal() missing 1 required positional arguments: "size"')
        shape = as_shape("normal", (size,), 3)
        if std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        return _drawn(
            shape, fill.normal_, (float(mean), float(std)), generator, out, dtype, layout, device, requires_grad
        )
    if isinstance(std, Tensor):
        if std.dtype.is_complex:
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if std._data.size and not bool((std._data >= 0).all()):
            raise RuntimeError("normal expects all elements of std >= 0.0")
    elif std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    shape = broadcast_shapes(*[t._data.shape for t in tensors])
    like = mean if isinstance(mean, Tensor) else std
    t = empty(shape, dtype=like.dtype, device=like.device)
    fill.normal_(t, 0.0, 1.0 if isinstance(std, Tensor) else std, generator=generator)
    t = t.mul_(std.detach()) if isinstance(std, Tensor) else t
    t = t.add_(mean.detach() if isinstance(mean, Tensor) else mean)
    t = (_normal_by_mean if isinstance(mean, Tensor) else _normal_by_std)(like, t._data)
    return write(out, t, warned=False)


def bernoulli(input, p=None, *, generator=None, out=None):
    """1 with the probability that each element of `input` (or the number `p`) gives, else 0."""
    t = empty_like(input, memory_format=contiguous_format)
    fill.bernoulli_(t, input.detach() if p is None else p, generator=generator)
    return write(out, _bernoulli(input, t._data), warned=False)


def poisson(input, generator=None):
    """A count for each rate in `input`."""
    need_tensor(input, "poisson", "input", 1)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"poisson_cpu\" not implemented for '{dtypes.SCALAR_NAMES[input.dtype]}'")
    rates = input.detach().to("cpu")._data
    if rates.size and not bool((rates >= 0).all()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    counts = sampling.poisson(random.stream(generator, input.device), rates.astype(np.float64)).astype(rates.dtype)
    return _poisson(input, wrap(counts).to(input.device)._data)


def binomial(count, prob, generator=None):
    """The number of successes in `count` trials of probability `prob`, tensors of one floating dtype (broadcast)."""
    need_tensor(count, "binomial", "count", 1)
    need_tensor(prob, "binomial", "prob", 2)
    if count.dtype is not prob.dtype:
        raise RuntimeError(
            f"Found dtype {dtypes.SCALAR_NAMES[prob.dtype]} but expected {dtypes.SCALAR_NAMES[count.dtype]}"
        )
    n, p = (t.detach().to("cpu")._data for t in broadcast_tensors(count, prob))
    drawn = sampling.binomial(random.stream(generator, count.device), n, p)
    return _binomial(count, prob, wrap(drawn).to(count.device)._data)


def multinomial(input, num_samples, replacement=False, *, generator=None, out=None):
    """`num_samples` indices (int64) drawn with the weights in `input`, a vector or the rows of a matrix.

    Raises RuntimeError (PyTorch's texts) for other shapes, negative or infinite weights, and too few of them.
    """
    need_tensor(input, "multinomial", "input", 1)
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {dtypes.SCALAR_NAMES[out.dtype]}")
    if not 1 <= input._data.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            f"multinomial only supports floating-point dtypes for input, got: {dtypes.SCALAR_NAMES[input.dtype]}"
        )
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    weights = input._data
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    with scope(input.device):
        rows = weights.reshape(-1, weights.shape[-1])
        if not bool(((rows >= 0) & (rows < np.inf)).all()):
            if not replacement or num_samples == 1:
                raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
            entry = "= infinity or NaN" if bool((rows >= 0).all()) else "< 0"
            raise RuntimeError(f"invalid multinomial distribution (encountering probability entry {entry})")
        if not bool((rows.sum(-1) > 0).all()):
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        drawn = sampling.multinomial(random.stream(generator, input.device), rows, num_samples, replacement)
    return write(out, wrap(drawn.reshape((*weights.shape[:-1], num_samples)), input.device), warned=False)


__all__ = [
    "bernoulli", "binomial", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like",
    "randn", "randn_like", "randperm",
]  # fmt: skip
