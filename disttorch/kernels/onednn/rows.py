"""Rows and numbers for each of them, in one pass of oneDNN's."""

from disttorch.kernels.onednn import binding as dnnl


def row_layouts(plan, shape):
    """Those of rows (M, K) and of a number for each."""
    count, width = shape
    return plan.layout((1, *shape), (count * width, width, 1)), plan.layout((1, count, 1), (count, 1, 1))


def add_numbers(plan, shape, operation):
    """Of rows x and y, and vectors s and t, given as x, s, t, y: y = (x operation s) + t. y may be x."""
    rows, vector = row_layouts(plan, shape)
    lib = plan.lib
    after = plan.engine.attributes_with(lambda functions: lib.dnnl_post_ops_append_binary(functions, dnnl.ADD, vector))
    desc = plan.describe("binary", operation, rows, vector, rows, attributes=after)
    lib.dnnl_primitive_attr_destroy(after)  # the descriptor has a copy
    x, s, t, y = plan.array(rows), plan.array(vector), plan.array(vector), plan.array(rows)
    plan.step(desc, {dnnl.SRC: x, dnnl.SRC_1: s, dnnl.AFTERWARDS_SRC_1: t, dnnl.DST: y})
