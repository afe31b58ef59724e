"""Distributions: arrays of random numbers drawn from a stream of words, equal to those of PyTorch's CPU generator.

Source: the formulas and the order of draws of PyTorch 2.13 (ATen/core/DistributionsHelper.h, TransformationHelper.h,
native/cpu/DistributionTemplates.h). Equal bit for bit, but where PyTorch calls the C library's logarithm, sine and
cosine in double precision: there the last bit may differ. Each function takes (stream, size or shape, ..., NumPy dtype)
and leaves the stream where PyTorch leaves it. On a stream of a real CUDA device the same formulas run there; the
numbers differ from PyTorch's.
"""

from math import exp, floor, lgamma, log, prod, sqrt

import numpy as np

from . import cephes

DIGITS = {2: 11, 4: 24, 8: 53}  # bits of significand by size in bytes; bfloat16 (8) is told by its kind
WIDE = 1 << 28  # ranges from here on take 64 random bits
CHUNK = 1 << 14  # numbers drawn at a time, so that they are still in the cache when they are scaled


def digits(dtype) -> int:
    """Bits of significand of a floating dtype."""
    return 8 if dtype.kind == "V" else DIGITS[dtype.itemsize]


def words64(stream, n: int):
    """`n` words of 64 bits: the first 32 drawn are the upper ones."""
    pairs = stream.words(2 * n).view(np.uint64)
    upper = pairs << stream.xp.uint64(32)
    pairs >>= stream.xp.uint64(32)
    pairs |= upper
    return pairs


def doubles(stream, n: int):
    """`n` numbers from [0, 1), multiples of 2^-53."""
    x = stream.xp.empty(n, np.float64)
    for i in range(0, n, CHUNK):
        part = x[i : i + CHUNK]
        bits = words64(stream, part.size)
        bits &= stream.xp.uint64((1 << 53) - 1)
        part[...] = bits.view(np.int64)
        part *= 2.0**-53
    return x


def floats(stream, n: int):
    """`n` numbers from [0, 1), multiples of 2^-24 (float32)."""
    x = stream.xp.empty(n, np.float32)
    for i in range(0, n, CHUNK):
        part = x[i : i + CHUNK]
        part[...] = (stream.words(part.size) & stream.xp.uint32((1 << 24) - 1)).view(np.int32)
        part *= np.float32(2.0**-24)
    return x


def uniform(stream, shape, dtype, low: float = 0.0, high: float = 1.0):
    """Numbers from [low, high)."""
    if dtype.kind == "c":
        parts = uniform(stream, (*shape, 2), real_of(dtype), low, high)
        return parts.view(dtype).reshape(shape)
    n = prod(shape)
    if dtype.itemsize == 8:
        x = doubles(stream, n)
        if (low, high) != (0.0, 1.0):
            x = _fused(x, high - low, low)
    else:
        x = floats(stream, n)
        if (low, high) != (0.0, 1.0):
            a, b = np.float32(low), np.float32(high)
            x = _fused(x, b - a, a)
        x = x.astype(dtype, copy=False)
        if dtype.itemsize == 2:  # rounding may have reached the upper end, which is not to be had
            x[x == dtype.type(high)] = dtype.type(low)
    return x.reshape(shape)


def _fused(x, scale, offset):
    """x·scale + offset rounded once, as a fused multiply-add does (float64: where long double is longer)."""
    if scale == 1 and offset == 0:
        return x
    wide = np.float64 if x.dtype == np.float32 else np.longdouble if isinstance(x, np.ndarray) else np.float64
    y = x.astype(wide)
    y *= wide(scale)
    y += wide(offset)
    return y.astype(x.dtype)


def _cast(x, shape, dtype):
    """Two-byte floats by way of float32, as PyTorch rounds them."""
    if dtype.itemsize == 2 and dtype.kind in "fV":
        x = x.astype(np.float32, copy=False)
    return x.astype(dtype, copy=False).reshape(shape)


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
        return _cast(_fused(standard_normals(stream, n), std, mean), shape, dtype)
    if dtype.itemsize == 2:
        full, rest = n - n % 16, n % 16
        x = _normals_by_16(stream.xp, floats(stream, full), mean, std)
        if rest:
            last = _normals_by_16(stream.xp, floats(stream, 16), mean, std)
            x = stream.xp.concatenate((x[: n - 16], last))
    else:
        draw = doubles if dtype.itemsize == 8 else floats
        x = draw(stream, n)
        tail = draw(stream, 16) if n % 16 else None
        x[: n - n % 16] = _normals_by_16(stream.xp, x[: n - n % 16], mean, std)
        if tail is not None:
            x[n - 16 :] = _normals_by_16(stream.xp, tail, mean, std)
    return x.astype(dtype, copy=False).reshape(shape)


def standard_normals(stream, n: int):
    """`n` normals (float64) in pairs by Box and Muller (1958); half a pair left over is kept in the stream."""
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


def _normals_by_16(xp, u, mean: float, std: float):
    """Box-Muller on blocks of 16 numbers from [0, 1): the first eight give radii, the others angles."""
    u = u.reshape(-1, 2, 8)
    if u.dtype == np.float32 and xp is np:
        return _normals_as_avx2(u, np.float32(mean), np.float32(std)).reshape(-1)
    radius, theta = xp.sqrt(-2 * xp.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
    pair = xp.stack((radius * xp.cos(theta), radius * xp.sin(theta)), 1).astype(u.dtype)
    return _fused(pair, std, mean).reshape(-1)


BLOCK = 2048  # of 16 numbers: the scratch arrays of a block stay in the second-level cache, and calls are few


def _normals_as_avx2(u, mean, std):
    out = np.empty(u.shape, np.float32)
    for i in range(0, len(u), BLOCK):
        part, made = u[i : i + BLOCK], out[i : i + BLOCK]
        radius = cephes.log(1 - part[:, 0])
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        sine, cosine = cephes.sincos(np.float32(2 * np.pi) * part[:, 1])
        np.multiply(radius, cosine, out=made[:, 0])
        np.multiply(radius, sine, out=made[:, 1])
    return _fused(out, std, mean)


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
        divisor = (stream.xp.uint64 if wide else stream.xp.uint32)(span)
        if span & (span - 1) == 0:
            x &= divisor - x.dtype.type(1)
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


def interchanged(places):
    """0 to n (int64) after entry i and entry places[i] have changed places, for each i of `places` (n) in turn."""
    order = list(range(len(places) + 1))
    for i, j in enumerate(places.tolist()):
        order[i], order[j] = order[j], order[i]
    return np.array(order)


def permutation(stream, n: int, interchanged=interchanged):
    """The integers 0 to n - 1 (int64) in random order (Fisher and Yates, 1938), by a function like `interchanged`."""
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
        return (doubles(stream, n) < p).reshape(shape)
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
    x = _fused(standard_normals(stream, prod(shape)), std, mean)
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


def multinomial(stream, weights, count: int, replacement: bool):
    """`count` indices (int64) per row of `weights` (rows, categories), non-negative and not all zero."""
    xp = stream.xp
    if not replacement or count == 1:  # the largest weight / exponential: Efraimidis and Spirakis (2006)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            keys = weights / exponential(stream, weights.shape, weights.dtype)
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
