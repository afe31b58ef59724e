"""Copies of arrays whose last axis is not the one that lies together, and into bfloat16.

oneDNN turns arrays block by block, NumPy one element after another, each of which is in another line of the cache.
"""

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import BFLOAT16, FLOAT, contiguous, kind_of, strides_of

APART = 64  # bytes between neighbours of the last axis from which it is quicker


class Copying:
    def contiguous_copy(self, x):
        known = x.dtype is FLOAT or (x.dtype is BFLOAT16 and self.engine.converts_bfloat16)
        if not known or not x.size or x.strides[-1] < APART or min(x.strides) <= 0 or not x.flags.aligned:
            return super().contiguous_copy(x)
        y = np.empty(x.shape, x.dtype)
        self.engine.run(("contiguous_copy", x.shape, x.strides), lambda plan: _copy(plan, x), x, y, kind=kind_of(x))
        return y

    def to_bfloat16(self, x):
        """A float32 array rounded to bfloat16; NumPy's conversion takes several times as long.

        Numbers below 1.2e-38 become 0 where the processor has an instruction for it.
        """
        y = np.empty_like(x, BFLOAT16)
        if not x.size or y.strides != tuple([s // 2 for s in x.strides]):
            return x.astype(BFLOAT16)
        self.engine.run(("to_bfloat16", x.size), lambda plan: _round(plan, x.size), x, y)
        return y


def _copy(plan, x):
    order = contiguous(x.shape)
    source = plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, order, x.itemsize)))
    plan.reorder(source, plan.array(plan.layout(x.shape, order)))


def _round(plan, size):
    source = plan.array(plan.layout((size,), (1,)))
    plan.reorder(source, plan.array(plan.layout((size,), (1,), dnnl.BF16)))
