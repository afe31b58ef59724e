"""vmap: a function applied to every entry along a dimension of its inputs, the results stacked.

The entries are computed one after another: the same values as PyTorch's, without its speed.
"""

from collections.abc import Callable
from typing import Any

from ..autograd.variable import Tensor
from ..ops import stack
from ..random import get_rng_state, set_rng_state
from .trees import flatten, structure


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


def _check_mapped(dims: Any, args: tuple, shown: str) -> None:
    """ValueError (PyTorch's texts) unless `dims` say a dimension, or None, of each argument."""
    if not isinstance(dims, int | tuple | list | dict):
        raise ValueError(
            f"{shown}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, "
            f"got: {type(dims)}."
        )
    if not isinstance(dims, int) and len(dims) != len(args):
        raise ValueError(
            f"{shown}: in_dims is not compatible with the structure of `inputs`. in_dims has structure "
            f"{structure(dims)} but inputs has structure {structure(args)}."
        )
    for dim, value in [(dims, a) for a in args] if isinstance(dims, int) else zip(dims, args, strict=True):
        if isinstance(dim, int) and not isinstance(value, Tensor | tuple | list | dict):
            raise ValueError(
                f"{shown}: Got in_dim={dim} for an input but the input is of type {type(value)}. We cannot vmap over "
                "non-Tensor arguments, please use None as the respective in_dim"
            )


def _entry(t: Tensor, dim: int, i: int) -> Tensor:
    return t.select(dim, i) if t.shape[dim] else t.sum(dim)


def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable:
    """A function that maps `func` over dimension `in_dims` of its inputs (None: the same for all) and stacks along
    `out_dims`. randomness: "different" numbers for each entry, the "same" for all, or an "error" where any are drawn.

    ValueError where no input is mapped, a dimension is not there, or the sizes differ.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", repr(func))

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not args:
            raise ValueError(
                f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap "
                "over a function with no inputs. The latter is unsupported."
            )
        shown = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>)"
        _check_mapped(in_dims, args, shown)
        leaves, rebuild = flatten(args)
        dims = _spread(in_dims, args)
        for t, d in zip(leaves, dims, strict=True):
            if d is not None and not -t.ndim <= d < t.ndim:
                raise ValueError(
                    f"{shown}: Got in_dim={d} for some input, but that input is a Tensor of dimensionality {t.ndim} so "
                    f"expected in_dim to satisfy -{t.ndim} <= in_dim < {t.ndim}."
                )
        sizes = {t.shape[d] for t, d in zip(leaves, dims, strict=True) if d is not None}
        if not sizes:
            raise ValueError("vmap(...): got no inputs to map over: every in_dim is None or there are no tensors")
        if len(sizes) > 1:
            raise ValueError(
                "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
                f"{sorted(sizes)} for the mapped dimension"
            )
        rows, size, state = [], sizes.pop(), get_rng_state()
        for i in range(size or 1):  # of no entries one of zeros tells the shapes
            entry = [t if d is None else _entry(t, d, i) for t, d in zip(leaves, dims, strict=True)]
            if randomness == "same":
                set_rng_state(state)
            rows.append(func(*rebuild(entry), **kwargs))
        if randomness == "error" and not state.equal(get_rng_state()):
            set_rng_state(state)
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                "'different' randomness flags on vmap or perform the randomness operation out of vmap"
            )
        if not isinstance(rows[0], (Tensor, tuple, list, dict)):
            raise ValueError(
                f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(rows[0])}. Did you mean to set "
                "out_dims= to None for output?"
            )
        outs = [flatten(r) for r in rows]
        for value in outs[0][0]:
            if not isinstance(value, Tensor):
                raise ValueError(f"vmap: `{func}` must only return Tensors, got type {type(value)}.")
        several = isinstance(rows[0], (tuple, list))
        if isinstance(out_dims, (tuple, list)) and len(out_dims) != (len(rows[0]) if several else 1):
            raise ValueError(
                f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of "
                f"`outputs`. out_dims has structure {structure(out_dims)} but outputs has structure "
                f"{structure(rows[0])}."
            )
        places = _spread(out_dims, rows[0])
        stacked = [stack([found[k] for found, _ in outs], place or 0) for k, place in enumerate(places)]
        if not size:
            stacked = [t.narrow(place or 0, 0, 0) for t, place in zip(stacked, places, strict=True)]
        return outs[0][1](stacked)

    return wrapped
