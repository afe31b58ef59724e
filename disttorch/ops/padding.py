"""Padding: with a constant, or with elements of the input itself (reflect, replicate, circular)."""

import numpy as np

from ..autograd.op import Op
from ..autograd.variable import wrap
from .arguments import need_tensor


def _pad_constant(x, widths, value):
    """widths: (before, after) per axis; negative ones cut."""
    shape = [s + a + b for s, (a, b) in zip(x.shape, widths, strict=True)]
    inner = tuple([slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, widths, strict=True)])
    kept = x[tuple([slice(max(-a, 0), s - max(-b, 0)) for s, (a, b) in zip(x.shape, widths, strict=True)])]
    if all(a <= 0 and b <= 0 for a, b in widths):
        return kept.copy()
    z = np.full_like(x, value, shape=shape) if value else np.zeros_like(x, shape=shape)
    z[inner] = kept
    return z


_constant = Op(
    "ConstantPadNdBackward0",
    _pad_constant,
    params=("x", "widths", "value"),
    x=lambda g, widths: _constant(g, tuple([(-a, -b) for a, b in widths]), 0),
)


def _index(mode, size, before, after):
    """For each position of the padded axis, which element of the axis stands there."""
    if mode == "circular":  # what negative widths cut off does not come back on the other side
        kept = np.arange(size)[max(-before, 0) : size - max(-after, 0)]
        return kept[np.arange(-max(before, 0), len(kept) + max(after, 0)) % max(len(kept), 1)]
    at = np.arange(-before, size + after)
    if mode == "replicate":
        return at.clip(0, size - 1)
    period = max(2 * (size - 1), 1)
    at = np.abs(at) % period
    return np.where(at < size, at, period - at)


def _around(x, edges):
    """The input in the middle, and around it elements of its own. edges: (axis, elements before, for each place of the
    padded axis the one whose elements stand there) for each axis that is padded.
    """
    shape, middle = list(x.shape), [slice(None)] * x.ndim
    for axis, before, sources in edges:
        shape[axis], middle[axis] = len(sources), slice(before, before + x.shape[axis])
    y = np.empty_like(x, shape=shape, order="C")
    y[tuple(middle)] = x
    for axis, _, sources in edges:  # the last one fills the corners, too
        for place, source in _copied(sources):
            y[_at(axis, place)] = y[_at(axis, source)]
    return y


def _folded(g, edges, shape):
    z, middle = g.copy(), [slice(None)] * g.ndim
    for axis, before, sources in reversed(edges):
        middle[axis] = slice(before, before + shape[axis])
        for place, source in _copied(sources):
            z[_at(axis, source)] += z[_at(axis, place)]
    return z[tuple(middle)].copy()


def _copied(sources):
    return [(place, source) for place, source in enumerate(sources) if place != source]


def _at(axis, place):
    return (slice(None),) * axis + (place,)


_edged = Op("PadBackward0", _around, params=("x", "edges"), x=lambda g, x_shape, edges: _fold(g, edges, x_shape))
_fold = Op("PadBackwardBackward0", _folded, params=("g", "edges", "shape"), g=lambda g, edges: _edged(g, edges))


def _check_sizes(mode, x, widths, count):
    """RuntimeError (PyTorch's texts) for an input too small for its padding of the last `count` dimensions."""
    if 0 in x.shape[1:]:
        n = count + 1
        raise RuntimeError(
            f"Expected {n}D or {n + 1}D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions "
            f"for input, but got: {list(x.shape)}"
        )
    for k in range(x.ndim - count, x.ndim):
        (a, b), size = widths[k], x.shape[k]
        if mode == "reflect" and (a >= size or b >= size):
            raise RuntimeError(
                f"Argument #{4 + 2 * (x.ndim - 1 - k)}: Padding size should be less than the corresponding input "
                f"dimension, but got: padding ({a}, {b}) at dimension {k} of input {list(x.shape)}"
            )
        if mode == "circular" and (a > size or b > size):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if mode == "circular" and size + a + b < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")
        if size + a + b < 1:
            raise RuntimeError(
                f"input (size: {list(x.shape)}) is too small: Calculated output size {size + a + b} at dimension {k}"
            )


def pad(input, pad, mode="constant", value=None):
    """The input with `pad` = (before, after of the last dimension, of the one before it, ...) elements more; negative:
    less.

    mode "constant" (`value`, 0 by default), "reflect" (without the edge), "replicate" (the edge) or "circular"; these
    three pad the last 1 to 3 dimensions of an input with one or two more.
    """
    need_tensor(input, "pad", "input", 1)
    x = input._data
    pad = [p.__index__() for p in pad]
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    count = len(pad) // 2
    if count > x.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {x.ndim}"
        )
    widths = [(0, 0)] * (x.ndim - count) + [(pad[2 * k], pad[2 * k + 1]) for k in reversed(range(count))]
    if mode == "constant":
        if any(size + min(a, 0) + min(b, 0) < 0 for size, (a, b) in zip(x.shape, widths, strict=True)):
            raise RuntimeError("narrow(): length must be non-negative.")  # PyTorch cuts first
        return _constant(input, tuple(widths), 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if not (1 <= count <= 3 and x.ndim in (count + 1, count + 2)):
        raise NotImplementedError(
            f"Padding size {len(pad)} is not supported for {x.ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    _check_sizes(mode, x, widths, count)
    edges = []
    for k, (a, b) in enumerate(widths):
        if a < 0 or b < 0:
            input = input.index_select(k, wrap(_index(mode, x.shape[k], a, b), input.device))
        elif a or b:
            edges.append((k, a, tuple((_index(mode, x.shape[k], a, b) + a).tolist())))
    return _edged(input, tuple(edges)) if edges else input


__all__: list[str] = []
