"""Gradient rules with two ways: one kernel call while nobody records, a formula of tensor operations under create_graph."""

from ..autograd.variable import Tensor, wrap
from ..devices import scope
from ..kernels import for_device


def fused(kernel: str, *args):
    """The kernel of that name on the arrays of `args`: a tensor for each array it gives (None stays None), outside any graph."""
    where = next(a.device for a in args if isinstance(a, Tensor))
    arrays = [a._data if isinstance(a, Tensor) else a for a in args]
    if where.host:
        result = getattr(for_device("cpu"), kernel)(*arrays)
    else:
        with scope(where):
            result = getattr(for_device("cuda"), kernel)(*arrays)
    if isinstance(result, tuple):
        return tuple([None if r is None else wrap(r, where) for r in result])
    return wrap(result, where)


__all__ = ["fused"]
