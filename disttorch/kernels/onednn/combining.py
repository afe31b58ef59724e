"""Sums, differences, products and quotients by oneDNN, which shares them among threads and is quick at broadcasting.

Each number is rounded once, so the bits are NumPy's.
"""

from functools import lru_cache

import numpy as np

from disttorch.kernels.blas import address
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.onednn.layouts import BFLOAT16, FLOAT, TO_CHANNELS_LAST, contiguous, is_packed
from disttorch.kernels.portable.precision import LONG
from disttorch.kernels.threads import get_num_threads

LARGE = 1 << 16  # elements below which NumPy's lower overhead wins
RUN = 64  # elements that meet the same number, or all of a broadcast row, from which one thread is quicker than NumPy
_ALGORITHMS = {np.add: dnnl.ADD, np.subtract: dnnl.SUB, np.multiply: dnnl.MUL, np.true_divide: dnnl.DIV}
_COMMUTATIVE = dnnl.ADD, dnnl.MUL


class Combining:
    def combined(self, ufunc, a, b, out=None):
        algorithm = _ALGORITHMS.get(ufunc)
        if algorithm is None:
            return super().combined(ufunc, a, b, out)
        y = self._of_bfloats(algorithm, a, b) if a.dtype is BFLOAT16 else self._of_floats(algorithm, a, b, out)
        return super().combined(ufunc, a, b, out) if y is None else y

    def _of_bfloats(self, algorithm, a, b):
        alike = b.dtype is BFLOAT16 and a.shape == b.shape and a.strides == b.strides
        if not (alike and self.engine.converts_bfloat16) or a.size < LONG or not is_packed(a):
            return None
        y, key = np.empty_like(a), ("combined", algorithm, a.size)
        self.engine.run(key, lambda plan: _combined(plan, algorithm, ((a.size, True),)), a, b, y, kind=dnnl.BF16)
        return y

    def _of_floats(self, algorithm, a, b, out):
        """None where NumPy is to do it."""
        alone = get_num_threads() == 1
        if alone and (type(b) is not np.ndarray or a.shape == b.shape):
            return None
        b = np.asarray(b, FLOAT) if type(b) is not np.ndarray else b
        if a.size < b.size and algorithm in _COMMUTATIVE:
            a, b = b, a
        if a.size < LARGE or not a.dtype is b.dtype is FLOAT or not is_packed(a):
            return None
        axes = _axes(a, b)
        if axes is None or (alone and (len(axes) == 1 or axes[-1][0] < RUN)):
            return None
        if out is None:
            y = np.empty_like(a)
        elif out.dtype is FLOAT and out.shape == a.shape and out.strides == a.strides and not _is_overwritten(b, out):
            y = out
        else:
            return None
        try:
            self.engine.run(("combined", algorithm, axes), lambda plan: _combined(plan, algorithm, axes), a, b, y)
        except Unsupported:
            return None
        return y


def _axes(a, b):
    """The axes in which they lie in memory, joined where possible: of each its length, and whether b has it, too; None
    if b is not broadcast into a, does not lie in the same order, or changes too often for oneDNN.
    """
    if b.ndim > a.ndim:
        return None
    in_order, order = b.reshape((1,) * (a.ndim - b.ndim) + b.shape), range(a.ndim)
    if not a.flags.c_contiguous:
        order = TO_CHANNELS_LAST[a.ndim]
        in_order = in_order.transpose(order)
    return _joined(a.shape, b.shape, order) if in_order.flags.c_contiguous else None


@lru_cache(1024)
def _joined(shape, other, order):
    other = (1,) * (len(shape) - len(other)) + other
    axes = []
    for axis in order:
        length = shape[axis]
        if length == 1:
            continue
        if other[axis] not in (1, length):
            return None
        has = other[axis] != 1
        if axes and axes[-1][1] == has:
            axes[-1] = axes[-1][0] * length, has
        else:
            axes.append((length, has))
    return tuple(axes) if len(axes) <= 3 else None


def _is_overwritten(b, out):
    """Whether writing to `out` changes numbers of b that are still to be read."""
    return np.may_share_memory(b, out) and not (b.size == out.size and address(b) == address(out))


def _combined(plan, algorithm, axes):
    """Arrays of three axes, samples, channels and positions, in the order in which oneDNN is quick with them."""
    lengths = [length for length, _ in axes]
    kept = [length if has else 1 for length, has in axes]
    if len(axes) == 3 and axes[0][1]:  # a number for each sample and channel, channels last
        strides = [(n[1] * n[2], 1, n[2]) for n in (lengths, kept)]
        lengths, kept = ([n[0], n[2], n[1]] for n in (lengths, kept))
    else:
        strides = [contiguous(tuple(n)) for n in (lengths, kept)]
    whole, other = (plan.layout(tuple(n), s) for n, s in zip((lengths, kept), strides, strict=True))
    a, b, y = plan.array(whole), plan.array(other), plan.array(whole)
    plan.combine(y, a, algorithm, b)
