"""Copies of arrays whose last axis is not the one that lies together, and from float32 to bfloat16 and back.

oneDNN turns arrays block by block, NumPy one element after another, each of which is in another line of the cache.
"""

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import BFLOAT16, FLOAT, contiguous, is_packed, kind_of, strides_of

KINDS = {FLOAT: dnnl.F32, BFLOAT16: dnnl.BF16}
PER_CONVERSION = 8  # multiplications that take as long as converting an element
APART = 64  # bytes between neighbours of the last axis from which it is quicker


class Copying:
    def contiguous_copy(self, x):
        known = x.dtype is FLOAT or (x.dtype is BFLOAT16 and self.engine.converts_bfloat16)
        if not known or not x.size or x.strides[-1] < APART or min(x.strides) <= 0 or not x.flags.aligned:
            return super().contiguous_copy(x)
        y = np.empty(x.shape, x.dtype)
        self.engine.run(("contiguous_copy", x.shape, x.strides), lambda plan: _copy(plan, x), x, y, kind=kind_of(x))
        return y

    def converted(self, x, dtype):
        """A float32 array rounded to bfloat16, which takes NumPy several times as long, or the other way.

        Numbers below 1.2e-38 become 0 where the processor has an instruction for it.
        """
        if not is_packed(x):
            return x.astype(dtype)
        y, kinds = np.empty_like(x, dtype), (KINDS[x.dtype], KINDS[dtype])
        key, work = ("converted", x.size, *kinds), PER_CONVERSION * x.size
        self.engine.run(key, lambda plan: _convert(plan, x.size, kinds), x, y, work=work)
        return y


def _copy(plan, x):
    order = contiguous(x.shape)
    source = plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, order, x.itemsize)))
    plan.reorder(source, plan.array(plan.layout(x.shape, order)))


def _convert(plan, size, kinds):
    source, target = (plan.array(plan.layout((size,), (1,), kind)) for kind in kinds)
    plan.reorder(source, target)
