"""Gradient rules of fused operations: one kernel call while nobody records, else derivatives of what the operation
means.
"""

from ..autograd.variable import Tensor, wrap
from ..devices import META, scope
from ..kernels import for_device
from .shape import alias_view


def fused(kernel: str, *args):
    """The kernel of that name on the arrays of `args`: a tensor for each array it gives (None stays None), in no graph.

    The first argument is a tensor, on whose device all are.
    """
    where = args[0].device
    arrays = []
    for a in args:
        arrays.append(a._data if isinstance(a, Tensor) else a)
    if where.host or where is META:
        result = getattr(for_device("cpu"), kernel)(*arrays)
    else:
        with scope(where):
            result = getattr(for_device("cuda"), kernel)(*arrays)
    if type(result) is tuple:
        return tuple([None if r is None else wrap(r, where) for r in result])
    return wrap(result, where)


def by_parts(meaning, inputs: tuple, needs: tuple, g) -> list:
    """Gradients of `meaning(*inputs)`, a composition of simpler operations, for the inputs that need one (None for the
    others).

    They can be differentiated again. g: a gradient, or a tuple of them where `meaning` has several results.
    """
    from ..autograd.gradients import grad

    fresh = [alias_view(t) if need else t for t, need in zip(inputs, needs, strict=True)]
    results = meaning(*fresh)
    pairs = zip(results, g, strict=True) if isinstance(results, tuple) else ((results, g),)
    outputs, grads = zip(*[(r, at) for r, at in pairs if r.requires_grad], strict=True)
    wanted = [t for t, need in zip(fresh, needs, strict=True) if need]
    found = iter(grad(outputs, wanted, grads, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needs]
