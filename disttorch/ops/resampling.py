"""Resizing of images and volumes: along each axis an output element is a weighted sum of a few input elements.

An axis's plan is a `Table`: which elements (out, taps) and their weights. The gradient is the same operation with the
table transposed, and so on to any order.
"""

import math
from functools import lru_cache

import numpy as np

from .. import dtypes
from ..autograd.op import Op
from ..kernels.blas import is_finite
from ..kernels.hushing import hushed
from .arguments import need_tensor
from .byte_resampling import resampled_bytes
from .matmul import kernels_of

LARGE, DENSE = 1 << 14, 64  # elements from which, and an axis's for each tap up to which, a product is quickest
KEYS_CUBIC = -0.75  # the slope of bicubic interpolation's kernel; -0.5 with antialiasing (Keys, 1981)


class Table:
    """Which elements of an axis of length `size` make each element of the output, with which weights."""

    def __init__(self, size: int, index, weight):
        self.size, self.index, self.weight = size, index, weight  # (out, taps) both; weight None: one tap of weight 1
        self._transposed = self._matrix = None

    def matrix(self, dtype):
        """The weights as (out, size)."""
        if self._matrix is None or self._matrix.dtype != dtype:
            matrix = np.zeros((len(self.index), self.size))
            np.add.at(matrix, (np.arange(len(self.index))[:, None], self.index), self.weight)
            self._matrix = matrix.astype(dtype)
        return self._matrix

    def transposed(self) -> "Table":
        """For each input element, the outputs that it goes into."""
        if self._transposed is None:
            out, taps = self.index.shape
            order = np.argsort(self.index.reshape(-1), kind="stable")
            sources = self.index.reshape(-1)[order]
            counts = np.bincount(sources, minlength=self.size)
            place = np.arange(len(sources)) - np.repeat(np.cumsum(counts) - counts, counts)
            index = np.zeros((self.size, max(int(counts.max(initial=0)), 1)), np.int64)
            weight = np.zeros(index.shape)
            index[sources, place] = order // taps
            weight[sources, place] = 1.0 if self.weight is None else self.weight.reshape(-1)[order]
            self._transposed = Table(out, index, weight)
            self._transposed._transposed = self
        return self._transposed


def _is_plain(x) -> bool:
    """Whether a product with zeros is 0 in it: finite floats in an array as BLAS takes it."""
    return type(x) is np.ndarray and x.dtype == np.float32 and x.flags.c_contiguous and is_finite(x)


@hushed
def _resampled(x, axis, table):
    if table.weight is None:
        return np.take(x, table.index[:, 0], axis)
    if x.size >= LARGE and table.size <= DENSE * table.index.shape[1] and _is_plain(x):
        if axis == x.ndim - 1:
            return np.matmul(x.reshape(-1, table.size), table.matrix(x.dtype).T).reshape(*x.shape[:-1], -1)
        planes = np.matmul(table.matrix(x.dtype), x.reshape(math.prod(x.shape[:axis]), table.size, -1))
        return planes.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])
    shape = (-1, *(1,) * (x.ndim - 1 - axis))
    weight = table.weight.astype(x.dtype)
    y = np.take(x, table.index[:, 0], axis) * weight[:, 0].reshape(shape)
    for k in range(1, table.index.shape[1]):
        y += np.take(x, table.index[:, k], axis) * weight[:, k].reshape(shape)
    return y


_bytes = Op("UpsampleBackward0", lambda x, axis, table: resampled_bytes(x, axis, table.index, table.weight))


def _resample_op(node):
    op = Op(node, _resampled, params=("x", "axis", "table"), x=lambda g, axis, table: op(g, axis, table.transposed()))
    return op


def _source_step(size, out, scale, align):
    """How far apart the input positions of neighbouring outputs are."""
    if align:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / scale if scale is not None and scale > 0 else size / out


@lru_cache(maxsize=256)
def _nearest(size, out, scale, exact, single):
    real = np.float32 if single else np.float64
    step = real(_source_step(size, out, scale, False))
    at = np.arange(out, dtype=real)
    index = np.floor((at + real(0.5)) * step if exact else at * step).astype(np.int64)
    return Table(size, np.clip(index, 0, size - 1)[:, None], None)


@lru_cache(maxsize=256)
def _linear(size, out, scale, align, single):
    real = np.float32 if single else np.float64
    step = real(_source_step(size, out, scale, align))
    at = np.arange(out, dtype=real)
    position = at * step if align else np.maximum((at + real(0.5)) * step - real(0.5), real(0))
    low = np.minimum(np.floor(position).astype(np.int64), size - 1)
    share = np.clip(position - low.astype(real), 0, 1).astype(np.float64)
    return Table(size, np.stack([low, np.minimum(low + 1, size - 1)], 1), np.stack([1 - share, share], 1))


