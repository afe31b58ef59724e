"""vmap: a function applied to every entry along a dimension of its inputs, the results stacked.

The entries are computed one after another: the same values as PyTorch's, without its speed.
"""

from collections.abc import Callable
from typing import Any

from ..autograd.variable import Tensor
from ..ops import stack
from .trees import flatten


def _spread(dims: Any, value: Any) -> list:
    """`dims` for each tensor of `value`: one number (or None) for all, or nested as `value` is."""
    leaves, _ = flatten(value)
    if dims is None or isinstance(dims, int):
        return [dims] * len(leaves)
    if isinstance(value, dict):
        return [d for k in value for d in _spread(dims[k], value[k])]
    if isinstance(value, (tuple, list)):
        return [d for part, given in zip(value, dims, strict=True) for d in _spread(given, part)]
    return [dims] * len(leaves)


def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable:
    """A function that maps `func` over dimension `in_dims` of its inputs (None: the same for all) and stacks along
    `out_dims`.

    ValueError where no input is mapped, or the sizes differ.
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild = flatten(args)
        dims = _spread(in_dims, args)
        sizes = {t.shape[d] for t, d in zip(leaves, dims, strict=True) if d is not None}
        if not sizes:
            raise ValueError("vmap(...): got no inputs to map over: every in_dim is None or there are no tensors")
        if len(sizes) > 1:
            raise ValueError(
                "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
                f"{sorted(sizes)} for the mapped dimension"
            )
        rows = []
        for i in range(sizes.pop()):
            entry = [t if d is None else t.select(d, i) for t, d in zip(leaves, dims, strict=True)]
            rows.append(func(*rebuild(entry), **kwargs))
        outs = [flatten(r) for r in rows]
        for value in outs[0][0]:
            if not isinstance(value, Tensor):
                raise ValueError(f"vmap: `{func}` must only return Tensors, got type {type(value)}.")
        places = _spread(out_dims, rows[0])
        stacked = [stack([found[k] for found, _ in outs], place or 0) for k, place in enumerate(places)]
        return outs[0][1](stacked)

    return wrapped
