"""Transforms of the pieces of a tensor, each by its own."""

from collections.abc import Callable, Sequence

from ... import ops
from ...autograd.variable import Tensor
from .. import constraints
from ..utils import lazy_property, sum_rightmost
from .transform import Transform


class _Pieces(Transform):
    """The transforms of `tseq` along dimension `dim`."""

    def __init__(self, tseq: Sequence[Transform], dim: int, cache_size: int):
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        super().__init__(cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.dim = dim

    @property
    def bijective(self) -> bool:
        return all(t.bijective for t in self.transforms)

    def _cut(self, value: Tensor) -> Sequence[Tensor]:
        raise NotImplementedError

    def _join(self, parts: list[Tensor]) -> Tensor:
        raise NotImplementedError

    def _each(self, function: Callable, *values: Tensor) -> list[Tensor]:
        return [function(*row) for row in zip(self.transforms, *map(self._cut, values), strict=True)]

    def _call(self, x: Tensor) -> Tensor:
        return self._join(self._each(lambda t, part: t(part), x))

    def _inverse(self, y: Tensor) -> Tensor:
        return self._join(self._each(lambda t, part: t.inv(part), y))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self._join(self._each(lambda t, a, b: t.log_abs_det_jacobian(a, b), x, y))

    def _check(self, value: Tensor, length: int, what: str) -> None:
        if not -value.dim() <= self.dim < value.dim():
            raise AssertionError(f"dim {self.dim} out of range for tensor with {value.dim()} dimensions")
        if value.size(self.dim) != length:
            raise AssertionError(f"x.size({self.dim}) = {value.size(self.dim)} must equal {what} {length}")


class CatTransform(_Pieces):
    """Pieces of `lengths` (1 each by default) along `dim`, put together as by cat."""

    def __init__(
        self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0
    ):
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"lengths ({len(self.lengths)}) must match transforms ({len(self.transforms)})")

    def _settings(self) -> tuple:
        return self.transforms, self.dim, self.lengths

    @lazy_property
    def event_dim(self) -> int:
        return max(t.event_dim for t in self.transforms)

    @lazy_property
    def length(self) -> int:
        return sum(self.lengths)

    def _cut(self, value: Tensor) -> Sequence[Tensor]:
        self._check(value, self.length, "length")
        return ops.split(value, self.lengths, self.dim)

    def _join(self, parts: list[Tensor]) -> Tensor:
        return ops.cat(parts, self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        terms = [
            sum_rightmost(term, self.event_dim - t.event_dim)
            for t, term in zip(
                self.transforms, self._each(lambda t, a, b: t.log_abs_det_jacobian(a, b), x, y), strict=True
            )
        ]
        dim = (self.dim - x.dim() if self.dim >= 0 else self.dim) + self.event_dim
        return ops.cat(terms, dim) if dim < 0 else sum(terms)

    @constraints.dependent_property
    def domain(self):
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @constraints.dependent_property
    def codomain(self):
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)


class StackTransform(_Pieces):
    """Slices along `dim`, put together as by stack."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0):
        super().__init__(tseq, dim, cache_size)

    def _settings(self) -> tuple:
        return self.transforms, self.dim

    def _cut(self, value: Tensor) -> Sequence[Tensor]:
        self._check(value, len(self.transforms), "len(transforms)")
        return ops.unbind(value, self.dim)

    def _join(self, parts: list[Tensor]) -> Tensor:
        return ops.stack(parts, self.dim)

    @constraints.dependent_property
    def domain(self):
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @constraints.dependent_property
    def codomain(self):
        return constraints.stack([t.codomain for t in self.transforms], self.dim)
