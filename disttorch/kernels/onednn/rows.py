"""Rows and numbers for each of them, in one pass of oneDNN's."""

from disttorch.kernels.onednn import binding as dnnl


def row_layouts(plan, shape):
    """Those of rows (M, K) and of a number for each."""
    count, width = shape
    return plan.layout((1, *shape), (count * width, width, 1)), plan.layout((1, count, 1), (count, 1, 1))


def add_numbers(plan, shape, operation):
    """Of rows x and y, and vectors s and t, given as x, s, t, y: y = (x operation s) + t. y may be x."""
    rows, vector = row_layouts(plan, shape)
    x, s, t, y = plan.array(rows), plan.array(vector), plan.array(vector), plan.array(rows)
    plan.combine(y, x, operation, s, (dnnl.ADD, t))
