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


def _around(x, axis, before, sources):
    """The input in the middle of an axis, and around it those of its elements that `sources` names for each place."""
    size = x.shape[axis]
    y = np.empty_like(x, shape=(*x.shape[:axis], len(sources), *x.shape[axis + 1 :]), order="C")
    y[_at(axis, slice(before, before + size))] = x
    for k in (*range(before), *range(before + size, len(sources))):
        y[_at(axis, k)] = x[_at(axis, sources[k])]
    return y


def _folded(g, axis, before, sources, size):
    z = g[_at(axis, slice(before, before + size))].copy()
    for k in (*range(before), *range(before + size, len(sources))):
        z[_at(axis, sources[k])] += g[_at(axis, k)]
    return z


def _at(axis, place):
    return (slice(None),) * axis + (place,)


_edged = Op(
    "PadBackward0",
    _around,
    params=("x", "axis", "before", "sources"),
    x=lambda g, x_shape, axis, before, sources: _fold(g, axis, before, sources, x_shape[axis]),
)
_fold = Op(
    "PadBackwardBackward0",
    _folded,
    params=("g", "axis", "before", "sources", "size"),
    g=lambda g, axis, before, sources: _edged(g, axis, before, sources),
)


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
        for k, (a, b) in enumerate(widths):
            if x.shape[k] + a + b < 0:
                raise RuntimeError(
                    f"The input size {x.shape[k]}, plus negative padding {a} and {b} resulted in a negative output "
                    f"size, which is invalid. Check dimension {k} of your input."
                )
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
    for k, (a, b) in enumerate(widths):
        if a < 0 or b < 0:
            input = input.index_select(k, wrap(_index(mode, x.shape[k], a, b), input.device))
        elif a or b:
            input = _edged(input, k, a, tuple(_index(mode, x.shape[k], a, b).tolist()))
    return input


__all__: list[str] = []
