"""Distributions: arrays of random numbers drawn from a stream of words, equal to those of PyTorch's CPU generator.

Source: the formulas and the order of draws of PyTorch 2.13 (ATen/core/DistributionsHelper.h, TransformationHelper.h,
native/cpu/DistributionTemplates.h). Equal bit for bit, but where PyTorch calls the C library's logarithm, sine and
cosine in double precision: there the last bit may differ. Each function takes (stream, size or shape, ..., NumPy dtype)
and leaves the stream where PyTorch leaves it. On a stream of a real CUDA device the same formulas run there; the
numbers differ from PyTorch's.
"""

from math import ceil, cos, exp, floor, inf, lgamma, log, log1p, pi, prod, sin, sqrt

import numpy as np

from . import cephes
from .kernels.hushing import hushed
from .kernels.interchange import interchanged

DIGITS = {2: 11, 4: 24, 8: 53}  # bits of significand by size in bytes; bfloat16 (8) is told by its kind
WIDE = 1 << 28  # ranges from here on take 64 random bits
FEW = 32  # numbers for which Python's own functions are quicker than NumPy's
_LOWER_53 = (1 << 53) - 1
_LOWER_24, _TINY = np.uint32((1 << 24) - 1), np.float32(2.0**-24)
_MASK, _UNIT = np.asarray(_LOWER_24), np.asarray(2.0**-24)  # for few numbers: as operands half the price
CHUNK = 1 << 14  # numbers drawn at a time, so that they are still in the cache when they are scaled


def digits(dtype) -> int:
    """Bits of significand of a floating dtype."""
    return 8 if dtype.kind == "V" else DIGITS[dtype.itemsize]


def words64(stream, n: int):
    """`n` words of 64 bits: the first 32 drawn are the upper ones."""
    pairs = stream.words(2 * n).view(np.uint64)
    half = stream.xp.uint64(32)
    upper = pairs << half
    pairs >>= half
    pairs |= upper
    return pairs


def _words53(stream, n: int):
    """The lower 53 bits of `n` words of 64 bits, as uint64."""
    bits = words64(stream, n)
    bits &= stream.xp.uint64(_LOWER_53)
    return bits


def doubles(stream, n: int, x=None):
    """`n` numbers from [0, 1), multiples of 2^-53, in the vector `x` if given."""
    x = stream.xp.empty(n, np.float64) if x is None else x
    for i in range(0, n, CHUNK):
        part = x[i : i + CHUNK]
        part[...] = _words53(stream, part.size).view(np.int64)
        part *= 2.0**-53
    return x


def floats(stream, n: int, x=None):
    """`n` numbers from [0, 1), multiples of 2^-24 (float32), in the vector `x` if given."""
    if n < FEW and stream.xp is np:  # in float64, in which nothing is rounded
        few = (stream.words(n) & _MASK) * _UNIT
        if x is None:
            return few.astype(np.float32)
        x[...] = few
        return x
    x = stream.xp.empty(n, np.float32) if x is None else x
    for i in range(0, n, CHUNK):
        part = x[i : i + CHUNK]
        words = stream.words(part.size)
        words &= _LOWER_24
        part[...] = words.view(np.int32)
        part *= _TINY
    return x


def uniform(stream, shape, dtype, low: float = 0.0, high: float = 1.0):
    """Numbers from [low, high)."""
    if dtype.kind == "c":
        parts = uniform(stream, (*shape, 2), real_of(dtype), low, high)
        return parts.view(dtype).reshape(shape)
    x = (doubles if dtype.itemsize == 8 else floats)(stream, prod(shape))
    if low != 0 or high != 1:
        a, b = (low, high) if dtype.itemsize == 8 else (np.float32(low), np.float32(high))
        _fused(x, b - a, a)
    x = x.reshape(shape)
    if dtype.itemsize == 8:
        return x
    x = x.astype(dtype, copy=False)
    if dtype.itemsize == 2:  # rounding may have reached the upper end, which is not to be had
        x[x == dtype.type(high)] = dtype.type(low)
    return x


def _fused(x, scale, offset):
    """x = x·scale + offset for a vector, rounded once, as a fused multiply-add does (float64: where long double is
    longer).
    """
    if scale == 1 and offset == 0:
        return
    if x.dtype == np.float32:
        if isinstance(x, np.ndarray):
            cephes.multiply_add(x, float(np.float32(scale)), float(np.float32(offset)))
            return
        wide = np.float64
    else:
        wide = np.longdouble if isinstance(x, np.ndarray) else np.float64
    y = x.astype(wide)
    y *= wide(scale)
    y += wide(offset)
    x[...] = y