def _cubic_kernel(x, a):
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


@lru_cache(maxsize=256)
def _cubic(size, out, scale, align, single):
    real = np.float32 if single else np.float64
    step = real(_source_step(size, out, scale, align))
    at = np.arange(out, dtype=real)
    position = at * step if align else (at + real(0.5)) * step - real(0.5)
    low = np.floor(position)
    share = (position - low).astype(np.float64)
    taps = np.arange(-1, 3)
    index = np.clip(low.astype(np.int64)[:, None] + taps, 0, size - 1)
    return Table(size, index, _cubic_kernel(share[:, None] - taps, KEYS_CUBIC))


def _triangle(x):
    return np.maximum(1 - np.abs(x), 0)


def _lanczos(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


_FILTERS = {"bilinear": (1, _triangle), "bicubic": (2, lambda x: _cubic_kernel(x, -0.5)), "lanczos": (3, _lanczos)}


@lru_cache(maxsize=256)
def _antialiased(size, out, scale, align, mode, single):
    """Shrinking widens the filter so that every input element counts."""
    real = np.float32 if single else np.float64
    support, kernel = _FILTERS[mode]
    step = float(real(_source_step(size, out, scale, align)))
    reach, narrow = real(support * max(step, 1.0)), float(real(1 / max(step, 1.0)))
    centre = (step * (np.arange(out) + 0.5)).astype(real)
    low = np.maximum(((centre - reach) + np.float64(0.5)).astype(np.int64), 0)
    high = np.minimum(((centre + reach) + np.float64(0.5)).astype(np.int64), size)
    index = low[:, None] + np.arange(int((high - low).max()))
    distance = ((index.astype(real) - centre[:, None] + np.float64(0.5)) * narrow).astype(real)
    weight = np.where(index < high[:, None], kernel(distance), real(0))
    total = weight.cumsum(1)[:, -1:]  # one after the other, as PyTorch adds them
    return Table(size, np.minimum(index, size - 1), weight / total)


_MODES = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,), "bilinear": (2,),
    "trilinear": (3,), "bicubic": (2,), "lanczos": (2,),
}  # fmt: skip


def _planes_op(mode):
    """Both axes of pictures at once, where they are resized by factors with which oneDNN's positions are PyTorch's."""
    linear, node = mode == "bilinear", f"Upsample{''.join(w.capitalize() for w in mode.split('-'))}2DBackward"

    def forward(x, tables):
        y = kernels_of(x).resample_forward(x, [len(t.index) for t in tables], linear)
        return _resampled(_resampled(x, 3, tables[1]), 2, tables[0]) if y is None else y

    def backward(g, tables):
        gx = kernels_of(g).resample_backward(g, (*g.shape[:2], *[t.size for t in tables]), linear)
        rows, columns = (t.transposed() for t in tables)
        return _resampled(_resampled(g, 2, rows), 3, columns) if gx is None else gx

    op = Op(f"{node}0", forward, params=("x", "tables"), x=lambda g, tables: back(g, tables))
    back = Op(f"{node}Backward0", backward, params=("g", "tables"), g=lambda g, tables: op(g, tables))
    return op


_PLANES = {mode: _planes_op(mode) for mode in ("nearest", "nearest-exact", "bilinear")}
_OPS = {
    (mode, n): _resample_op(f"Upsample{''.join(w.capitalize() for w in mode.split('-'))}{n}DBackward0")
    for mode, ranks in _MODES.items()
    for n in ranks
    if mode != "area"
}


def _are_plain(sizes, lengths, scales, linear):
    """Whether all axes grow by whole numbers or, if linear, by powers of two or their inverses."""
    for size, length, scale in zip(sizes, lengths, scales, strict=True):
        ratio = length / size
        if size == length or (scale is not None and scale != ratio):
            return False
        if math.frexp(ratio)[0] != 0.5 if linear else length % size:
            return False
    return True


