"""MixtureSameFamily: each sample from one of several distributions of one kind."""

from collections.abc import Sequence
from typing import ClassVar

from .. import ops
from ..autograd.mode import no_grad
from ..autograd.variable import Tensor
from . import constraints
from .categorical import Categorical
from .distribution import Distribution


class MixtureSameFamily(Distribution):
    """A mixture: `mixture_distribution` chooses among the K distributions in the last batch dimension of
    `component_distribution`.
    """

    arg_constraints: ClassVar = {}
    has_rsample = False

    def __init__(
        self, mixture_distribution: Categorical, component_distribution: Distribution, validate_args: bool | None = None
    ):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution needs to be an instance of torch.distributions.Distribution")
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        choice, parts = mixture_distribution.batch_shape, component_distribution.batch_shape
        batch = parts[:-1]
        if any(1 not in (a, b) and a != b for a, b in zip(reversed(choice), reversed(batch), strict=False)):
            raise ValueError(
                f"`mixture_distribution.batch_shape` ({choice}) is not compatible with `component_distribution."
                f"batch_shape`({batch})"
            )
        k = mixture_distribution.logits.shape[-1]
        if k != parts[-1]:
            raise ValueError(
                f"`mixture_distribution component` ({k}) does not equal `component_distribution.batch_shape[-1]`"
                f" ({parts[-1]})"
            )
        super().__init__(batch, component_distribution.event_shape, validate_args)

    def expand(self, batch_shape: Sequence, _instance: Distribution | None = None) -> "MixtureSameFamily":
        new = super().expand(batch_shape, _instance)
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        return new

    @constraints.dependent_property
    def support(self):
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        return self._component_distribution

    def _averaged(self, values: Tensor) -> Tensor:
        """Values of each component (..., K, *event), averaged by the mixture's probabilities."""
        probs, events = self._mixture_distribution.probs, len(self._event_shape)
        return (probs.reshape((*probs.shape, *(1,) * events)) * values).sum(-1 - events)

    @property
    def mean(self) -> Tensor:
        return self._averaged(self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        away = self._component_distribution.mean - self._for_each(self.mean)
        return self._averaged(self._component_distribution.variance) + self._averaged(away.pow(2.0))

    def cdf(self, x: Tensor) -> Tensor:
        return (self._component_distribution.cdf(self._for_each(x)) * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        self._check_value(x)
        each = self._component_distribution.log_prob(self._for_each(x))
        return ops.logsumexp(each + ops.log_softmax(self._mixture_distribution.logits, -1), -1)

    def sample(self, sample_shape: Sequence = ()) -> Tensor:
        with no_grad():
            dim, events = len(sample_shape) + len(self._batch_shape), len(self._event_shape)
            chosen = self._mixture_distribution.sample(sample_shape)
            drawn = self._component_distribution.sample(sample_shape)
            chosen = chosen.reshape((*chosen.shape, *(1,) * (events + 1)))
            return drawn.gather(dim, chosen.expand((*chosen.shape[: dim + 1], *self._event_shape))).squeeze(dim)

    def _for_each(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1 - len(self._event_shape))

    def __repr__(self):
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
