"""A short way to call operations of one tensor."""

import numpy as np

from ..autograd.mode import mode
from ..autograd.variable import wrap


def of_one(op, input, *args):
    """op(input, *args) where `op` has one result and no tensor but `input` takes part: nothing has to be looked for."""
    where = input.device
    if not where.host:
        return op(input, *args)
    data = op.forward(input._data, *args)
    out = wrap(data if type(data) is np.ndarray else np.asarray(data), where)
    if mode.grad and (input._rg or input._view is not None):
        op.record((out,), (input, *args), ())
    return out