def _wanted(x, size, scale_factor, n):
    """-> output sizes (None: from the scales) and scales (None: from the sizes), one per axis."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if not isinstance(size, (tuple, list)):
            return [size.__index__()] * n, None
        if len(size) != n:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input with spatial "
                f"dimensions of {list(x.shape[2:])} and output size of {size}. Please provide input tensor in (N, C, "
                "d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
            )
        if not all(hasattr(s, "__index__") for s in size):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got size "
                f"with types {[type(s) for s in size]}"
            )
        return [s.__index__() for s in size], None
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if not isinstance(scale_factor, (tuple, list)):
        return None, [float(scale_factor)] * n
    if len(scale_factor) != n:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
            f"dimensions of {list(x.shape[2:])} and scale_factor of shape {scale_factor}. Please provide input tensor "
            "in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
        )
    return None, [float(s) for s in scale_factor]


def interpolate(
    input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None,
    antialias=False,
):  # fmt: skip
    """(N, C, *S) resized to `size`, or by `scale_factor`, over 1 to 3 axes.

    mode "nearest", "nearest-exact", "area" (adaptive average), "linear" (one axis), "bilinear", "bicubic" (two),
    "trilinear".
    align_corners: the corner elements' centres, not their corners, stay in place. antialias: shrinking weighs every
    element.
    """
    need_tensor(input, "interpolate", "input", 1)
    x = input._data
    n = x.ndim - 2
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    align = bool(align_corners)
    sizes, scales = _wanted(x, size, scale_factor, n)
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if antialias and not (mode in _FILTERS and n == 2):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if n not in (1, 2, 3) or mode not in _MODES:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {x.ndim}D) for the modes: nearest | linear "
            f"| bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )
    if n not in _MODES[mode]:
        raise NotImplementedError(f"Got {x.ndim}D input, but {mode} mode needs {_MODES[mode][0] + 2}D input")
    if sizes is None:
        sizes = [math.floor(s * k) for s, k in zip(x.shape[2:], scales, strict=True)]
    if mode == "area":
        from . import adaptive_pooling

        return getattr(adaptive_pooling, f"adaptive_avg_pool{n}d")(input, sizes)
    if recompute_scale_factor:
        scales = None
    if mode == "lanczos" and align:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    return _resize(input, sizes, scales or [None] * n, mode, align, antialias)


def _resize(input, sizes, scales, mode, align, antialias):
    x, n = input._data, len(sizes)
    if min(x.shape[2:], default=1) < 1 or min(sizes) < 1:
        axes = "DHW"[3 - n :]
        before, after = (", ".join(f"{a}: {s}" for a, s in zip(axes, t, strict=True)) for t in (x.shape[2:], sizes))
        joint = " and" if n == 1 else ""
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input ({before}){joint} output ({after})"
        )
    if 0 in x.shape[1:]:
        raise RuntimeError(f"Non-empty {x.ndim}D data tensor expected but got a tensor with sizes {list(x.shape)}")
    byte = input.dtype is dtypes.uint8
    if x.dtype.kind not in "fV" and not byte:
        kernel = (
            "compute_indices_weights_nearest" if mode.startswith("nearest") else f"upsample_{mode}{n}d_channels_last"
        )
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_NAMES[input.dtype]}'")
    whole = byte and mode in _FILTERS
    single = x.dtype != np.float64 and not whole
    widened = byte and not whole and not mode.startswith("nearest")
    narrow = x.dtype.itemsize == 2 and not mode.startswith("nearest")
    out = input.to(dtypes.float32) if widened or narrow else input
    linear = mode == "bilinear"
    plain = mode in _PLANES and n == 2 and not align and not antialias and input.dtype is dtypes.float32
    if plain and _are_plain(x.shape[2:], sizes, scales, linear):
        axes = zip(x.shape[2:], sizes, scales, strict=True)
        tables = [_linear(*a, False, True) if linear else _nearest(*a, mode == "nearest-exact", True) for a in axes]
        return _PLANES[mode](input, tables)
    # The last axis first: the order in which PyTorch's rounding goes.
    for k in reversed(range(n)):
        axis, size, length = k + 2, x.shape[k + 2], sizes[k]
        if size == length and (whole or scales[k] is None or scales[k] == 1.0):
            continue
        if mode.startswith("nearest"):
            table = _nearest(size, length, scales[k], mode == "nearest-exact", single)
        elif antialias:
            table = _antialiased(size, length, scales[k], align, mode, single)
        else:
            table = (_cubic if mode == "bicubic" else _linear)(size, length, scales[k], align, single)
        out = _bytes(out, axis, table) if whole else _OPS[mode, n](out, axis, table)
    if widened:
        out = (out + 0.5).floor().clamp(0, 255)
    return out.to(input.dtype) if widened or narrow else input * 1 if out is input else out


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """The old name of `interpolate`."""
    _deprecated("upsample", "interpolate")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """`interpolate` with mode "nearest", by its old name."""
    _deprecated("upsample_nearest", "interpolate")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """`interpolate` with mode "bilinear" and aligned corners, by its old name."""
    _deprecated("upsample_bilinear", "interpolate")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _deprecated(old, new):
    import warnings

    warnings.warn(f"`nn.functional.{old}` is deprecated. Use `nn.functional.{new}` instead.", stacklevel=3)


__all__: list[str] = []
