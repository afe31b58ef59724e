"""What optimizers do to long arrays, shared among OpenMP's threads; on one thread NumPy's BLAS is as quick."""

import numpy as np

from disttorch.kernels import blas
from disttorch.kernels.blas import address
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import FLOAT
from disttorch.kernels.threads import SHARED, enter_thread, threads_for

LONG = 1 << 16  # elements from which two threads are quicker than one
ONE = np.ones(1, FLOAT)


class Updating:
    def add_scaled(self, y, a, x):
        if not _is_shared(y, x):
            return blas.add_scaled(y, a, x)
        enter_thread(threads_for(SHARED))  # for a product of a 1 x 1 matrix and the row x
        self.engine.lib.dnnl_sgemm(
            b"N", b"N", 1, y.size, 1, a, address(ONE), 1, address(x), y.size, 1.0, address(y), y.size
        )

    def decay_and_add(self, y, a, x):
        if not _is_shared(y, x):
            return blas.decay_and_add(y, a, x)
        self.engine.run(("decay", y.size), lambda plan: _decay(plan, y.size), y, x, np.array([a], FLOAT), work=SHARED)


def _is_shared(y, x):
    if y.size < LONG or threads_for(SHARED) == 1:
        return False
    return y.dtype is x.dtype is FLOAT and y.flags.c_contiguous and x.flags.c_contiguous


def _decay(plan, size):
    layout = plan.layout((size,), (1,))
    desc = plan.describe("binary", dnnl.ADD, layout, layout, layout, attributes=plan.engine.with_scaled_source())
    y, x, a = plan.array(layout), plan.array(layout), plan.array(plan.layout((1,), (1,)))
    plan.step(desc, {dnnl.SRC: y, dnnl.SRC_1: x, dnnl.SCALE_OF_SRC: a, dnnl.DST: y})
