"""Functions of lists of tensors, `_foreach_mul_(params, 0.9)`: private in PyTorch, and called by programs that keep
averages of weights or scale gradients.

Each goes through the lists with the operation of its name; those whose names end in `_` change the tensors and return
them. What is given besides is one number or tensor for all, or a list with one for each. Raises RuntimeError for an
empty list, and for lists of different lengths.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .linalg import vector_norm
from .tensors import Tensor

_UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round "
    "rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
).split()
_BINARY = "add sub mul div pow maximum minimum clamp_max clamp_min".split()
_METHODS = {"maximum": "clamp_min", "minimum": "clamp_max"}  # which take numbers too, and have forms in place


def _rows(tensors: Sequence[Tensor], *others: Any) -> list[tuple]:
    """The tensors, each with its share of the others."""
    if not tensors:
        raise RuntimeError("Tensor list must have at least one tensor.")
    columns = []
    for other in others:
        if isinstance(other, list | tuple) and len(other) != len(tensors):
            kind = "tensor" if other and isinstance(other[0], Tensor) else "scalar"
            raise RuntimeError(
                f"Tensor list must have same number of elements as {kind} list, got {len(tensors)} and {len(other)}"
            )
        columns.append(other if isinstance(other, list | tuple) else [other] * len(tensors))
    return list(zip(tensors, *columns, strict=True))


def _unary(method: str) -> Callable:
    def foreach(self: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple([getattr(t, method)() for (t,) in _rows(self)])

    return foreach


def _binary(method: str) -> Callable:
    def foreach(
        self: Any, other: Any = None, *, scalar: Any = None, scalars: Any = None, exponent: Any = None, **alpha: Any
    ) -> tuple[Tensor, ...]:
        given = next((value for value in (other, scalar, scalars, exponent) if value is not None), None)
        if given is None:
            raise TypeError(f'_foreach_{method}() missing 1 required positional arguments: "other"')
        if not isinstance(self, list | tuple):  # of pow alone: a number to the powers of tensors
            return tuple([self**t for t in given])
        return tuple([getattr(t, method)(x, **alpha) for t, x in _rows(self, given)])

    return foreach


def _product(method: str) -> Callable:
    def foreach(
        self: Sequence[Tensor], tensor1: Any, tensor2: Any, value: Any = 1, scalars: Any = None
    ) -> tuple[Tensor, ...]:
        rows = _rows(self, tensor1, tensor2, value if scalars is None else scalars)
        return tuple([getattr(t, method)(a, b, value=v) for t, a, b, v in rows])

    return foreach


def _lerp(method: str) -> Callable:
    def foreach(
        self: Sequence[Tensor], tensors1: Sequence[Tensor], weight: Any = None, *, weights: Any = None
    ) -> tuple[Tensor, ...]:
        rows = _rows(self, tensors1, weight if weights is None else weights)
        return tuple([getattr(t, method)(end, w) for t, end, w in rows])

    return foreach


def _foreach_norm(self: Sequence[Tensor], ord: float = 2, dtype: Any = None) -> tuple[Tensor, ...]:
    """The vector norm of each tensor."""
    return tuple([vector_norm(t, ord, dtype=dtype) for (t,) in _rows(self)])


def _foreach_copy_(self: Sequence[Tensor], src: Sequence[Tensor], non_blocking: bool = False) -> Sequence[Tensor]:
    """Each tensor of `src` copied into that of `self`."""
    for t, source in _rows(self, src):
        t.copy_(source)
    return self


def _foreach_clone(self: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """A copy of each."""
    return tuple([t.clone() for (t,) in _rows(self)])


def _foreach_max(self: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The largest element of each."""
    return tuple([t.max() for (t,) in _rows(self)])


def _define() -> None:
    kinds = [(_unary, _UNARY), (_binary, _BINARY), (_product, ["addcmul", "addcdiv"]), (_lerp, ["lerp"])]
    for make, names in kinds:
        for name in names:
            method = _METHODS.get(name, name)
            for end in ("", "_"):
                globals()[f"_foreach_{name}{end}"] = make(method + end)
    globals()["_foreach_zero_"] = _unary("zero_")


_define()
