"""Transform: what all transforms have in common, and the inverse of one."""

from collections.abc import Sequence
from typing import Any

from ...autograd.variable import Tensor
from .. import constraints


class Transform:
    """A function y = t(x) from `domain` to `codomain`, with an inverse t.inv.

    A derived class has `_call` and `_inverse`, and where it is bijective `log_abs_det_jacobian`. With cache_size 1 the
    last pair (x, y) is kept: the inverse of that very y is x, without rounding.
    """

    bijective = False
    domain: Any
    codomain: Any

    def __init__(self, cache_size: int = 0):
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._inv: Transform | None = None
        self._cached_x_y = None, None

    def __getstate__(self):
        return {**self.__dict__, "_inv": None}

    @property
    def event_dim(self) -> int:
        """The number of dimensions that one event has, in the domain as in the codomain."""
        if self.domain.event_dim == self.codomain.event_dim:
            return self.domain.event_dim
        raise ValueError("Please use either .domain.event_dim or .codomain.event_dim")

    @property
    def inv(self) -> "Transform":
        if self._inv is None:
            self._inv = _InverseTransform(self)
        return self._inv

    @property
    def sign(self) -> Any:
        """1 where the transform of numbers grows, -1 where it falls."""
        raise NotImplementedError

    def with_cache(self, cache_size: int = 1) -> "Transform":
        """The same transform with another cache_size."""
        if self._cache_size == cache_size:
            return self
        settings = self._settings()
        if settings is None and type(self).__init__ is not Transform.__init__:
            raise NotImplementedError(f"{type(self)}.with_cache is not implemented")
        return type(self)(*(settings or ()), cache_size=cache_size)

    def _settings(self) -> tuple | None:
        """What a class with an __init__ of its own is made with."""
        return None

    def __eq__(self, other: Any) -> bool:
        return self is other

    __hash__ = None  # as in PyTorch: transforms are compared by what they do

    def __call__(self, x: Tensor) -> Tensor:
        if self._cache_size == 0:
            return self._call(x)
        if x is not self._cached_x_y[0]:
            self._cached_x_y = x, self._call(x)
        return self._cached_x_y[1]

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cache_size == 0:
            return self._inverse(y)
        if y is not self._cached_x_y[1]:
            self._cached_x_y = self._inverse(y), y
        return self._cached_x_y[0]

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |dy/dx| of each event, where y = t(x)."""
        raise NotImplementedError

    def forward_shape(self, shape: Sequence) -> Sequence:
        """The shape of t(x) for x of `shape`."""
        return shape

    def inverse_shape(self, shape: Sequence) -> Sequence:
        """The shape of x for t(x) of `shape`."""
        return shape

    def __repr__(self):
        return f"{type(self).__name__}()"


class AlikeTransform(Transform):
    """A transform without settings: any two are equal."""

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, type(self))

    __hash__ = None


class _InverseTransform(Transform):
    """The inverse of a transform; its own inverse is that transform."""

    def __init__(self, transform: Transform):
        super().__init__(transform._cache_size)
        self._inv = transform

    @constraints.dependent_property(is_discrete=False)
    def domain(self):
        return self._inv.codomain

    @constraints.dependent_property(is_discrete=False)
    def codomain(self):
        return self._inv.domain

    @property
    def bijective(self) -> bool:
        return self._inv.bijective

    @property
    def sign(self) -> Any:
        return self._inv.sign

    def __getstate__(self):
        return self.__dict__

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self._inv.with_cache(cache_size).inv

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _InverseTransform) and self._inv == other._inv

    __hash__ = None

    def __call__(self, x: Tensor) -> Tensor:
        return self._inv._inv_call(x)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence) -> Sequence:
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence) -> Sequence:
        return self._inv.forward_shape(shape)

    def __repr__(self):
        return f"_InverseTransform({self._inv!r})"
