"""Distribution: what all distributions have in common."""

from collections.abc import Sequence
from typing import Any

from .. import dtypes, ops
from ..autograd.mode import no_grad
from ..autograd.variable import Tensor
from ..ops.shape import Size


class Distribution:
    """A batch of distributions: batch_shape of independent ones, each over events of event_shape.

    Parameters are checked against `arg_constraints` unless validate_args is False; a ValueError names one that fails.
    """

    has_rsample = False  # whether samples are differentiable by the parameters
    has_enumerate_support = False
    arg_constraints: dict = {}  # noqa: RUF012 - each distribution's own table
    support: Any = None
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions made from now on check their parameters and values."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape: Sequence = (), event_shape: Sequence = (), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        self._given = [name for name in self.arg_constraints if name in self.__dict__]  # the others derive from them
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name in self._given:
            value, constraint = getattr(self, name), self.arg_constraints[name]
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n"
                    f"{value}"
                )

    @property
    def batch_shape(self) -> Size:
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no mean here")

    @property
    def mode(self) -> Tensor:
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no variance here")

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def sample(self, sample_shape: Sequence = ()) -> Tensor:
        """Values of shape sample_shape + batch_shape + event_shape, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence = ()) -> Tensor:
        """Values whose gradients flow to the parameters."""
        raise NotImplementedError(f"{type(self).__name__} has no differentiable samples: use sample()")

    def sample_n(self, n: int) -> Tensor:
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density or probability of `value`: of shape sample_shape + batch_shape."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob here")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a value up to `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf here")

    def icdf(self, value: Tensor) -> Tensor:
        """The value up to which the probability is `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf here")

    def entropy(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no entropy here")

    def perplexity(self) -> Tensor:
        return ops.exp(self.entropy())

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values that a discrete distribution can take."""
        raise NotImplementedError(f"{type(self).__name__} cannot list its values")

    def expand(self, batch_shape: Sequence, _instance: Any = None) -> "Distribution":
        """The distribution with its parameters expanded to a larger batch_shape."""
        given = {n: getattr(self, n).expand(Size(batch_shape) + self._event_of(n)) for n in self._given}
        return type(self)(**given, validate_args=False)

    def _event_of(self, name: str) -> Size:
        """The trailing shape of one parameter that is not the batch's."""
        depth = self.arg_constraints[name].event_dim
        shape = getattr(self, name).shape
        return Size(shape[len(shape) - depth :])

    def _extended_shape(self, sample_shape: Sequence = ()) -> Size:
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def _check_value(self, value: Tensor) -> None:
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        support = self.support
        if support is not None and not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the "
                f"support ({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self):
        parts = []
        for name in self.arg_constraints:
            if name in self.__dict__:
                value = self.__dict__[name]
                parts.append(f"{name}: {value if value.numel() == 1 else value.shape}")
        return f"{type(self).__name__}({', '.join(parts)})"


class ExponentialFamily(Distribution):
    """Distributions whose density is an exponential of their statistics."""


def broadcast(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape, numbers in the tensors' dtype."""
    if not all(isinstance(v, (Tensor, int, float)) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    like = next((v for v in values if isinstance(v, Tensor)), None)
    settings = {"dtype": dtypes.get_default_dtype()} if like is None else {"dtype": like.dtype, "device": like.device}
    return tuple(ops.broadcast_tensors(*[v if isinstance(v, Tensor) else ops.tensor(v, **settings) for v in values]))


def batch_shape_of(*values: Any) -> Size:
    """The batch's shape: none if all parameters were numbers."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    return Size(ops.broadcast_shapes(*[t.shape for t in tensors])) if tensors else Size()


def clamped(probs: Tensor) -> Tensor:
    """Probabilities kept one rounding away from 0 and 1, so that their logarithms are finite."""
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_of(probs: Tensor, binary: bool = False) -> Tensor:
    """The logarithms of probabilities, or of their odds."""
    p = clamped(probs)
    return ops.log(p) - ops.log1p(-p) if binary else ops.log(p)


class LazyParameter:
    """An attribute that is computed from the others when it is first asked for, and then kept."""

    def __init__(self, function: Any):
        self._function, self.__doc__ = function, function.__doc__

    def __set_name__(self, owner: type, name: str):
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._function(instance)
        return value
