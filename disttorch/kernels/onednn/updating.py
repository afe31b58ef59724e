"""What optimizers do to long arrays: several operations in a pass, shared among OpenMP's threads; each is rounded as it
is alone. For a single product or sum NumPy's BLAS is as quick on one thread.
"""

import numpy as np

from disttorch.kernels import blas
from disttorch.kernels.blas import address
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import FLOAT
from disttorch.kernels.threads import SHARED, enter_thread, threads_for

LONG = 1 << 16  # elements from which two threads are quicker than one
SEVERAL = 1 << 13  # elements from which several operations are quicker in passes of oneDNN's
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

    def lerp(self, a, b, weight):
        if not _are_several(a, b) or abs(weight) >= 0.5:
            return super().lerp(a, b, weight)
        self.engine.run(("lerp", a.size), lambda plan: _lerp(plan, a.size), a, b, _number(weight))

    def average_square(self, average, g, decay):
        if not _are_several(average, g):
            return super().average_square(average, g, decay)
        size, numbers = g.size, (_number(decay), _number(1 - decay))
        self.engine.run(("average_square", size), lambda plan: _average_square(plan, size), average, g, *numbers)

    def descend(self, p, g, square, eps, size):
        if not _are_several(p, g, square):
            return super().descend(p, g, square, eps, size)
        numbers = (ONE, _number(eps), _number(-size))
        self.engine.run(("descend", p.size), lambda plan: _descend(plan, p.size), p, g, square, *numbers)


def _number(value):
    return np.array([value], FLOAT)


def _are_several(*arrays):
    size = arrays[0].size
    return size >= SEVERAL and all([a.size == size and a.dtype is FLOAT and a.flags.c_contiguous for a in arrays])


def _is_shared(y, x):
    if y.size < LONG or threads_for(SHARED) == 1:
        return False
    return y.dtype is x.dtype is FLOAT and y.flags.c_contiguous and x.flags.c_contiguous


def _decay(plan, size):
    layout = plan.layout((size,), (1,))
    desc = plan.describe("binary", dnnl.ADD, layout, layout, layout, attributes=plan.engine.with_scaled_source())
    y, x, a = plan.array(layout), plan.array(layout), plan.array(plan.layout((1,), (1,)))
    plan.step(desc, {dnnl.SRC: y, dnnl.SRC_1: x, dnnl.SCALE_OF_SRC: a, dnnl.DST: y})


def _layouts(plan, size):
    return plan.layout((size,), (1,)), plan.layout((1,), (1,))


def _lerp(plan, size):
    whole, one = _layouts(plan, size)
    a, b, weight = plan.array(whole), plan.array(whole), plan.array(one)
    plan.combine(a, b, dnnl.SUB, a, (dnnl.MUL, weight), (dnnl.ADD, a))


def _average_square(plan, size):
    whole, one = _layouts(plan, size)
    average, g, decay, rest = plan.array(whole), plan.array(whole), plan.array(one), plan.array(one)
    square = plan.temporary(whole)
    plan.combine(square, g, dnnl.MUL, g, (dnnl.MUL, rest))
    plan.combine(average, average, dnnl.MUL, decay, (dnnl.ADD, square))


def _descend(plan, size):
    whole, one = _layouts(plan, size)
    p, g, square = (plan.array(whole) for _ in range(3))
    factor, eps, step = (plan.array(one) for _ in range(3))
    root = plan.temporary(whole)
    plan.combine(root, square, dnnl.MUL, factor, (dnnl.SQRT, 0.0, 0.0), (dnnl.ADD, eps))
    plan.combine(p, g, dnnl.DIV, root, (dnnl.MUL, step), (dnnl.ADD, p))
