"""Divergences between distributions of different kinds: -H(p) - E[log q] by the moments of p that log q asks for."""

import math
from collections.abc import Callable, Sequence

from .. import ops
from ..autograd.variable import Tensor
from .binomial import Binomial
from .bounded import ContinuousBernoulli
from .counts import Bernoulli, Poisson
from .distribution import Distribution
from .exponential import Exponential
from .extremes import Gumbel, Pareto
from .gamma import Beta, Gamma
from .kl import register_kl
from .location_scale import Laplace, Normal
from .low_rank import LowRankMultivariateNormal
from .multivariate_normal import MultivariateNormal
from .uniform import Uniform
from .utils import euler_constant


def _each(sources: Sequence[type], target: type) -> Callable:
    def decorator(function: Callable) -> Callable:
        for source in sources:
            register_kl(source, target)(function)
        return function

    return decorator


def _xlogx(x: Tensor) -> Tensor:
    return ops.xlogy(x, x)


def _mean_log(p: Distribution) -> Tensor:
    """E[log x]."""
    if isinstance(p, Beta):
        return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return (_xlogx(p.high) - _xlogx(p.low)) / (p.high - p.low) - 1  # Uniform


def _mean_exp(p: Distribution, scale: Tensor) -> Tensor:
    """E[exp(-x / scale)]."""
    if isinstance(p, Exponential):
        return p.rate * scale / (p.rate * scale + 1)
    if isinstance(p, Gamma):
        return (1 + (p.rate * scale).reciprocal()).pow(-p.concentration)
    if isinstance(p, Normal):
        return ops.exp(-p.loc / scale + 0.5 * (p.scale / scale).pow(2))
    return scale / (p.high - p.low) * (ops.exp(-p.low / scale) - ops.exp(-p.high / scale))  # Uniform


def _outside(p: Distribution, made: Tensor) -> Tensor:
    """Infinite where a uniform distribution has negative numbers."""
    return made.masked_fill(p.low < 0, math.inf) if isinstance(p, Uniform) else made


@_each((Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform), Normal)
def _to_normal(p, q):
    squared = q.scale.pow(2)
    away = p.variance + (p.mean - q.loc).pow(2)
    made = -p.entropy() + 0.5 * (2 * math.pi * squared).log() + away / (2 * squared)
    return made.masked_fill(p.alpha <= 2, math.inf) if isinstance(p, Pareto) else made


@_each((Beta, ContinuousBernoulli, Gamma, Pareto, Uniform), Exponential)
def _to_exponential(p, q):
    return _outside(p, -p.entropy() - q.rate.log() + q.rate * p.mean)


@_each((Beta, Exponential, Pareto, Uniform), Gamma)
def _to_gamma(p, q):
    a, b = q.concentration, q.rate
    return _outside(p, -p.entropy() + a.lgamma() - a * b.log() - (a - 1) * _mean_log(p) + b * p.mean)


@_each((Exponential, Gamma, Normal, Uniform), Gumbel)
def _to_gumbel(p, q):
    return -p.entropy() + q.scale.log() + (p.mean - q.loc) / q.scale + ops.exp(q.loc / q.scale) * _mean_exp(p, q.scale)


@register_kl(Normal, Laplace)
def _normal_to_laplace(p, q):
    away = p.loc - q.loc
    spread = math.sqrt(2 / math.pi) * p.scale * ops.exp(-0.5 * (away / p.scale).pow(2))
    return -p.entropy() + ops.log(2 * q.scale) + (spread + away * ops.erf(away / p.scale / math.sqrt(2))) / q.scale


@register_kl(Uniform, Beta)
def _uniform_to_beta(p, q):
    turned = Uniform(1 - p.high, 1 - p.low, validate_args=False)
    a, b = q.concentration1, q.concentration0
    norm = a.lgamma() + b.lgamma() - (a + b).lgamma()
    made = norm - p.entropy() - (a - 1) * _mean_log(p) - (b - 1) * _mean_log(turned)
    return made.masked_fill((p.high > 1) | (p.low < 0), math.inf)


@register_kl(Uniform, Pareto)
def _uniform_to_pareto(p, q):
    made = -p.entropy() - (q.alpha * q.scale.pow(q.alpha)).log() + (q.alpha + 1) * _mean_log(p)
    return made.masked_fill(p.low < q.scale, math.inf)


@register_kl(Beta, Uniform)
def _beta_to_uniform(p, q):
    return (-p.entropy() + (q.high - q.low).log()).masked_fill((q.low > 0) | (q.high < 1), math.inf)


@register_kl(ContinuousBernoulli, Uniform)
def _continuous_bernoulli_to_uniform(p, q):
    return (-p.entropy() + (q.high - q.low).log()).masked_fill((q.low >= 0) | (q.high <= 1), math.inf)


@register_kl(Beta, ContinuousBernoulli)
@register_kl(Uniform, ContinuousBernoulli)
def _to_continuous_bernoulli(p, q):
    made = -p.entropy() - p.mean * q.logits - ops.log1p(-q.probs) - q._cont_bern_log_norm()
    return made.masked_fill((p.high >= 1) | (p.low <= 0), math.inf) if isinstance(p, Uniform) else made


@register_kl(Bernoulli, Poisson)
def _bernoulli_to_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


def _infinite(p, q):
    return ops.full_like(p.mean, math.inf)


for _source in (Exponential, Gamma, Gumbel, Laplace, Normal, Pareto):
    for _target in (Beta, ContinuousBernoulli, Pareto, Uniform):
        if _source is not _target:
            register_kl(_source, _target)(_infinite)
for _source in (Gumbel, Laplace, Normal):
    for _target in (Exponential, Gamma):
        register_kl(_source, _target)(_infinite)
register_kl(Beta, Pareto)(_infinite)
register_kl(ContinuousBernoulli, Pareto)(_infinite)
register_kl(Poisson, Bernoulli)(_infinite)
register_kl(Poisson, Binomial)(_infinite)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _low_ranks(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes cannot be computed"
        )
    trace = (q.precision_matrix * p.covariance_matrix).sum((-2, -1))
    away = (p.loc - q.loc).unsqueeze(-1)
    distance = (away.mT @ q.precision_matrix @ away).squeeze(-1).squeeze(-1)
    return q.entropy() - p.entropy() + 0.5 * (trace + distance - p.event_shape[0])
