"""Copies of arrays whose last axis is not the one that lies together.

oneDNN turns them block by block, NumPy one element after another, each of which is in another line of the cache.
"""

import numpy as np

from disttorch.kernels.onednn.layouts import FLOAT, contiguous, strides_of

APART = 64  # bytes between neighbours of the last axis from which it is quicker


class Copying:
    def contiguous_copy(self, x):
        if x.dtype is not FLOAT or not x.size or x.strides[-1] < APART or min(x.strides) <= 0 or not x.flags.aligned:
            return super().contiguous_copy(x)
        y = np.empty(x.shape, FLOAT)
        self.engine.run(("contiguous_copy", x.shape, x.strides), lambda plan: _copy(plan, x), x, y)
        return y


def _copy(plan, x):
    order = contiguous(x.shape)
    source = plan.array(plan.layout(x.shape, strides_of(x.shape, x.strides, order)))
    plan.reorder(source, plan.array(plan.layout(x.shape, order)))