@hushed
def _astype(x, dtype):
    return x.astype(dtype, copy=False)


def _cast(x, shape, dtype):
    """Two-byte floats by way of float32, as PyTorch rounds them."""
    if dtype.itemsize == 2 and dtype.kind in "fV":
        x = x.astype(np.float32, copy=False)
    return _astype(x, dtype).reshape(shape)


def real_of(dtype):
    return np.dtype(np.float32 if dtype.itemsize == 8 else np.float64)


# -- normal -----------------------------------------------------------------------------------------------------------
def normal(stream, shape, dtype, mean: float = 0.0, std: float = 1.0, contiguous: bool = True):
    """Normally distributed numbers. PyTorch fills contiguous tensors of 16 elements and more in another way than
    others.
    """
    if dtype.kind == "c":  # real and imaginary part have half the variance each
        parts = normal(stream, (*shape, 2), real_of(dtype), mean, std / sqrt(2), contiguous)
        return parts.view(dtype).reshape(shape)
    n = prod(shape)
    if n < 16 or not contiguous:
        x = standard_normals(stream, n)
        _fused(x, std, mean)
        return _cast(x, shape, dtype)
    draw, real = (doubles, np.float64) if dtype.itemsize == 8 else (floats, np.float32)
    x = stream.xp.empty(shape, real)
    numbers, rest = x.reshape(-1), n % 16
    room = cephes.scratch(min(n, BLOCK) // 2) if draw is floats and stream.xp is np else None
    for i in range(0, n - rest, BLOCK):
        part = numbers[i : min(i + BLOCK, n - rest)]
        draw(stream, part.size, part)
        _to_normals(stream.xp, part, mean, std, room)
    if rest:
        if dtype.itemsize > 2:
            draw(stream, rest)  # PyTorch draws for these, too, and then for the last 16 once more
        last = draw(stream, 16, numbers[n - 16 :])
        _to_normals(stream.xp, last, mean, std, room)
    return x.astype(dtype, copy=False)


def standard_normals(stream, n: int):
    """`n` normals (float64) in pairs by Box and Muller (1958); half a pair left over is kept in the stream."""
    if stream.xp is np and n < FEW:
        return np.array(_few_standard_normals(stream, n), np.float64)
    xp = stream.xp
    old = [] if stream.spare is None or n == 0 else [stream.spare]
    count = -(-(n - len(old)) // 2)
    u = doubles(stream, 2 * count).reshape(count, 2)
    radius, theta = xp.sqrt(-2 * xp.log1p(-u[:, 1])), 2 * np.pi * u[:, 0]
    pairs = xp.empty((count, 2))
    pairs[:, 0], pairs[:, 1] = radius * xp.cos(theta), radius * xp.sin(theta)
    numbers = pairs.reshape(-1)
    if n:
        stream.spare = float(numbers[-1]) if 2 * count > n - len(old) else None
    return (xp.concatenate((xp.asarray(old), numbers)) if old else numbers)[:n]


def _few_standard_normals(stream, n: int) -> list[float]:
    """The same, sooner done one by one."""
    numbers = [] if stream.spare is None or n == 0 else [stream.spare]
    words = iter(stream.words(4 * -(-(n - len(numbers)) // 2)).tolist())
    for a, b, c, d in zip(words, words, words, words, strict=True):
        first, second = ((a << 32 | b) & _LOWER_53) * 2.0**-53, ((c << 32 | d) & _LOWER_53) * 2.0**-53
        radius, theta = sqrt(-2 * log1p(-second)), 2 * pi * first
        numbers += radius * cos(theta), radius * sin(theta)
    if n:
        stream.spare = numbers.pop() if len(numbers) > n else None
    return numbers


BLOCK = 1 << 16  # normals made at a time: what lies between stays in the second-level cache, and calls are few


def _to_normals(xp, u, mean: float, std: float, room) -> None:
    """Box-Muller in place on blocks of 16 numbers from [0, 1): the first eight give radii, the others angles.

    room: for `cephes`, whose functions are the ones to use then.
    """
    first, second = u.reshape(-1, 2, 8).swapaxes(0, 1)
    if room is not None:
        radius = (1 - first).reshape(-1)
        cephes.log(radius, room)
        radius *= -2
        np.sqrt(radius, out=radius)
        sine, cosine = cephes.sincos((2 * pi * second).reshape(-1), room)
        np.multiply(radius.reshape(-1, 8), cosine.reshape(-1, 8), out=first)
        np.multiply(radius.reshape(-1, 8), sine.reshape(-1, 8), out=second)
    else:
        radius, theta = xp.sqrt(-2 * xp.log(1 - first)), 2 * np.pi * second
        first[...], second[...] = radius * xp.cos(theta), radius * xp.sin(theta)
    _fused(u, std, mean)


# -- integers ---------------------------------------------------------------------------------------------------------
def integers(stream, shape, dtype, low: int, high: int):
    """Integers from [low, high), in any dtype that holds them."""
    span = high - low
    n = prod(shape)
    if span >= 1 << 64:
        x = words64(stream, n)
    else:
        wide = span >= WIDE
        x = words64(stream, n) if wide else stream.words(n)
        divisor = stream.xp.asarray(span, np.uint64 if wide else np.uint32)
        if span & (span - 1) == 0:
            x &= divisor - x.dtype.type(1)
        elif n < FEW:
            x %= divisor
        else:  # the remainder: NumPy divides by a number much faster than it takes remainders
            x -= x // divisor * divisor
    x = x.astype(np.int64, copy=False) if x.itemsize == 4 else x.view(np.int64)
    if low and span < 1 << 64:
        x += np.int64(low)
    return x.astype(dtype, copy=False).reshape(shape)


def any_integers(stream, shape, dtype):
    """Integers from [0, the largest that the dtype holds] (floating: from [0, 2^significand bits]); booleans."""
    n = prod(shape)
    if dtype.kind == "b":
        return (stream.words(n) & np.uint32(1)).astype(np.bool_).reshape(shape)
    top = (1 << digits(dtype)) if dtype.kind in "fV" else np.iinfo(dtype).max
    wide = dtype.itemsize == 8
    w = words64(stream, n) if wide else stream.words(n)
    x = w % (np.uint64 if wide else np.uint32)(top + 1)
    return x.astype(dtype).reshape(shape)


def permutation(stream, n: int):
    """The integers 0 to n - 1 (int64) in random order (Fisher and Yates, 1938)."""
    if stream.xp is not np:
        return stream.xp.argsort(words64(stream, n)).astype(np.int64)
    if n < 2:
        return np.arange(n)
    if n < (2**32 - 1) // 20:
        steps = stream.words(n - 1) % np.arange(n, 1, -1, dtype=np.uint32)
    else:
        steps = words64(stream, n - 1) % np.arange(n, 1, -1, dtype=np.uint64)
    return interchanged(steps.astype(np.int64) + np.arange(n - 1))


# -- others -----------------------------------------------------------------------------------------------------------
def bernoulli(stream, shape, p):
    """Booleans, True with probability `p`: a float, or an array of `shape` (float32 draws unless it is float64)."""
    n = prod(shape)
    if isinstance(p, float):
        below, drawn = stream.xp.uint64(ceil(p * 2.0**53)), stream.xp.empty(n, np.bool_)
        for i in range(0, n, CHUNK):
            part = drawn[i : i + CHUNK]
            stream.xp.less(_words53(stream, part.size), below, out=part)
        return drawn.reshape(shape)
    draw = doubles if p.dtype == np.float64 else floats
    return draw(stream, n).reshape(shape) < p.astype(np.float64)


def exponential(stream, shape, dtype, rate: float = 1.0):
    x = stream.xp.log1p(-doubles(stream, prod(shape)))
    x *= -1.0 / rate
    return _cast(x, shape, dtype)


def cauchy(stream, shape, dtype, median: float = 0.0, sigma: float = 1.0):
    u = doubles(stream, prod(shape))
    return _cast(median + sigma * stream.xp.tan(np.pi * (u - 0.5)), shape, dtype)


def log_normal(stream, shape, dtype, mean: float = 1.0, std: float = 2.0):
    x = standard_normals(stream, prod(shape))
    _fused(x, std, mean)
    return _cast(stream.xp.exp(x), shape, dtype)


def geometric(stream, shape, dtype, p: float):
    with np.errstate(divide="ignore"):
        x = stream.xp.ceil(stream.xp.log(doubles(stream, prod(shape))) / np.log1p(-p))
    return _cast(x, shape, dtype)


def poisson(stream, rates):
    """An array of counts (float64) with the given rates, an array on the host."""
    draws = _Draws(stream)
    counts = [_poisson(float(rate), draws) for rate in rates.reshape(-1).tolist()]
    draws.close()
    return np.array(counts, np.float64).reshape(rates.shape)


class _Draws:
    """Numbers from [0, 1) one by one, where the next draw depends on the last."""

    CHUNK = 256

    def __init__(self, stream):
        self.stream = stream
        self._refill()

    def _refill(self):
        self.before, self.used = self.stream.state(), 0
        self.chunk = doubles(self.stream, self.CHUNK).tolist()

    def __call__(self) -> float:
        if self.used == self.CHUNK:
            self._refill()
        self.used += 1
        return self.chunk[self.used - 1]

    def close(self):
        """Leave the stream where the numbers given out end."""
        self.stream.set_state(self.before)
        self.stream.words(2 * self.used)


def _poisson(rate: float, draw) -> int:
    if rate < 10:
        if rate == 0:
            return 0
        limit, product, k = exp(-rate), draw(), 0
        while product > limit:
            product *= draw()
            k += 1
        return k
    # Transformed rejection: Hörmann (1993), algorithm PTRS.
    b = 0.931 + 2.53 * sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha, v_r = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = draw() - 0.5, draw()
        us = 0.5 - abs(u)
        k = floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if log(v) + log(inverse_alpha) - log(a / (us * us) + b) <= -rate + k * log(rate) - lgamma(k + 1):
            return k


def binomial(stream, counts, probs):
    """An array of numbers of successes in `counts` trials of `probs`, arrays of one shape and dtype on the host."""
    draws = _Draws(stream)
    pairs = zip(counts.reshape(-1), probs.reshape(-1), strict=True)
    drawn = [_binomial(n, p, draws) for n, p in pairs]
    draws.close()
    return np.array(drawn, counts.dtype).reshape(counts.shape)


def _binomial(n, p, draw):
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    if not p <= 0.5:
        return n - _binomial_of_half(n, 1 - p, draw) if p > 0.5 else np.nan
    return _binomial_of_half(n, p, draw)


def _binomial_of_half(n, p, draw):
    if n * p < 10:  # successes are geometrically many trials apart
        used, found, per_trial = 0.0, 0, float(np.log1p(-p))
        while True:
            u = draw()
            used += ceil(log(u) / per_trial) if u else inf
            if used > n:
                return found
            found += 1
    # Transformed rejection: Hörmann (1993), algorithm BTRS.
    spread, ratio, top = float(np.sqrt(n * p * (1 - p))), float(p / (1 - p)), float(np.floor((n + 1) * p))
    middle, n, p = float(n * p) + 0.5, float(n), float(p)
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    v_r, alpha = 0.92 - 4.2 / b, (2.83 + 5.1 / b) * spread
    while True:
        u, v = draw() - 0.5, draw()
        us = 0.5 - abs(u)
        k = floor((2 * a / us + b) * u + middle)
        if not 0 <= k <= n:
            continue
        if us >= 0.07 and v <= v_r:
            return k
        bound = (
            (top + 0.5) * log((top + 1) / (ratio * (n - top + 1)))
            + (n + 1) * log((n - top + 1) / (n - k + 1))
            + (k + 0.5) * log(ratio * (n - k + 1) / (k + 1))
            + _stirling_rest(top) + _stirling_rest(n - top) - _stirling_rest(k) - _stirling_rest(n - k)
        )  # fmt: skip
        if log(v * alpha / (a / (us * us) + b)) <= bound:
            return k


def _stirling_rest(k: float) -> float:
    """log k! less Stirling's formula for it."""
    if k <= 9:
        return lgamma(k + 1) - (0.5 * log(2 * pi) + (k + 0.5) * log(k + 1) - (k + 1))
    squared = (k + 1) ** 2
    return (1 / 12 - (1 / 360 - 1 / 1260 / squared) / squared) / (k + 1)


def multinomial(stream, weights, count: int, replacement: bool):
    """`count` indices (int64) per row of `weights` (rows, categories), non-negative and not all zero."""
    xp = stream.xp
    if not replacement or count == 1:  # the largest weight / exponential: Efraimidis and Spirakis (2006)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            turned = not weights.flags.c_contiguous and weights.T.flags.c_contiguous  # drawn as it lies in memory
            drawn = exponential(stream, weights.shape[::-1] if turned else weights.shape, weights.dtype)
            keys = weights / (drawn.T if turned else drawn)
        if count == 1:
            return keys.argmax(-1, keepdims=True)
        return xp.argsort(-keys, -1, kind="stable")[:, :count]
    table = weights.astype(np.float32) if weights.dtype.itemsize == 2 else weights
    out = xp.empty((len(table), count), np.int64)
    for row, weight in zip(out, table, strict=True):
        cumulated = weight.cumsum()
        cumulated /= cumulated[-1]
        cumulated[-1] = 1
        row[...] = xp.searchsorted(cumulated.astype(np.float64), doubles(stream, count))
    return out
